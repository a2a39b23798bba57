// SPDX-License-Identifier: MIT
/// The memory of the data path: pinned once, used for ever.
///
/// Every buffer has kLead bytes (or more, see `alignment`) in front of its payload, where the FUSE
/// header of the message goes that is read into it or written from it. So a device reads straight
/// into the place from which the reply is sent, and a message never needs two pieces.
///
///     ... kLead ...|payload, aligned for O_DIRECT ........ capacity|
///      [in_header][write_in]|data of a WRITE
///           [out_header]|data of the reply to a READ
///
/// Memory is pinned by registering it with the ring: a copy to or from pinned pages cannot fail
/// when the process is killed in the middle of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ring.hpp"

namespace blkio::data_plane {

struct Buffer {
  std::byte* payload = nullptr;
  std::uint32_t capacity = 0;
  std::uint8_t size_class = 0;
  RegionIndex region = RegionIndex::kNotRegistered;
  Buffer* next_free = nullptr;
};

/// Not thread-safe: one per engine.
class BufferArena {
 public:
  static constexpr std::uint32_t kLead = 512;
  /// Room for the blocks around an unaligned request.
  static constexpr std::uint32_t kSlack = 2 * 4096;
  static constexpr std::array<std::uint32_t, 5> kCapacities = {4096, 16 * 1024, 64 * 1024,
                                                               256 * 1024, 1024 * 1024 + kSlack};

  /// limit_bytes: the most memory the arena ever takes, but for the smallest buffers; allocate()
  /// returns nullptr beyond it. alignment: of every payload, a power of two, 512 to 4096.
  BufferArena(Ring& ring, std::size_t limit_bytes, std::uint32_t alignment = kLead);
  ~BufferArena();
  BufferArena(const BufferArena&) = delete;
  BufferArena& operator=(const BufferArena&) = delete;

  std::uint32_t alignment() const { return alignment_; }
  /// Memory that was taken already is kept.
  void set_limit(std::size_t bytes) { limit_bytes_ = bytes; }

  /// A buffer for at least `bytes` (at most the largest capacity); nullptr if the limit is reached
  /// and no larger one is free.
  Buffer* allocate(std::uint32_t bytes);
  void release(Buffer* buffer);

  std::size_t mapped_bytes() const { return mapped_bytes_; }
  std::size_t used_bytes() const { return used_bytes_; }
  /// True if the kernel refused to pin some of the memory (RLIMIT_MEMLOCK).
  bool has_unpinned() const { return unpinned_; }

 private:
  struct Chunk {
    void* address;
    std::size_t bytes;
    std::unique_ptr<Buffer[]> buffers;
  };
  bool may_grow_to(std::size_t bytes, std::uint8_t size_class) const;
  bool grow(std::uint8_t size_class);

  Ring& ring_;
  std::size_t limit_bytes_;
  std::uint32_t alignment_;
  std::size_t mapped_bytes_ = 0;
  std::size_t used_bytes_ = 0;
  bool unpinned_ = false;
  std::array<Buffer*, kCapacities.size()> free_{};
  std::vector<Chunk> chunks_;
};

}  // namespace blkio::data_plane
