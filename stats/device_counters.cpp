// SPDX-License-Identifier: MIT
#include "stats/device_counters.hpp"

namespace blkio::stats {

void DeviceCounters::Table::add(Counter counter, Column column, std::uint64_t n) {
  auto& value = values[static_cast<std::size_t>(counter)][column];
  value.store(value.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

// The baseline first, with acquire: whoever sees a baseline sees at least the value it was taken
// from, so the difference is never negative.
OpCounts DeviceCounters::Table::since_reset(Counter counter) const {
  const auto& value = values[static_cast<std::size_t>(counter)];
  const auto& baseline = baselines[static_cast<std::size_t>(counter)];
  const auto difference = [&](Column column) {
    const std::uint64_t from = baseline[column].load(std::memory_order_acquire);
    return value[column].load(std::memory_order_relaxed) - from;
  };
  OpCounts counts;
  counts.read = difference(kRead);
  counts.write = difference(kWrite);
  counts.discard = difference(kDiscard);
  counts.sync = counts.total();
  return counts;
}

void DeviceCounters::Table::reset() {
  for (std::size_t counter = 0; counter < kCounters; ++counter) {
    for (std::size_t column = 0; column < kColumns; ++column) {
      baselines[counter][column].store(values[counter][column].load(std::memory_order_relaxed),
                                       std::memory_order_release);
    }
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
  own_.add(Counter::kThrottleBytes, column, op == Op::kFlush ? 0 : bytes);
  own_.add(Counter::kThrottleIos, column, 1);
}

void DeviceCounters::count_dispatch(Op op, std::uint64_t bytes) {
  if (op == Op::kFlush) return;
  const Column column = column_of(op);
  own_.add(Counter::kBfqBytes, column, bytes);
  own_.add(Counter::kBfqIos, column, 1);
}

void DeviceCounters::inherit(const DeviceCounters& child) {
  for (int i = 0; i < kCounters; ++i) {
    const auto counter = static_cast<Counter>(i);
    OpCounts left = child.own(counter);
    left += child.inherited(counter);
    inherited_.add(counter, kRead, left.read);
    inherited_.add(counter, kWrite, left.write);
    inherited_.add(counter, kDiscard, left.discard);
  }
}

void DeviceCounters::reset() {
  own_.reset();
  inherited_.reset();
}

}  // namespace blkio::stats
