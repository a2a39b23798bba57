// SPDX-License-Identifier: MIT
#include "block_io.hpp"

#include <fcntl.h>
#include <linux/falloc.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "message.hpp"

namespace blkio::data_plane {
namespace {

bool overlap(const Request& a, const Request& b) {
  return a.device_offset < b.device_offset + b.device_span() &&
         b.device_offset < a.device_offset + a.device_span();
}

/// Two plain writes to one block are the client's own affair; a spliced one must be alone.
bool exclude(const Request& a, const Request& b) {
  return (a.bounce != nullptr || b.bounce != nullptr) && overlap(a, b);
}

/// A slot of the null device seldom holds anything else: it is there to measure the way to it.
void fill_with_zeros(Request& request) {
  const std::uint32_t known = request.slot != nullptr ? request.slot->zero_bytes : 0;
  if (known >= request.device_bytes) return;
  std::memset(request.buffer->payload + known, 0, request.device_bytes - known);
  if (request.slot != nullptr) request.slot->zero_bytes = request.device_bytes;
}

bool is_transfer(const Request& request) {
  return request.io.op == Op::kRead || request.io.op == Op::kWrite;
}

}  // namespace

BlockIo::BlockIo(Ring& ring, BufferArena& arena, const BackingDevice& device, FileIndex file,
                 BlockIoListener& listener)
    : ring_(ring), arena_(arena), device_(device), file_(file), listener_(listener) {}

bool BlockIo::aligned(const Request& request) const {
  const std::uint64_t mask = device_.alignment - 1;
  return ((request.offset | request.bytes) & mask) == 0;
}

void BlockIo::widen(Request& request) const {
  const std::uint64_t mask = device_.alignment - 1;
  const std::uint64_t end = (request.offset + request.bytes + mask) & ~mask;
  request.device_offset = request.offset & ~mask;
  request.device_bytes = static_cast<std::uint32_t>(end - request.device_offset);
}

bool BlockIo::prepare(Request& request) {
  request.device_done = 0;
  request.splice = Splice::kNone;
  if (!is_transfer(request)) {
    request.device_offset = request.offset;
    return request.buffer != nullptr || (request.buffer = arena_.allocate(0)) != nullptr;
  }
  widen(request);
  if (request.io.op == Op::kRead) {
    if (request.buffer == nullptr) request.buffer = arena_.allocate(request.device_bytes);
    return request.buffer != nullptr;
  }
  if (aligned(request)) return true;
  request.bounce = arena_.allocate(request.device_bytes);
  request.splice = Splice::kReading;
  return request.bounce != nullptr;
}

bool BlockIo::submit(Request& request) {
  if (!prepare(request)) return false;
  ++in_flight_;
  request.handler = [](Completion& self, std::int32_t result) {
    auto& done = static_cast<Request&>(self);
    done.block_io->on_result(done, result);
  };
  request.block_io = this;
  start(request);
  return true;
}

void BlockIo::start(Request& request) {
  if (device_.kind == BackingKind::kNull) {
    if (request.io.op == Op::kRead) fill_with_zeros(request);
    --in_flight_;
    listener_.on_device_done(request, 0);
  } else if (request.io.op == Op::kRead || request.io.op == Op::kFlush) {
    issue(request);
  } else {
    start_write(request);
  }
}

bool BlockIo::must_wait(const Request& request) const {
  const auto conflicts = [&](const Request& other) { return exclude(request, other); };
  return std::any_of(writes_.begin(), writes_.end(), conflicts) ||
         std::any_of(blocked_.begin(), blocked_.end(), conflicts);
}

void BlockIo::start_write(Request& request) {
  if (request.bounce != nullptr) ++spliced_;
  if (spliced_ != 0 && must_wait(request)) {
    blocked_.push_back(request);
    return;
  }
  writes_.push_back(request);
  issue(request);
}

void BlockIo::retry_blocked() {
  DeviceList waiting;
  waiting.swap(blocked_);
  while (!waiting.empty()) {
    Request& request = waiting.front();
    waiting.pop_front();
    if (must_wait(request)) {
      blocked_.push_back(request);
    } else {
      writes_.push_back(request);
      issue(request);
    }
  }
}

/// Hands to the ring what is still to do of the request's present phase.
void BlockIo::issue(Request& request) {
  const std::uint64_t offset = request.device_offset + request.device_done;
  const std::uint32_t left = request.device_bytes - request.device_done;
  const Buffer* data = request.bounce != nullptr ? request.bounce : request.buffer;
  switch (request.io.op) {
    case Op::kRead:
      ring_.read(request, file_, data->region, data->payload + request.device_done, left, offset);
      break;
    case Op::kWrite:
      if (request.splice == Splice::kReading) {
        ring_.read(request, file_, data->region, data->payload + request.device_done, left, offset);
      } else {
        ring_.write(request, file_, data->region, data->payload + request.device_done, left, offset,
                    request.synchronous);
      }
      break;
    case Op::kFlush:
      ring_.fsync(request, file_, request.data_only);
      break;
    case Op::kDiscard:
      ring_.fallocate(request, file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                      request.range_bytes);
      break;
    case Op::kWriteZeroes:
      ring_.fallocate(request, file_, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset,
                      request.range_bytes);
      break;
  }
}

void BlockIo::on_result(Request& request, std::int32_t result) {
  if (result == -EINTR || result == -EAGAIN) {
    issue(request);
    return;
  }
  if (result < 0) {
    finish(request, -result);
    return;
  }
  if (!is_transfer(request)) {
    finish(request, 0);
    return;
  }
  // Of a short transfer whole blocks count; what is left is asked for again.
  const std::uint32_t moved = static_cast<std::uint32_t>(result) & ~(device_.alignment - 1);
  request.device_done += moved;
  if (request.device_done < request.device_bytes) {
    // Within the bounds of the device nothing may be missing: the file beneath was truncated.
    if (moved == 0) {
      finish(request, EIO);
    } else {
      issue(request);
    }
    return;
  }
  if (request.splice == Splice::kReading) {
    std::memcpy(request.bounce->payload + (request.offset - request.device_offset),
                request.buffer->payload, request.bytes);
    request.splice = Splice::kWriting;
    request.device_done = 0;
    issue(request);
    return;
  }
  finish(request, 0);
}

void BlockIo::finish(Request& request, int error) {
  --in_flight_;
  if (request.device_link.is_linked()) writes_.erase(writes_.iterator_to(request));
  if (request.bounce != nullptr) {
    arena_.release(std::exchange(request.bounce, nullptr));
    --spliced_;
  }
  listener_.on_device_done(request, error);
  if (!blocked_.empty()) retry_blocked();
}

}  // namespace blkio::data_plane
