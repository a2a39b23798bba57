// SPDX-License-Identifier: MIT
/// The words every part of blkio shares: who, which device, what kind of I/O, when.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace blkio {

/// A group of the hierarchy. Never used again for another group while the daemon's state lives.
enum class GroupId : std::uint32_t { kRoot = 1 };

/// MAJ:MIN as the kernel prints it.
struct DeviceNumber {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  auto operator<=>(const DeviceNumber&) const = default;
};

enum class Direction : std::uint8_t { kRead = 0, kWrite = 1 };
inline constexpr int kDirections = 2;

constexpr Direction opposite(Direction direction) {
  return direction == Direction::kRead ? Direction::kWrite : Direction::kRead;
}

/// What a request does to the device. Everything but a read is of the write direction.
enum class Op : std::uint8_t { kRead = 0, kWrite, kDiscard, kWriteZeroes, kFlush };

constexpr Direction direction_of(Op op) {
  return op == Op::kRead ? Direction::kRead : Direction::kWrite;
}

/// What a limiter charges for a request. The kernel's way: a discard is one io of 512 bytes, a
/// flush one io of no bytes (block/blk-throttle.c, throtl_bio_data_size).
struct Charge {
  std::uint64_t bytes = 0;
  std::uint32_t ios = 1;
};

constexpr std::uint64_t kDiscardChargeBytes = 512;

constexpr Charge charge_of(Op op, std::uint64_t bytes) {
  if (op == Op::kDiscard) return {kDiscardChargeBytes, 1};
  if (op == Op::kFlush) return {0, 1};
  return {bytes, 1};
}

/// The upper limits a group may have on a device, each per second.
enum class Limit : std::uint8_t {
  kReadBps = 0,
  kWriteBps,
  kReadIops,
  kWriteIops,
  kTotalBps,
  kTotalIops
};
inline constexpr int kLimits = 6;

/// A total counts both directions, and closes both.
constexpr bool is_total(Limit limit) {
  return limit == Limit::kTotalBps || limit == Limit::kTotalIops;
}
constexpr bool counts_bytes(Limit limit) {
  return limit == Limit::kReadBps || limit == Limit::kWriteBps || limit == Limit::kTotalBps;
}
constexpr bool covers(Limit limit, Direction direction) {
  if (is_total(limit)) return true;
  const bool reads = limit == Limit::kReadBps || limit == Limit::kReadIops;
  return reads == (direction == Direction::kRead);
}

/// Monotonic time in nanoseconds. Policies are given it, they never ask for it.
using TimeNs = std::int64_t;
inline constexpr TimeNs kNever = std::numeric_limits<TimeNs>::max();
inline constexpr TimeNs kLongAgo = std::numeric_limits<TimeNs>::min() / 2;
inline constexpr TimeNs kSecondNs = 1'000'000'000;
inline constexpr TimeNs kMillisecondNs = 1'000'000;

/// Do an ancestor's limits bind the groups below it?
enum class Hierarchy : std::uint8_t {
  kTree,  ///< a limit covers the subtree; a rule in the root group caps the device
  kFlat,  ///< a limit covers the group's own tasks only, as the kernel's v1 controller has it
};

/// Which set of files and formats is shown; see the table of dialects in docs/files.md.
enum class Dialect : std::uint8_t { kDoc = 1, kKernel = 2 };

}  // namespace blkio
