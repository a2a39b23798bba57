// SPDX-License-Identifier: MIT
/// How FUSE messages of one device connection travel. The seam between /dev/fuse read and written
/// through the ring, and FUSE over io_uring.
#pragma once

#include <cstddef>
#include <cstdint>

#include "buffer_arena.hpp"
#include "request.hpp"

namespace blkio::data_plane {

/// What a transport delivers to; called on the engine thread from within Ring::run_once().
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  /// A message of `bytes` bytes starts kWriteHead bytes before landing->payload, so that the data
  /// of a WRITE begins at the payload. True if the sink has kept the buffer.
  virtual bool on_message(Buffer* landing, std::size_t bytes) = 0;
  /// The connection is gone (unmounted or aborted): no message comes any more.
  virtual void on_connection_lost() = 0;
  /// A reply has been handed to the kernel: request and buffer are free.
  virtual void on_replied(Request& request) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  /// Ends a request: `bytes` bytes from `data`, which lie in request.buffer, or, with an error
  /// (positive errno), none. Calls on_replied() later.
  virtual void reply(Request& request, int error, std::byte* data, std::uint32_t bytes) = 0;
  /// Called once per turn of the engine's loop: asks for more messages unless paused.
  virtual void turn() = 0;
  /// Back-pressure: while paused no further message is taken off the connection.
  virtual void pause(bool paused) = 0;
  /// True once no reply is on its way through the ring; the wait for a message may be in it.
  virtual bool idle() const = 0;
  /// True once nothing of it is in the ring. It comes to that only when the connection is gone.
  virtual bool quiet() const = 0;
};

}  // namespace blkio::data_plane
