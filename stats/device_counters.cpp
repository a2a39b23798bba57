// SPDX-License-Identifier: MIT
#include "stats/device_counters.hpp"

namespace blkio::stats {

void DeviceCounters::Cell::add(std::uint64_t n) {
  value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// The baseline first, with acquire: whoever sees a baseline sees at least the value it was taken
// from, so the difference is never negative.
std::uint64_t DeviceCounters::Cell::since_reset() const {
  const std::uint64_t baseline = baseline_.load(std::memory_order_acquire);
  return value_.load(std::memory_order_relaxed) - baseline;
}

void DeviceCounters::Cell::reset() {
  baseline_.store(value_.load(std::memory_order_relaxed), std::memory_order_release);
}

OpCounts DeviceCounters::Table::since_reset(Counter counter) const {
  OpCounts counts;
  counts.read = at(counter, kRead).since_reset();
  counts.write = at(counter, kWrite).since_reset();
  counts.discard = at(counter, kDiscard).since_reset();
  counts.sync = counts.total();
  return counts;
}

void DeviceCounters::Table::reset() {
  for (auto& columns : cells) {
    for (Cell& cell : columns) cell.reset();
  }
}

DeviceCounters::Column DeviceCounters::column_of(Op op) {
  switch (op) {
    case Op::kRead:
      return kRead;
    case Op::kDiscard:
      return kDiscard;
    case Op::kWrite:
    case Op::kWriteZeroes:
    case Op::kFlush:
      break;
  }
  return kWrite;
}

void DeviceCounters::count_arrival(Op op, std::uint64_t bytes) {
  const Column column = column_of(op);
  own_.at(Counter::kThrottleBytes, column).add(op == Op::kFlush ? 0 : bytes);
  own_.at(Counter::kThrottleIos, column).add(1);
}

void DeviceCounters::count_dispatch(Op op, std::uint64_t bytes) {
  if (op == Op::kFlush) return;
  const Column column = column_of(op);
  own_.at(Counter::kBfqBytes, column).add(bytes);
  own_.at(Counter::kBfqIos, column).add(1);
}

void DeviceCounters::inherit(const DeviceCounters& child) {
  for (int i = 0; i < kCounters; ++i) {
    const auto counter = static_cast<Counter>(i);
    OpCounts left = child.own(counter);
    left += child.inherited(counter);
    inherited_.at(counter, kRead).add(left.read);
    inherited_.at(counter, kWrite).add(left.write);
    inherited_.at(counter, kDiscard).add(left.discard);
  }
}

void DeviceCounters::reset() {
  own_.reset();
  inherited_.reset();
}

}  // namespace blkio::stats
