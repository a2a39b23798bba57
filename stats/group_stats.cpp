// SPDX-License-Identifier: MIT
#include "stats/group_stats.hpp"

#include <memory>

namespace blkio::stats {

GroupStats::~GroupStats() {
  for (Row* row = newest_.load(std::memory_order_acquire); row != nullptr;) {
    const std::unique_ptr<Row> dying(row);
    row = dying->older;
  }
}

GroupStats::Row* GroupStats::row_of(DeviceNumber device) const {
  Row* row = newest_.load(std::memory_order_acquire);
  while (row != nullptr && row->device != device) row = row->older;
  return row;
}

DeviceStats& GroupStats::meet(DeviceNumber device) {
  if (Row* known = row_of(device)) return known->stats;
  auto row = std::make_unique<Row>(device);
  // Another engine may be putting in a row of its own device: hence the loop.
  row->older = newest_.load(std::memory_order_acquire);
  while (!newest_.compare_exchange_weak(row->older, row.get(), std::memory_order_acq_rel)) {
  }
  return row.release()->stats;
}

const DeviceStats* GroupStats::find(DeviceNumber device) const {
  const Row* row = row_of(device);
  return row == nullptr ? nullptr : &row->stats;
}

std::vector<DeviceNumber> GroupStats::devices() const {
  std::vector<DeviceNumber> met;
  for (const Row* row = newest_.load(std::memory_order_acquire); row != nullptr; row = row->older) {
    met.push_back(row->device);
  }
  return met;
}

void GroupStats::reset(DeviceNumber device) {
  if (Row* row = row_of(device)) {
    row->stats.counters.reset();
    row->stats.scheduling.reset();
  }
}

void GroupStats::reset() {
  for (Row* row = newest_.load(std::memory_order_acquire); row != nullptr; row = row->older) {
    row->stats.counters.reset();
    row->stats.scheduling.reset();
  }
}

}  // namespace blkio::stats
