// SPDX-License-Identifier: MIT
/// Classic /dev/fuse, read and written through the ring.
#pragma once

#include <array>

#include "transport.hpp"

namespace blkio::data_plane {

/// The descriptor is non-blocking. While messages come, several READs are posted at once and all
/// that is there arrives in one system call; the first that finds nothing ends the round, and one
/// poll waits for the next message. An idle connection holds no buffer.
class ClassicTransport final : public Transport {
 public:
  ClassicTransport(Ring& ring, BufferArena& arena, FileIndex fuse, MessageSink& sink);

  void reply(Request& request, int error, std::byte* data, std::uint32_t bytes) override;
  void turn() override;
  TransportKind in_use() const override { return TransportKind::kClassic; }
  void pause(bool paused) override { paused_ = paused; }
  bool idle() const override { return replies_ == 0; }
  bool quiet() const override { return replies_ == 0 && posted_ == 0 && !polling_; }

 private:
  static constexpr unsigned kMostReads = 16;
  struct ReadSlot : Completion {
    ClassicTransport* transport = nullptr;
    Buffer* landing = nullptr;
  };
  struct Poll : Completion {
    ClassicTransport* transport = nullptr;
  };

  void post_reads();
  void on_read(ReadSlot& slot, std::int32_t result);
  void on_written(Request& request, std::int32_t result);
  void lost();

  Ring& ring_;
  BufferArena& arena_;
  FileIndex fuse_;
  MessageSink& sink_;
  std::array<ReadSlot, kMostReads> slots_;
  Poll poll_;
  unsigned posted_ = 0;   ///< READs in the ring
  unsigned wanted_ = 1;   ///< how many to post next: follows what the last round found
  unsigned found_ = 0;    ///< messages of this round
  unsigned replies_ = 0;  ///< replies in the ring
  bool ran_dry_ = true;   ///< a READ of this round found nothing
  bool polling_ = false;
  bool paused_ = false;
  bool lost_ = false;
};

}  // namespace blkio::data_plane
