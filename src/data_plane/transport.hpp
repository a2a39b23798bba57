// SPDX-License-Identifier: MIT
/// How FUSE messages of one device connection travel. The seam between /dev/fuse and FUSE over
/// io_uring.
#pragma once

#include <cstddef>
#include <cstdint>

#include "message.hpp"
#include "request.hpp"

namespace blkio::data_plane {

enum class TransportKind : std::uint8_t { kClassic, kUring };

/// What a transport delivers to; called on the engine thread from within Ring::reap()
/// or Transport::look().
class MessageSink {
 public:
  virtual ~MessageSink() = default;
  /// `landing` holds the message's payload: the data of a WRITE begins there. True if the sink has
  /// kept the buffer. One that came in a slot stays with it until the reply, which must follow.
  virtual bool on_message(const Message& message, Buffer& landing) = 0;
  /// The connection is gone (unmounted or aborted): no message comes any more.
  virtual void on_connection_lost() = 0;
  /// A reply has been handed to the kernel: request and buffer are free. A request that had a slot
  /// has none any more, and no buffer.
  virtual void on_replied(Request& request) = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  /// Ends a request: `bytes` bytes from `data`, which lie in request.buffer, or, with an error
  /// (positive errno), none. Calls on_replied() from within or later.
  virtual void reply(Request& request, int error, std::byte* data, std::uint32_t bytes) = 0;
  /// Called once per turn of the engine's loop.
  virtual void turn() = 0;
  /// Delivers the messages that have come and that the ring does not bring; false if there are
  /// none.
  virtual bool look() = 0;
  /// From now on, and until one has come, the ring is woken by messages: the engine may sleep.
  virtual void expect() = 0;
  /// The way requests travel by now, which the kernel may have refused.
  virtual TransportKind in_use() const = 0;
  /// Back-pressure: while paused nothing is done to take more messages off the connection.
  virtual void pause(bool paused) = 0;
  /// True once no reply is on its way through the ring but those that its next submission takes
  /// along; the wait for a message may be in it.
  virtual bool idle() const = 0;
  /// True once nothing of it is in the ring. It comes to that only when the connection is gone.
  virtual bool quiet() const = 0;
};

}  // namespace blkio::data_plane
