// SPDX-License-Identifier: MIT
/// Classic /dev/fuse. Messages are read by plain system calls, and the engine looks for them itself
/// while it is awake; the ring waits for one while the engine sleeps.
#pragma once

#include "transport.hpp"

namespace blkio::data_plane {

/// The descriptor is non-blocking. (Linux 6.18 lets a READ of it in the ring wait all the same,
/// with its buffer, and every message wakes all that wait.) An idle connection holds no buffer.
class ClassicTransport final : public Transport {
 public:
  ClassicTransport(Ring& ring, BufferArena& arena, FileIndex fuse, MessageSink& sink);

  void reply(Request& request, int error, std::byte* data, std::uint32_t bytes) override;
  void turn() override {}
  bool look() override;
  void expect() override;
  TransportKind in_use() const override { return TransportKind::kClassic; }
  void pause(bool paused) override { paused_ = paused; }
  bool idle() const override { return replies_ == 0; }
  bool quiet() const override { return !polling_ && replies_ == 0; }

 private:
  /// Of one look: who waits for something else is not kept from it for longer.
  static constexpr unsigned kMostMessages = 32;
  /// Many small replies cost less through the ring, together. A large one goes at once, for its
  /// buffer is in the cache and the next request uses it again; and so does one that is alone, for
  /// somebody does nothing but wait for it.
  static constexpr std::uint32_t kLargeReplyBytes = 64 * 1024;
  struct Poll : Completion {
    ClassicTransport* transport = nullptr;
  };

  bool read_message();
  void read_failed(int error);
  void written(Request& request, int error);

  Ring& ring_;
  BufferArena& arena_;
  FileIndex fuse_;
  MessageSink& sink_;
  Poll poll_;
  unsigned found_ = 0;    ///< by the last look
  unsigned replies_ = 0;  ///< in the ring
  bool alone_ =
      false;  ///< each came after a look in vain: whether there is another need not be asked
  bool polling_ = false;
  bool starved_ = false;  ///< the last look had no memory for a message
  bool paused_ = false;
  bool lost_ = false;
};

}  // namespace blkio::data_plane
