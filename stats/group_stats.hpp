// SPDX-License-Identifier: MIT
/// The devices one group knows, and what it did on each.
#pragma once

#include <atomic>
#include <vector>

#include "blkio/types.hpp"
#include "stats/device_counters.hpp"
#include "stats/scheduling_stats.hpp"

namespace blkio::stats {

/// One device's row of a group.
struct DeviceStats {
  DeviceCounters counters;
  SchedulingStats scheduling;
};

/// A list that only grows, at its head: the device met last comes first, which is the order of the
/// rows in all files of the group (block/blk-cgroup.c, blkg_create).
///
/// Threads: the engine of a device calls meet() for it, any thread reads and resets. Nothing locks;
/// rows stay where they are until the GroupStats dies, which its owner delays until no engine knows
/// the group any more.
class GroupStats {
 public:
  GroupStats() = default;
  GroupStats(const GroupStats&) = delete;
  GroupStats& operator=(const GroupStats&) = delete;
  ~GroupStats();

  /// The row of the device; a row of zeros is put first if there was none. Allocates then only.
  /// Two threads must not meet the same device at once (each device has one engine).
  DeviceStats& meet(DeviceNumber device);
  /// nullptr if the group has never met the device.
  const DeviceStats* find(DeviceNumber device) const;
  /// The device met last comes first.
  std::vector<DeviceNumber> devices() const;
  /// Clears every row.
  void reset();
  /// Clears the device's row, if there is one.
  void reset(DeviceNumber device);

 private:
  /// What a request counts in stands in as few cache lines as can be.
  struct alignas(64) Row {
    explicit Row(DeviceNumber of) : device(of) {}
    DeviceStats stats;
    DeviceNumber device;
    Row* older = nullptr;
  };

  Row* row_of(DeviceNumber device) const;

  std::atomic<Row*> newest_{nullptr};
};

}  // namespace blkio::stats
