// SPDX-License-Identifier: MIT
/// What one group did on one device, counted by one thread and read by any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "blkio/op_counts.hpp"
#include "blkio/types.hpp"

namespace blkio::stats {

/// The counters behind blkio.throttle.io_* and blkio.bfq.io_*.
///
/// Threads: the engine thread of the device is the only one that counts and inherits; any thread
/// reads; any thread resets. Nothing locks. A reader sees each column as it was at some moment of
/// the call, and Sync + Async equal to Read + Write + Discard always.
///
/// Everything on our path is synchronous (there is no write-back behind it), so Async stays 0 and
/// Sync, being the sum of the others, is not stored.
class DeviceCounters {
 public:
  explicit DeviceCounters(DeviceNumber device) : device_(device) {}
  DeviceCounters(const DeviceCounters&) = delete;
  DeviceCounters& operator=(const DeviceCounters&) = delete;

  DeviceNumber device() const { return device_; }

  /// A request has arrived. A flush is a write io of no bytes (block/blk-throttle.c).
  void count_arrival(Op op, std::uint64_t bytes);
  /// A request goes to the device. A flush does not count here: it never is in the elevator's hands
  /// (block/blk-flush.c).
  void count_dispatch(Op op, std::uint64_t bytes);
  /// Adds all that a removed child counted or inherited, since its last reset, to inherited().
  void inherit(const DeviceCounters& child);

  /// The group's own count since the last reset().
  OpCounts own(Counter counter) const { return own_.since_reset(counter); }
  /// What removed children left since the last reset().
  OpCounts inherited(Counter counter) const { return inherited_.since_reset(counter); }

  /// Both own() and inherited() start again from zero. What the engine counts meanwhile is kept.
  void reset();

 private:
  /// The columns that are stored, in the order of the files.
  enum Column : std::uint8_t { kRead, kWrite, kDiscard, kColumns };

  static Column column_of(Op op);

  using Values = std::array<std::array<std::atomic<std::uint64_t>, kColumns>, kCounters>;

  /// Only the engine thread writes `values`, so its additions need no atomic read-modify-write, and
  /// a reset cannot lose one: it moves the baselines, which readers subtract.
  struct Table {
    Values values{};
    Values baselines{};

    void add(Counter counter, Column column, std::uint64_t n);
    OpCounts since_reset(Counter counter) const;
    void reset();
  };

  DeviceNumber device_;
  Table own_;
  Table inherited_;
};

}  // namespace blkio::stats
