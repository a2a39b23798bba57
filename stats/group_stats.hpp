// SPDX-License-Identifier: MIT
/// The devices one group knows, and what it did on each.
#pragma once

#include <atomic>
#include <vector>

#include "blkio/types.hpp"
#include "stats/device_counters.hpp"

namespace blkio::stats {

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
  DeviceCounters& meet(DeviceNumber device);
  /// nullptr if the group has never met the device.
  const DeviceCounters* find(DeviceNumber device) const;
  /// The device met last comes first.
  std::vector<DeviceNumber> devices() const;
  /// DeviceCounters::reset() of every row.
  void reset();

 private:
  struct Row {
    explicit Row(DeviceNumber device) : counters(device) {}
    DeviceCounters counters;
    Row* older = nullptr;
  };

  Row* row_of(DeviceNumber device) const;

  std::atomic<Row*> newest_{nullptr};
};

}  // namespace blkio::stats
