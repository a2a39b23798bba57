// SPDX-License-Identifier: MIT
/// What is counted of a group on a device: in the five columns of the kernel's rwstat files, or as
/// one number.
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

/// What is counted per kind of operation. A flush counts in kThrottle* alone: in the kernel it does
/// not pass through the elevator, whose statistics the others are (block/blk-flush.c). So
/// kServiceNs / kBfqIos is a mean.
enum class Counter : std::uint8_t {
  kThrottleBytes = 0,  ///< bytes of requests, when they arrive
  kThrottleIos,        ///< requests, when they arrive
  kBfqBytes,           ///< bytes of requests, when they go to the device
  kBfqIos,             ///< requests, when they go to the device
  kServiceNs,          ///< ns from dispatch to completion, summed at completion
  kWaitNs,             ///< ns from arrival to dispatch, summed at dispatch
  kMerged,             ///< requests merged into others of the group
  kQueued,             ///< requests that wait or are at the device now: a gauge, see is_gauge()
};
inline constexpr int kCounters = 8;

/// A gauge shows the present: no reset clears it, and a removed group leaves nothing of it.
constexpr bool is_gauge(Counter counter) {
  return counter == Counter::kQueued;
}

/// What is one number per group and device; flushes are part of it like any request. A reset clears
/// them all. Time of a period that has not ended yet is not in it (block/bfq-cgroup.c).
enum class Scalar : std::uint8_t {
  /// The group's share of the time in which the device was busy, in ns: of an interval dt with k
  /// requests at the device each gets dt / k.
  kTimeNs = 0,
  kTimeLeftNs,    ///< what removed children left of it
  kAvgQueueSize,  ///< mean of the group's waiting requests, seen whenever one of them is picked
  kGroupWaitNs,   ///< from the first request that waits to the next dispatch, summed
  kIdleNs,        ///< in which the scheduler kept the device free for the group
  kEmptyNs,       ///< without requests, between such times; kIdleNs not included
  kDequeues,      ///< how often the group's own tasks left the competition for the device
};

}  // namespace blkio
