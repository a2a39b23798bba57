// SPDX-License-Identifier: MIT
#include "stats/scheduling_stats.hpp"

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

using blkio::Scalar;
using blkio::TimeNs;
using blkio::stats::DeviceTime;
using blkio::stats::SchedulingStats;

namespace {

/// Groups at one device, told what happens in the right order.
struct Device {
  void dispatch(SchedulingStats& group, TimeNs now) {
    time.enter(now);
    group.dispatched(now, time.per_request());
  }
  void complete(SchedulingStats& group, TimeNs now) {
    const DeviceTime::Parts rest = time.leave(now);
    group.completed(now, time.per_request(), rest);
  }
  void remove(SchedulingStats& child, SchedulingStats& parent, TimeNs now) {
    time.advance(now);
    parent.inherit(child, now, time.per_request());
  }
  /// One request that neither waits nor overlaps with another.
  void serve(SchedulingStats& group, TimeNs from, TimeNs to) {
    group.arrived(from);
    dispatch(group, from);
    complete(group, to);
  }

  DeviceTime time;
};

}  // namespace

TEST_CASE("a group nobody has heard of reads zero") {
  const SchedulingStats group;
  for (int i = 0; i <= static_cast<int>(Scalar::kDequeues); ++i) {
    CHECK(group.scalar(static_cast<Scalar>(i)) == 0);
  }
}

TEST_CASE("time: each interval is divided among those at the device") {
  //     a  |---- 0 .. 40 ----|              0..10 alone, 10..20 one of two, 20..40 two of three
  //     a           |-- 20 .. 50 --|        (the second of a), 40..50 one of two
  //     b      |------ 10 .. 60 ------|
  // a: 10 + 10/2 + 20 * 2/3 + 10/2, b: 10/2 + 20/3 + 10/2 + 10. Sum 60, the busy time.
  Device device;
  SchedulingStats a;
  SchedulingStats b;
  a.arrived(0);
  device.dispatch(a, 0);
  b.arrived(10);
  device.dispatch(b, 10);
  a.arrived(20);
  device.dispatch(a, 20);
  device.complete(a, 40);
  device.complete(a, 50);
  device.complete(b, 60);
  CHECK(a.scalar(Scalar::kTimeNs) == 33);  // 33.33
  CHECK(b.scalar(Scalar::kTimeNs) == 26);  // 26.67
}

TEST_CASE("group wait: from the first that waits to the next dispatch, whoever waits on") {
  Device device;
  SchedulingStats group;
  group.arrived(100);
  group.arrived(150);
  device.dispatch(group, 300);  // 300 - 100
  CHECK(group.scalar(Scalar::kGroupWaitNs) == 200);
  device.dispatch(group, 900);  // waited, but the group had been served meanwhile
  CHECK(group.scalar(Scalar::kGroupWaitNs) == 200);
  group.arrived(1000);
  CHECK(group.scalar(Scalar::kGroupWaitNs) == 200);  // not over yet
  device.dispatch(group, 1005);
  CHECK(group.scalar(Scalar::kGroupWaitNs) == 205);
  for (int i = 0; i < 3; ++i) device.complete(group, 1010);
}

TEST_CASE("group wait: a wait that ends without a dispatch is none") {
  Device device;
  SchedulingStats group;
  group.arrived(0);
  group.cancelled(500);
  group.arrived(600);
  device.dispatch(group, 610);
  CHECK(group.scalar(Scalar::kGroupWaitNs) == 10);
  device.complete(group, 620);
}

TEST_CASE("empty: between times with requests, and only when over") {
  Device device;
  SchedulingStats group;
  device.serve(group, 100, 200);  // what was before it is not counted
  CHECK(group.scalar(Scalar::kEmptyNs) == 0);
  group.arrived(1200);
  CHECK(group.scalar(Scalar::kEmptyNs) == 1000);
  group.cancelled(1300);  // empty again
  group.arrived(1350);
  CHECK(group.scalar(Scalar::kEmptyNs) == 1050);
  device.dispatch(group, 1360);
  group.arrived(1370);  // at the device is not empty
  device.complete(group, 1380);
  CHECK(group.scalar(Scalar::kEmptyNs) == 1050);
  group.cancelled(1390);
}

TEST_CASE("idle time is the scheduler's, and not empty time") {
  // Empty from 100 to 400, of which the device was kept free for 50.
  Device device;
  SchedulingStats group;
  device.serve(group, 0, 100);
  group.idled(50);
  group.arrived(400);
  CHECK(group.scalar(Scalar::kIdleNs) == 50);
  CHECK(group.scalar(Scalar::kEmptyNs) == 250);
  group.cancelled(400);
}

TEST_CASE("average queue size: the mean of what is seen at each pick, in whole numbers") {
  // 8 that wait: seen are 8, 7 .. 1; 36 / 8 = 4.5.
  Device device;
  SchedulingStats group;
  for (int i = 0; i < 8; ++i) group.arrived(0);
  for (int i = 0; i < 8; ++i) device.dispatch(group, i);
  CHECK(group.scalar(Scalar::kAvgQueueSize) == 4);
  for (int i = 0; i < 8; ++i) device.complete(group, 10);
}

TEST_CASE("a reset clears every number; periods under way go on") {
  Device device;
  SchedulingStats group;
  device.serve(group, 0, 100);
  group.arrived(300);
  device.dispatch(group, 350);
  device.complete(group, 360);
  group.idled(1);
  group.dequeued();
  group.reset();
  for (int i = 0; i <= static_cast<int>(Scalar::kDequeues); ++i) {
    CHECK(group.scalar(static_cast<Scalar>(i)) == 0);
  }
  group.arrived(400);
  CHECK(group.scalar(Scalar::kEmptyNs) == 39);  // 400 - 360, of which 1 was idle
  device.dispatch(group, 400);
  device.complete(group, 410);
  CHECK(group.scalar(Scalar::kTimeNs) == 10);
}

TEST_CASE("a parent inherits time, and the requests that are left") {
  //     child   |-- 0 .. 100 --|  100 ns, then one at the device from 200 and one that waits
  //     removed at 250: 50 ns more are the child's, the rest is the parent's own
  Device device;
  SchedulingStats child;
  SchedulingStats parent;
  device.serve(child, 0, 100);
  child.arrived(200);
  device.dispatch(child, 200);
  child.arrived(210);
  device.remove(child, parent, 250);
  CHECK(parent.scalar(Scalar::kTimeLeftNs) == 150);
  CHECK(parent.scalar(Scalar::kTimeNs) == 0);
  device.complete(parent, 300);
  CHECK(parent.scalar(Scalar::kTimeNs) == 50);
  device.dispatch(parent, 400);
  CHECK(parent.scalar(Scalar::kGroupWaitNs) == 150);  // since it was given what waits
  device.complete(parent, 400);
  parent.arrived(450);
  CHECK(parent.scalar(Scalar::kEmptyNs) == 50);
  parent.cancelled(450);

  // And on to the next.
  SchedulingStats root;
  device.remove(parent, root, 500);
  CHECK(root.scalar(Scalar::kTimeLeftNs) == 200);
  root.reset();
  CHECK(root.scalar(Scalar::kTimeLeftNs) == 0);
}

TEST_CASE("resets and readers beside the engine's thread") {
  constexpr TimeNs kRequests = 100'000;
  Device device;
  SchedulingStats group;
  std::atomic<bool> done{false};
  std::thread engine([&] {
    for (TimeNs i = 0; i < kRequests; ++i) device.serve(group, 10 * i, 10 * i + 5);
    done = true;
  });
  std::thread control([&] {
    while (!done) group.reset();
  });
  std::uint64_t most = 0;
  while (!done) most = std::max(most, group.scalar(Scalar::kTimeNs));
  engine.join();
  control.join();
  // A negative difference would wrap to something near 2^64.
  CHECK(most <= 5 * kRequests);
  group.reset();
  device.serve(group, 10 * kRequests, 10 * kRequests + 5);
  CHECK(group.scalar(Scalar::kTimeNs) == 5);
}
