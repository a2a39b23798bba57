// SPDX-License-Identifier: MIT
/// The five columns of the kernel's rwstat files, and the sum of two of them.
#pragma once

#include <cstdint>

namespace blkio {

/// Sync + Async and Read + Write + Discard are both the total (block/blk-cgroup-rwstat.c).
struct OpCounts {
  std::uint64_t read = 0;
  std::uint64_t write = 0;
  std::uint64_t sync = 0;
  std::uint64_t async = 0;
  std::uint64_t discard = 0;

  std::uint64_t total() const { return read + write + discard; }
  OpCounts& operator+=(const OpCounts& other) {
    read += other.read;
    write += other.write;
    sync += other.sync;
    async += other.async;
    discard += other.discard;
    return *this;
  }
  bool operator==(const OpCounts&) const = default;
};

/// Which counter of a group on a device. throttle_* count at arrival, bfq_* at dispatch.
enum class Counter : std::uint8_t { kThrottleBytes = 0, kThrottleIos, kBfqBytes, kBfqIos };
inline constexpr int kCounters = 4;

}  // namespace blkio
