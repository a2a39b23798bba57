// SPDX-License-Identifier: MIT
/// What one group did on one device, counted by one thread and read by any.
#pragma once

#include <atomic>
#include <cstdint>

#include "blkio/op_counts.hpp"
#include "blkio/types.hpp"
#include "stats/counts.hpp"

namespace blkio::stats {

/// The counters behind the rwstat files: blkio.throttle.io_*, blkio.bfq.io_* and blkio.io_*.
///
/// Threads: the engine thread of the device is the only one that counts and inherits; any thread
/// reads; any thread resets. Nothing locks. A reader sees each column as it was at some moment of
/// the call, and Sync + Async equal to Read + Write + Discard always.
///
/// Everything on our path is synchronous (there is no write-back behind it), so Async stays 0 and
/// Sync, being the sum of the others, is not stored.
class DeviceCounters {
 public:
  DeviceCounters() = default;
  DeviceCounters(const DeviceCounters&) = delete;
  DeviceCounters& operator=(const DeviceCounters&) = delete;
  ~DeviceCounters();

  /// A request has arrived. A flush is a write io of no bytes (block/blk-throttle.c).
  void count_arrival(Op op, std::uint64_t bytes);

  // The rest does not count a flush: it never is in the elevator's hands (block/blk-flush.c).

  /// A request is in the group's queue now, or at the device: until leave_queue().
  void enter_queue(Op op);
  void leave_queue(Op op);
  /// A request goes to the device, having waited that long.
  void count_dispatch(Op op, std::uint64_t bytes, TimeNs waited_ns);
  /// A request has ended at the device.
  void count_completion(Op op, TimeNs served_ns);
  /// A request became part of another one of the group.
  void count_merge(Op op);

  /// Adds all that a removed child counted or inherited, since its last reset, to inherited();
  /// gauges apart. Allocates the first time.
  void inherit(const DeviceCounters& child);

  /// Adds what an earlier daemon had counted; gauges apart.
  void restore(Counter counter, const OpCounts& own, const OpCounts& inherited);

  /// The group's own count since the last reset(); of a gauge, its present value.
  OpCounts own(Counter counter) const;
  /// What removed children left since the last reset().
  OpCounts inherited(Counter counter) const;

  /// Both own() and inherited() start again from zero, except gauges. What the engine counts
  /// meanwhile is kept.
  void reset();

 private:
  /// The columns that are stored, in the order of the files.
  enum Column : std::uint8_t { kRead, kWrite, kDiscard, kColumns };

  /// A column's counters stand together: those one request counts in share a cache line or two.
  using Table = Counts<std::size_t{kColumns} * kCounters>;

  static Column column_of(Op op);
  static std::size_t cell(Counter counter, Column column) {
    return std::size_t{column} * kCounters + static_cast<std::size_t>(counter);
  }
  void add(Counter counter, Column column, std::uint64_t n) { own_.add(cell(counter, column), n); }
  static void add_columns(Table& table, Counter counter, const OpCounts& counts);
  Table& inheritance();

  Table own_;
  std::atomic<Table*> inherited_{nullptr};  ///< most groups never have children: owned, made late
};

}  // namespace blkio::stats
