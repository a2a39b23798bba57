// SPDX-License-Identifier: MIT
#include "classic_transport.hpp"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "fuse_protocol.hpp"

namespace blkio::data_plane {
namespace {

/// /dev/fuse takes no fixed buffers (fs/fuse/dev.c wants a user-backed iterator). The arena's pages
/// are pinned all the same, so a copy cannot fault.
constexpr RegionIndex kUserMemory = RegionIndex::kNotRegistered;

Message message_of(const Buffer& landing, std::size_t bytes) {
  Message message;
  const std::byte* start = landing.payload - kWriteHead;
  std::memcpy(&message.header, start, sizeof message.header);
  message.body = {start + sizeof message.header, bytes - sizeof message.header};
  if (message.header.opcode == FUSE_WRITE && bytes >= kWriteHead) {
    message.payload = message.body.subspan(sizeof(fuse_write_in));
  }
  return message;
}

/// The request to be read is gone, or there was no memory for it just now.
bool is_passing(int error) {
  return error == EINTR || error == ENOENT || error == ENOMEM;
}

}  // namespace

ClassicTransport::ClassicTransport(Ring& ring, BufferArena& arena, FileIndex fuse,
                                   MessageSink& sink)
    : ring_(ring), arena_(arena), fuse_(fuse), sink_(sink) {
  poll_.transport = this;
  poll_.handler = [](Completion& self, std::int32_t) {
    ClassicTransport& transport = *static_cast<Poll&>(self).transport;
    transport.polling_ = false;
    transport.look();
  };
}

void ClassicTransport::expect() {
  if (polling_ || paused_ || lost_ || std::exchange(starved_, false)) return;
  polling_ = true;
  ring_.poll_in(poll_, fuse_);
}

bool ClassicTransport::look() {
  if (polling_) return false;  // the ring will tell
  const unsigned most = alone_ ? 1 : kMostMessages;
  unsigned found = 0;
  while (found < most && !paused_ && !lost_ && read_message()) ++found;
  alone_ = found != 0 ? alone_ && found_ == 0 : alone_ || found_ == 1;
  found_ = found;
  return found != 0;
}

/// False if there is none.
bool ClassicTransport::read_message() {
  Buffer* landing = arena_.allocate(kMaxTransfer);
  starved_ = landing == nullptr;  // what ends next may leave some
  if (starved_) return false;
  const ssize_t result =
      read(ring_.descriptor(fuse_), landing->payload - kWriteHead, kWriteHead + kMaxTransfer);
  const int error = result == 0 ? ENODEV : errno;
  bool kept = false;
  if (result >=
      static_cast<ssize_t>(sizeof(fuse_in_header))) {  // else there is nobody to answer to
    kept = sink_.on_message(message_of(*landing, static_cast<std::size_t>(result)), *landing);
  }
  if (!kept) arena_.release(landing);
  if (result <= 0) read_failed(error);
  return result > 0;
}

void ClassicTransport::read_failed(int error) {
  if (error == ENODEV || error == ENOTCONN || error == EBADF) {
    lost_ = true;
    sink_.on_connection_lost();
  } else if (error != EAGAIN && !is_passing(error)) {
    // Nobody would ever answer this connection again: better a restart than clients that hang.
    spdlog::critical("reading /dev/fuse: {}", std::strerror(error));
    std::abort();
  }
}

void ClassicTransport::reply(Request& request, int error, std::byte* data, std::uint32_t bytes) {
  assert(request.buffer != nullptr);
  if (error != 0) data = request.buffer->payload;
  const fuse_out_header header = reply_header(request.unique, error, bytes);
  std::byte* message = data - sizeof header;
  std::memcpy(message, &header, sizeof header);

  if (found_ <= 1 || bytes >= kLargeReplyBytes) {
    const ssize_t result = write(ring_.descriptor(fuse_), message, header.len);
    written(request, result < 0 ? errno : 0);
    return;
  }
  request.handler = [](Completion& self, std::int32_t result) {
    auto& done = static_cast<Request&>(self);
    auto& transport = static_cast<ClassicTransport&>(*done.transport);
    --transport.replies_;
    transport.written(done, result < 0 ? -result : 0);
  };
  request.transport = this;
  ++replies_;
  ring_.write(request, fuse_, kUserMemory, message, header.len, 0);
}

void ClassicTransport::written(Request& request, int error) {
  // ENOENT: the request was interrupted or its connection aborted meanwhile; nobody waits for it.
  if (error != 0 && error != ENOENT && error != ENODEV && error != ENOTCONN) {
    spdlog::error("replying to a request: {}", std::strerror(error));
  }
  sink_.on_replied(request);
}

}  // namespace blkio::data_plane
