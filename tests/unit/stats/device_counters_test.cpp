// SPDX-License-Identifier: MIT
#include "stats/device_counters.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

using blkio::Counter;
using blkio::DeviceNumber;
using blkio::Op;
using blkio::OpCounts;
using blkio::stats::DeviceCounters;

namespace {

OpCounts counts(std::uint64_t read, std::uint64_t write, std::uint64_t discard) {
  return {read, write, read + write + discard, 0, discard};
}

}  // namespace

TEST_CASE("each operation counts in its column, and all of it as Sync") {
  DeviceCounters counters;
  counters.count_arrival(Op::kRead, 4096);
  counters.count_arrival(Op::kRead, 512);
  counters.count_arrival(Op::kWrite, 8192);
  counters.count_arrival(Op::kWriteZeroes, 65536);
  counters.count_arrival(Op::kDiscard, 1048576);

  // Reads 4096 + 512; write-zeroes is a write: 8192 + 65536; a discard counts its own bytes.
  CHECK(counters.own(Counter::kThrottleBytes) == counts(4608, 73728, 1048576));
  CHECK(counters.own(Counter::kThrottleIos) == counts(2, 2, 1));
  CHECK(counters.own(Counter::kThrottleIos).total() == 5);
  CHECK(counters.own(Counter::kThrottleIos).async == 0);
  CHECK(counters.own(Counter::kBfqIos) == OpCounts{});
}

TEST_CASE("arrivals and dispatches are counted apart") {
  DeviceCounters counters;
  counters.count_arrival(Op::kRead, 4096);
  counters.count_arrival(Op::kRead, 4096);
  counters.count_dispatch(Op::kRead, 4096, 0);
  CHECK(counters.own(Counter::kThrottleBytes).read == 8192);
  CHECK(counters.own(Counter::kBfqBytes).read == 4096);
  CHECK(counters.own(Counter::kBfqIos).read == 1);
}

TEST_CASE("a flush is a write io of no bytes when it arrives, and nothing to the elevator") {
  // A synchronous direct write on a loop device: throttle.io_serviced +2, bfq.io_serviced +1.
  DeviceCounters counters;
  for (const Op op : {Op::kWrite, Op::kFlush}) {
    counters.count_arrival(op, 4096);
    counters.count_dispatch(op, 4096, 0);
  }
  CHECK(counters.own(Counter::kThrottleIos) == counts(0, 2, 0));
  CHECK(counters.own(Counter::kThrottleBytes) == counts(0, 4096, 0));
  CHECK(counters.own(Counter::kBfqIos) == counts(0, 1, 0));
  CHECK(counters.own(Counter::kBfqBytes) == counts(0, 4096, 0));
}

TEST_CASE("times and the queue: each in the column of its operation, a flush in none") {
  DeviceCounters counters;
  for (const Op op : {Op::kRead, Op::kWrite, Op::kDiscard, Op::kFlush}) counters.enter_queue(op);
  counters.count_dispatch(Op::kRead, 512, 10);
  counters.count_dispatch(Op::kRead, 512, 5);
  counters.count_dispatch(Op::kWrite, 512, 200);
  counters.count_dispatch(Op::kFlush, 0, 5000);
  CHECK(counters.own(Counter::kWaitNs) == counts(15, 200, 0));
  CHECK(counters.own(Counter::kQueued) == counts(1, 1, 1));

  counters.leave_queue(Op::kRead);
  counters.leave_queue(Op::kFlush);
  counters.count_completion(Op::kRead, 7);
  counters.count_completion(Op::kDiscard, 90);
  counters.count_completion(Op::kFlush, 5000);
  CHECK(counters.own(Counter::kServiceNs) == counts(7, 0, 90));
  CHECK(counters.own(Counter::kQueued) == counts(0, 1, 1));

  counters.count_merge(Op::kWrite);
  counters.count_merge(Op::kFlush);
  CHECK(counters.own(Counter::kMerged) == counts(0, 1, 0));
}

TEST_CASE("a gauge shows the present: a reset leaves it, and no parent inherits it") {
  DeviceCounters child;
  child.enter_queue(Op::kRead);
  child.enter_queue(Op::kRead);
  child.reset();
  child.leave_queue(Op::kRead);
  CHECK(child.own(Counter::kQueued) == counts(1, 0, 0));  // 2 - 1
  DeviceCounters parent;
  parent.inherit(child);
  CHECK(parent.own(Counter::kQueued) == OpCounts{});
  CHECK(parent.inherited(Counter::kQueued) == OpCounts{});
}

TEST_CASE("a reset starts all columns again from zero") {
  DeviceCounters child;
  child.count_arrival(Op::kWrite, 512);
  DeviceCounters counters;
  counters.count_arrival(Op::kRead, 4096);
  counters.inherit(child);
  counters.reset();
  CHECK(counters.own(Counter::kThrottleBytes) == OpCounts{});
  CHECK(counters.inherited(Counter::kThrottleBytes) == OpCounts{});

  counters.count_arrival(Op::kRead, 1024);
  CHECK(counters.own(Counter::kThrottleBytes) == counts(1024, 0, 0));
}

TEST_CASE("a parent inherits what the child counted and inherited, since the child's last reset") {
  DeviceCounters grandchild;
  DeviceCounters child;
  DeviceCounters parent;
  grandchild.count_arrival(Op::kRead, 1);
  child.inherit(grandchild);
  child.reset();
  grandchild.count_arrival(Op::kRead, 10);
  child.inherit(grandchild);  // 1 + 10: the grandchild itself was never reset
  child.count_arrival(Op::kDiscard, 100);
  parent.count_arrival(Op::kWrite, 1000);
  parent.inherit(child);

  CHECK(parent.own(Counter::kThrottleBytes) == counts(0, 1000, 0));
  CHECK(parent.inherited(Counter::kThrottleBytes) == counts(11, 0, 100));
  CHECK(parent.inherited(Counter::kThrottleIos) == counts(2, 0, 1));
}

TEST_CASE("resets while the engine counts lose nothing and never read negative") {
  constexpr std::uint64_t kRequests = 200'000;
  DeviceCounters counters;
  std::atomic<bool> done{false};
  std::thread engine([&] {
    for (std::uint64_t i = 0; i < kRequests; ++i) counters.count_arrival(Op::kRead, 1);
    done = true;
  });
  std::thread control([&] {
    while (!done) counters.reset();
  });
  std::uint64_t most = 0;
  bool sums = true;
  while (!done) {
    const OpCounts seen = counters.own(Counter::kThrottleIos);
    most = std::max(most, seen.read);
    sums = sums && seen.sync == seen.total();
  }
  engine.join();
  control.join();
  // A negative difference would wrap to something near 2^64.
  CHECK(most <= kRequests);
  CHECK(sums);
  // The engine's own additions were all kept: after a last reset it counts on from zero.
  counters.reset();
  counters.count_arrival(Op::kRead, 1);
  CHECK(counters.own(Counter::kThrottleIos).read == 1);
  DeviceCounters heir;
  heir.inherit(counters);
  CHECK(heir.inherited(Counter::kThrottleBytes).read == 1);
}
