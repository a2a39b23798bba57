// SPDX-License-Identifier: MIT
#include "stats/device_counters.hpp"

#include <memory>

namespace blkio::stats {
namespace {

template <class Read>
OpCounts columns(Read&& read, std::size_t reads, std::size_t writes, std::size_t discards) {
  OpCounts counts;
  counts.read = read(reads);
  counts.write = read(writes);
  counts.discard = read(discards);
  counts.sync = counts.total();
  return counts;
}

}  // namespace

DeviceCounters::~DeviceCounters() {
  const std::unique_ptr<Table> dying(inherited_.load(std::memory_order_acquire));
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

// ---- counting ----------------------------------------------------------------------------------

void DeviceCounters::count_arrival(Op op, std::uint64_t bytes) {
  const Column column = column_of(op);
  add(Counter::kThrottleBytes, column, op == Op::kFlush ? 0 : bytes);
  add(Counter::kThrottleIos, column, 1);
}

void DeviceCounters::enter_queue(Op op) {
  if (op != Op::kFlush) add(Counter::kQueued, column_of(op), 1);
}

void DeviceCounters::leave_queue(Op op) {
  if (op != Op::kFlush) own_.subtract(cell(Counter::kQueued, column_of(op)), 1);
}

void DeviceCounters::count_dispatch(Op op, std::uint64_t bytes, TimeNs waited_ns) {
  if (op == Op::kFlush) return;
  const Column column = column_of(op);
  add(Counter::kBfqBytes, column, bytes);
  add(Counter::kBfqIos, column, 1);
  add(Counter::kWaitNs, column, static_cast<std::uint64_t>(waited_ns));
}

void DeviceCounters::count_completion(Op op, TimeNs served_ns) {
  if (op == Op::kFlush) return;
  add(Counter::kServiceNs, column_of(op), static_cast<std::uint64_t>(served_ns));
}

void DeviceCounters::count_merge(Op op) {
  if (op != Op::kFlush) add(Counter::kMerged, column_of(op), 1);
}

// ---- what removed children left ----------------------------------------------------------------

DeviceCounters::Table& DeviceCounters::inheritance() {
  Table* table = inherited_.load(std::memory_order_relaxed);
  if (table == nullptr) {
    table = std::make_unique<Table>().release();
    inherited_.store(table, std::memory_order_release);
  }
  return *table;
}

void DeviceCounters::inherit(const DeviceCounters& child) {
  Table& table = inheritance();
  for (int i = 0; i < kCounters; ++i) {
    const auto counter = static_cast<Counter>(i);
    if (is_gauge(counter)) continue;
    OpCounts left = child.own(counter);
    left += child.inherited(counter);
    add_columns(table, counter, left);
  }
}

void DeviceCounters::restore(Counter counter, const OpCounts& own, const OpCounts& inherited) {
  if (is_gauge(counter)) return;
  add_columns(own_, counter, own);
  if (inherited.total() != 0) add_columns(inheritance(), counter, inherited);
}

void DeviceCounters::add_columns(Table& table, Counter counter, const OpCounts& counts) {
  table.add(cell(counter, kRead), counts.read);
  table.add(cell(counter, kWrite), counts.write);
  table.add(cell(counter, kDiscard), counts.discard);
}

// ---- reading -----------------------------------------------------------------------------------

OpCounts DeviceCounters::own(Counter counter) const {
  const auto read = [&](std::size_t i) {
    return is_gauge(counter) ? own_.value(i) : own_.since_reset(i);
  };
  return columns(read, cell(counter, kRead), cell(counter, kWrite), cell(counter, kDiscard));
}

OpCounts DeviceCounters::inherited(Counter counter) const {
  const Table* table = inherited_.load(std::memory_order_acquire);
  if (table == nullptr) return {};
  const auto read = [&](std::size_t i) { return table->since_reset(i); };
  return columns(read, cell(counter, kRead), cell(counter, kWrite), cell(counter, kDiscard));
}

void DeviceCounters::reset() {
  own_.reset();
  if (Table* table = inherited_.load(std::memory_order_acquire)) table->reset();
}

}  // namespace blkio::stats
