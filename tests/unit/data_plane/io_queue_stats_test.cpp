// SPDX-License-Identifier: MIT
/// What the queue tells the statistics. That all of it adds up is the simulator's to see; here are
/// the steps.
#include <catch2/catch.hpp>

#include "io_queue.hpp"
#include "unit/data_plane/queue_world.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

OpCounts counts(const stats::GroupStats& stats, Counter counter) {
  const stats::DeviceStats* row = stats.find(kDevice);
  return row == nullptr ? OpCounts{} : row->counters.own(counter);
}

std::uint64_t scalar(const stats::GroupStats& stats, Scalar scalar) {
  const stats::DeviceStats* row = stats.find(kDevice);
  return row == nullptr ? 0 : row->scheduling.scalar(scalar);
}

}  // namespace

TEST_CASE("a request waits, is served, and leaves the queue") {
  // 10 ios/s: the second read goes at 100 ms and is served for 7 ms.
  World world;
  world.queue.set_limit(kA, Limit::kReadIops, 10, 0);
  QueuedIo& first = world.arrive(kA, 0);
  QueuedIo& second = world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(counts(world.a, Counter::kQueued).read == 2);
  world.queue.complete(first, 2 * kMillisecondNs);
  CHECK(counts(world.a, Counter::kQueued).read == 1);
  CHECK(world.go(100 * kMillisecondNs).size() == 1);
  CHECK(second.stage == data_plane::IoStage::kAtDevice);
  world.queue.complete(second, 107 * kMillisecondNs);

  CHECK(counts(world.a, Counter::kQueued) == OpCounts{});
  CHECK(counts(world.a, Counter::kWaitNs).read == 100 * kMillisecondNs);
  CHECK(counts(world.a, Counter::kServiceNs).read == 9 * kMillisecondNs);
  CHECK(scalar(world.a, Scalar::kTimeNs) == 9 * kMillisecondNs);
  CHECK(scalar(world.a, Scalar::kAvgQueueSize) == 1);  // (2 + 1) / 2
  CHECK(scalar(world.root, Scalar::kTimeNs) == 0);
}

TEST_CASE("a late wake-up counts as waiting") {
  World world;
  world.queue.set_limit(kA, Limit::kReadIops, 10, 0);
  for (int i = 0; i < 2; ++i) world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.go(130 * kMillisecondNs).size() == 1);
  CHECK(counts(world.a, Counter::kWaitNs).read == 130 * kMillisecondNs);
}

TEST_CASE("a cancelled request leaves the queue and nothing else") {
  for (const bool limited : {false, true}) {
    CAPTURE(limited);
    World world;
    if (limited) world.queue.set_limit(kA, Limit::kReadIops, 0, 0);
    QueuedIo& io = world.arrive(kA, 10);
    CHECK(counts(world.a, Counter::kQueued).read == 1);
    CHECK(world.queue.cancel(io, 20));
    CHECK(counts(world.a, Counter::kQueued) == OpCounts{});
    CHECK(counts(world.a, Counter::kWaitNs) == OpCounts{});
    world.arrive(kA, 50);
    CHECK(scalar(world.a, Scalar::kEmptyNs) == 30);
    CHECK(scalar(world.a, Scalar::kGroupWaitNs) == 0);
  }
}

TEST_CASE("dequeue: the last that waits goes, whether it passed or was picked") {
  World world;
  world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);  // alone, past the scheduler
  CHECK(scalar(world.a, Scalar::kDequeues) == 1);
  for (int i = 0; i < 3; ++i) world.arrive(kA, 0);
  world.arrive(kB, 0);
  CHECK(world.go(0).size() == 4);
  CHECK(scalar(world.a, Scalar::kDequeues) == 2);
  CHECK(scalar(world.b, Scalar::kDequeues) == 1);
}

TEST_CASE("dequeue: a limit that holds the group takes it out each time") {
  // 10 ios/s, three at once: each goes, and the gate closes behind it; after the last nothing
  // waits either. That is 3 times in, 3 times out.
  for (const Hierarchy hierarchy : {Hierarchy::kTree, Hierarchy::kFlat}) {
    World world(hierarchy);
    world.queue.set_limit(kA, Limit::kReadIops, 10, 0);
    for (int i = 0; i < 3; ++i) world.arrive(kA, 0);
    for (TimeNs now = 0; now != kNever; now = world.queue.deadline()) {
      CHECK(world.go(now).size() == 1);
    }
    CHECK(scalar(world.a, Scalar::kDequeues) == 3);
  }
}

TEST_CASE("dequeue: a read that passes while a write competes changes nothing") {
  // The root's writes are held: the write competes in a, and cannot go. A read passes.
  World world;
  world.queue.set_limit(GroupId::kRoot, Limit::kWriteBps, 0, 0);
  world.arrive(kA, 0, Op::kWrite);
  world.arrive(kA, 0, Op::kRead);
  CHECK(world.go(0).size() == 1);
  CHECK(scalar(world.a, Scalar::kDequeues) == 0);
  world.queue.set_limit(GroupId::kRoot, Limit::kWriteBps, std::nullopt, 1);
  CHECK(world.go(1).size() == 1);
  CHECK(scalar(world.a, Scalar::kDequeues) == 1);
}

TEST_CASE("a request at the device when its group goes ends in the parent's name") {
  World world;
  world.queue.set_limit(kAA, Limit::kReadIops, 1, 0);
  QueuedIo& at_device = world.arrive(kAA, 0);
  QueuedIo& waits = world.arrive(kAA, 0, Op::kRead);
  CHECK(world.go(0).size() == 1);
  world.queue.group_removed(kAA, kA, 100);
  world.map.group_removed(kAA);
  CHECK(at_device.group == kA);
  CHECK(counts(world.a, Counter::kQueued).read == 2);
  CHECK(scalar(world.a, Scalar::kTimeLeftNs) == 100);
  CHECK(world.go(100).size() == 1);
  CHECK(counts(world.a, Counter::kWaitNs).read == 100);

  // From 100 to 150 both are at the device, from 150 to 160 the second alone.
  world.queue.complete(at_device, 150);
  world.queue.complete(waits, 160);
  CHECK(counts(world.a, Counter::kQueued) == OpCounts{});
  CHECK(counts(world.a, Counter::kServiceNs).read == 150 + 60);
  CHECK(scalar(world.a, Scalar::kTimeNs) == 60);
}

TEST_CASE("what the parent inherits of the child's times") {
  World world;
  QueuedIo& io = world.arrive(kAA, 0);
  CHECK(world.go(30).size() == 1);
  world.queue.complete(io, 50);
  world.queue.group_removed(kAA, kA, 1000);
  world.map.group_removed(kAA);
  const stats::DeviceStats& a = *world.a.find(kDevice);
  CHECK(a.counters.inherited(Counter::kWaitNs).read == 30);
  CHECK(a.counters.inherited(Counter::kServiceNs).read == 20);
  CHECK(a.scheduling.scalar(Scalar::kTimeLeftNs) == 20);
  CHECK(a.scheduling.scalar(Scalar::kTimeNs) == 0);
}

TEST_CASE("a flush takes the device's time, and no part in the rwstat files") {
  World world;
  QueuedIo& io = world.arrive(kA, 0, Op::kFlush, 0);
  CHECK(counts(world.a, Counter::kQueued) == OpCounts{});
  CHECK(world.go(10).size() == 1);
  world.queue.complete(io, 110);
  CHECK(counts(world.a, Counter::kWaitNs) == OpCounts{});
  CHECK(counts(world.a, Counter::kServiceNs) == OpCounts{});
  CHECK(counts(world.a, Counter::kQueued) == OpCounts{});
  CHECK(scalar(world.a, Scalar::kTimeNs) == 100);
  CHECK(scalar(world.a, Scalar::kGroupWaitNs) == 10);
}
