// SPDX-License-Identifier: MIT
#include "buffer_arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cassert>

namespace blkio::data_plane {
namespace {

/// Small classes grow by about this much, large ones by a few buffers.
constexpr std::size_t kChunkBytes = 1024 * 1024;
constexpr std::size_t kFewestBuffers = 4;

/// Of the limit, the part only the largest buffers may take: messages land in these, and memory
/// once cut small never becomes large again.
constexpr std::size_t kLandingShare = 8;

std::size_t round_up(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) & ~(alignment - 1);
}

}  // namespace

BufferArena::BufferArena(Ring& ring, std::size_t limit_bytes, std::uint32_t alignment)
    : ring_(ring), limit_bytes_(limit_bytes), alignment_(alignment) {
  assert((alignment & (alignment - 1)) == 0 && alignment >= kLead && alignment <= 4096);
}

BufferArena::~BufferArena() {
  for (const Chunk& chunk : chunks_) munmap(chunk.address, chunk.bytes);
}

/// Short replies always find room: their number is bounded by that of the requests.
bool BufferArena::may_grow_to(std::size_t bytes, std::uint8_t size_class) const {
  if (size_class == 0) return true;
  const bool largest = size_class + 1u == kCapacities.size();
  return bytes <= limit_bytes_ - (largest ? 0 : limit_bytes_ / kLandingShare);
}

bool BufferArena::grow(std::uint8_t size_class) {
  const std::size_t lead = round_up(kLead, alignment_);
  const std::size_t stride = lead + round_up(kCapacities[size_class], alignment_);
  const std::size_t count = std::max(kChunkBytes / stride, kFewestBuffers);
  const std::size_t bytes = stride * count;
  if (!may_grow_to(mapped_bytes_ + bytes, size_class)) return false;
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return false;
  madvise(address, bytes, MADV_DONTFORK);

  const RegionIndex region = ring_.register_region(address, bytes);
  unpinned_ = unpinned_ || region == RegionIndex::kNotRegistered;
  Chunk chunk{address, bytes, std::make_unique<Buffer[]>(count)};
  for (std::size_t i = 0; i < count; ++i) {
    Buffer& buffer = chunk.buffers[i];
    buffer.payload = static_cast<std::byte*>(address) + i * stride + lead;
    buffer.capacity = kCapacities[size_class];
    buffer.size_class = size_class;
    buffer.region = region;
    buffer.next_free = free_[size_class];
    free_[size_class] = &buffer;
  }
  mapped_bytes_ += bytes;
  chunks_.push_back(std::move(chunk));
  return true;
}

Buffer* BufferArena::allocate(std::uint32_t bytes) {
  assert(bytes <= kCapacities.back());
  std::uint8_t size_class = 0;
  while (kCapacities[size_class] < bytes) ++size_class;
  if (free_[size_class] == nullptr && !grow(size_class)) {
    while (free_[size_class] == nullptr) {
      if (++size_class == kCapacities.size()) return nullptr;
    }
  }
  Buffer* buffer = free_[size_class];
  free_[size_class] = buffer->next_free;
  used_bytes_ += buffer->capacity;
  return buffer;
}

void BufferArena::release(Buffer* buffer) {
  used_bytes_ -= buffer->capacity;
  buffer->next_free = free_[buffer->size_class];
  free_[buffer->size_class] = buffer;
}

}  // namespace blkio::data_plane
