// SPDX-License-Identifier: MIT
#include "classic_transport.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>

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

/// The request a READ was to bring is gone, or there was no memory for it just now.
bool is_passing(int error) {
  return error == EINTR || error == ENOENT || error == ECANCELED || error == ENOMEM;
}

}  // namespace

ClassicTransport::ClassicTransport(Ring& ring, BufferArena& arena, FileIndex fuse,
                                   MessageSink& sink)
    : ring_(ring), arena_(arena), fuse_(fuse), sink_(sink) {
  for (ReadSlot& slot : slots_) {
    slot.transport = this;
    slot.handler = [](Completion& self, std::int32_t result) {
      auto& read = static_cast<ReadSlot&>(self);
      read.transport->on_read(read, result);
    };
  }
  poll_.transport = this;
  poll_.handler = [](Completion& self, std::int32_t) {
    ClassicTransport& transport = *static_cast<Poll&>(self).transport;
    transport.polling_ = false;
    transport.ran_dry_ = false;
  };
}

void ClassicTransport::turn() {
  if (lost_ || posted_ != 0) return;
  if (!ran_dry_) {
    if (!paused_) post_reads();
  } else if (!polling_) {
    polling_ = true;
    ring_.poll_in(poll_, fuse_);
  }
}

void ClassicTransport::post_reads() {
  found_ = 0;
  for (unsigned i = 0; i < wanted_; ++i) {
    ReadSlot& slot = slots_[i];
    slot.landing = arena_.allocate(kMaxTransfer);
    if (slot.landing == nullptr) break;  // memory is at its limit: a later turn tries again
    ++posted_;
    ring_.read(slot, fuse_, kUserMemory, slot.landing->payload - kWriteHead,
               kWriteHead + kMaxTransfer, 0);
  }
}

void ClassicTransport::on_read(ReadSlot& slot, std::int32_t result) {
  --posted_;
  Buffer* landing = std::exchange(slot.landing, nullptr);
  bool kept = false;
  if (result > 0) {
    ++found_;
    const auto bytes = static_cast<std::size_t>(result);
    if (bytes >= sizeof(fuse_in_header)) {  // else there is nobody to answer to
      kept = sink_.on_message(message_of(*landing, bytes), *landing);
    }
  } else if (result == -EAGAIN) {
    ran_dry_ = true;
  } else if (result == -ENODEV || result == -ENOTCONN || result == -EBADF || result == 0) {
    lost();
  } else if (!is_passing(-result)) {
    // Nobody would ever answer this connection again: better a restart than clients that hang.
    spdlog::critical("reading /dev/fuse: {}", std::strerror(-result));
    std::abort();
  }
  if (!kept) arena_.release(landing);
  if (posted_ == 0) {
    wanted_ = ran_dry_ ? std::clamp(found_, 1u, kMostReads) : std::min(wanted_ * 2, kMostReads);
  }
}

void ClassicTransport::lost() {
  if (lost_) return;
  lost_ = true;
  sink_.on_connection_lost();
}

void ClassicTransport::reply(Request& request, int error, std::byte* data, std::uint32_t bytes) {
  assert(request.buffer != nullptr);
  if (error != 0) data = request.buffer->payload;
  const fuse_out_header header = reply_header(request.unique, error, bytes);
  std::byte* message = data - sizeof header;
  std::memcpy(message, &header, sizeof header);

  request.handler = [](Completion& self, std::int32_t result) {
    auto& done = static_cast<Request&>(self);
    static_cast<ClassicTransport*>(done.transport)->on_written(done, result);
  };
  request.transport = this;
  ++replies_;
  ring_.write(request, fuse_, kUserMemory, message, header.len, 0);
}

void ClassicTransport::on_written(Request& request, std::int32_t result) {
  --replies_;
  // ENOENT: the request was interrupted or its connection aborted meanwhile; nobody waits for it.
  if (result < 0 && result != -ENOENT && result != -ENODEV && result != -ENOTCONN) {
    spdlog::error("replying to a request: {}", std::strerror(-result));
  }
  sink_.on_replied(request);
}

}  // namespace blkio::data_plane
