// SPDX-License-Identifier: MIT
/// Single steps of the queue; whole runs are in tests/simulation.
#include "io_queue.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "unit/data_plane/queue_world.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

std::uint64_t reads(const stats::GroupStats& stats, Counter counter) {
  const stats::DeviceStats* row = stats.find(kDevice);
  return row == nullptr ? 0 : row->counters.own(counter).read;
}

}  // namespace

TEST_CASE("without limits a request goes at once") {
  World world;
  QueuedIo& io = world.arrive(kAA, 5);
  CHECK(io.group == kAA);
  CHECK(io.arrived_ns == 5);
  CHECK(world.queue.waiting() == 1);
  CHECK(world.queue.deadline() == kNever);
  CHECK(world.queue.next(5) == &io);
  CHECK(world.queue.next(5) == nullptr);
  CHECK(world.queue.waiting() == 0);
}

TEST_CASE("requests of one group and direction go in their order, groups in turn") {
  World world;
  std::vector<QueuedIo*> ios;
  for (const GroupId group : {kA, kA, kA, kB}) ios.push_back(&world.arrive(group, 0));
  std::vector<QueuedIo*> went;
  while (QueuedIo* io = world.queue.next(0)) went.push_back(io);
  CHECK(went == std::vector<QueuedIo*>{ios[0], ios[3], ios[1], ios[2]});
}

TEST_CASE(
    "a request counts in throttle when it arrives and in bfq when it goes, in its own group") {
  World world;
  world.queue.set_limit(kAA, Limit::kReadIops, 1, 0);
  world.arrive(kAA, 0);
  world.arrive(kAA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(reads(world.aa, Counter::kThrottleIos) == 2);
  CHECK(reads(world.aa, Counter::kThrottleBytes) == 8192);
  CHECK(reads(world.aa, Counter::kBfqIos) == 1);
  CHECK(reads(world.a, Counter::kThrottleIos) == 0);
}

TEST_CASE("I/O makes rows in the group and its ancestors, and nowhere else") {
  World world;
  world.arrive(kAA, 0);
  const std::vector<DeviceNumber> met{kDevice};
  CHECK(world.aa.devices() == met);
  CHECK(world.a.devices() == met);
  CHECK(world.root.devices() == met);
  CHECK(world.b.devices().empty());
  world.queue.meet(kB);
  CHECK(world.b.devices() == met);
  world.go(0);
}

TEST_CASE("throttle counting may start later, and starts from zero") {
  World world(Hierarchy::kTree, false);
  world.arrive(kA, 0);
  world.go(0);
  CHECK(reads(world.a, Counter::kThrottleIos) == 0);
  CHECK(reads(world.a, Counter::kBfqIos) == 1);
  world.queue.start_throttle_counters();
  world.arrive(kA, 0);
  CHECK(reads(world.a, Counter::kThrottleIos) == 1);
  world.go(0);
}

TEST_CASE("the deadline is the planned time of the first path that opens") {
  // a: 10 ios/s, b: 4 ios/s. The second of a is due at 100 ms, of b at 250 ms.
  World world;
  world.queue.set_limit(kA, Limit::kReadIops, 10, 0);
  world.queue.set_limit(kB, Limit::kReadIops, 4, 0);
  for (const GroupId group : {kA, kB, kA, kB}) world.arrive(group, 0);
  CHECK(world.go(0) == std::vector{kA, kB});
  CHECK(world.queue.deadline() == 100 * kMillisecondNs);
  CHECK(world.queue.next(100 * kMillisecondNs - 1) == nullptr);
  CHECK(world.go(100 * kMillisecondNs) == std::vector{kA});
  CHECK(world.queue.deadline() == 250 * kMillisecondNs);
  CHECK(world.go(250 * kMillisecondNs) == std::vector{kB});
  CHECK(world.queue.deadline() == kNever);
}

TEST_CASE("behind two closed gates it is the later one that counts") {
  // The first of aa costs its parent a 1 s (1 io/s) and itself 0.5 s (2 ios/s).
  World world;
  world.queue.set_limit(kA, Limit::kReadIops, 1, 0);
  world.queue.set_limit(kAA, Limit::kReadIops, 2, 0);
  world.arrive(kAA, 0);
  world.arrive(kAA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.queue.deadline() == kSecondNs);
  CHECK(world.queue.opens_at(kAA, Direction::kRead) == kSecondNs);
  CHECK(world.queue.next(kSecondNs / 2) == nullptr);
  CHECK(world.go(kSecondNs).size() == 1);
}

TEST_CASE("a deadline moves when others have used up the parent's limit meanwhile") {
  // a: 4 ios/s; aa: 1 io/s. aa goes at 0 and is due again at 1 s. a's own go at 0.25 .. 1.0 s; the
  // one that goes at 1.0 s leaves a closed until 1.25 s if it is picked first.
  World world;
  world.queue.set_limit(kA, Limit::kReadIops, 4, 0);
  world.queue.set_limit(kAA, Limit::kReadIops, 1, 0);
  world.arrive(kAA, 0);
  world.arrive(kAA, 0);
  for (int i = 0; i < 10; ++i) world.arrive(kA, 0);
  std::vector<std::pair<TimeNs, GroupId>> went;
  for (TimeNs now = 0; went.size() < 7;) {
    const std::size_t before = went.size();
    for (const GroupId group : world.go(now)) went.emplace_back(now, group);
    REQUIRE(went.size() > before);  // something goes at every deadline
    now = world.queue.deadline();
    REQUIRE(now != kNever);
  }
  constexpr TimeNs kQuarter = kSecondNs / 4;
  using Went = std::vector<std::pair<TimeNs, GroupId>>;
  CHECK(went == Went{{0, kAA},
                     {kQuarter, kA},
                     {2 * kQuarter, kA},
                     {3 * kQuarter, kA},
                     {4 * kQuarter, kA},
                     {5 * kQuarter, kAA},
                     {6 * kQuarter, kA}});
}

TEST_CASE("nobody waiting at a closed gate, no deadline") {
  World world;
  world.queue.set_limit(kA, Limit::kReadIops, 1, 0);
  world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.queue.deadline() == kNever);
  QueuedIo& io = world.arrive(kA, 1);
  CHECK(world.queue.deadline() == kSecondNs);
  CHECK(world.queue.cancel(io, 1));
  CHECK(world.queue.deadline() == kNever);
}

TEST_CASE("a gate that opened while nobody waited has held nobody") {
  // a: 10000 ios/s, last used at 0. At 10 s it has the credit of the idle, 1 ms: 11 of 40 requests
  // go at once (it would be 26 if they had waited until then), whether b has something to do or
  // not.
  for (const bool busy : {false, true}) {
    World world;
    world.queue.set_limit(kA, Limit::kReadIops, 10'000, 0);
    world.arrive(kA, 0);
    CHECK(world.go(0).size() == 1);
    if (busy) world.arrive(kB, 10 * kSecondNs);
    if (busy) world.arrive(kB, 10 * kSecondNs);
    for (int i = 0; i < 40; ++i) world.arrive(kA, 10 * kSecondNs);
    CHECK(world.go(10 * kSecondNs).size() == (busy ? 13 : 11));
  }
}

TEST_CASE("a cancelled request never goes and is not charged") {
  World world;
  world.queue.set_limit(kA, Limit::kReadIops, 1, 0);
  QueuedIo& first = world.arrive(kA, 0);
  CHECK(world.queue.cancel(first, 0));  // while it could have passed
  CHECK_FALSE(world.queue.cancel(first, 0));
  CHECK(world.queue.next(0) == nullptr);
  QueuedIo& second = world.arrive(kA, 0);
  QueuedIo& third = world.arrive(kA, 0);
  QueuedIo& fourth = world.arrive(kA, 0);
  CHECK(world.queue.next(0) == &second);
  CHECK_FALSE(world.queue.cancel(second, 0));
  CHECK(world.queue.cancel(third, 0));
  CHECK(world.queue.waiting() == 1);
  // The third was not charged: the fourth has its time.
  CHECK(world.queue.next(kSecondNs) == &fourth);
  CHECK(world.queue.deadline() == kNever);
}

TEST_CASE("a limit of 0 holds without a deadline, its removal lets go") {
  World world;
  world.queue.set_limit(kA, Limit::kWriteBps, 0, 0);
  world.arrive(kAA, 0, Op::kWrite);
  world.arrive(kAA, 0, Op::kRead);
  CHECK(world.go(0).size() == 1);
  CHECK(world.queue.deadline() == kNever);
  CHECK(world.queue.opens_at(kAA, Direction::kWrite) == kNever);
  world.queue.set_limit(kA, Limit::kWriteBps, std::nullopt, 10);
  CHECK(world.go(10).size() == 1);
}

TEST_CASE("a limit set between arrival and departure binds the request") {
  World world;
  world.arrive(kA, 0);
  world.queue.set_limit(kA, Limit::kReadIops, 0, 0);
  CHECK(world.queue.next(0) == nullptr);
  CHECK(world.queue.waiting() == 1);
  world.queue.set_limit(kA, Limit::kReadIops, std::nullopt, 0);
  CHECK(world.go(0).size() == 1);
}

TEST_CASE("flat: a parent's closed gate does not hold its child") {
  World world(Hierarchy::kFlat);
  world.queue.set_limit(kA, Limit::kReadIops, 0, 0);
  world.arrive(kA, 0);
  world.arrive(kAA, 0);
  CHECK(world.go(0) == std::vector{kAA});
  CHECK(world.queue.waiting() == 1);
}

TEST_CASE("a removed group's requests are its parent's, and so is what it counted") {
  World world;
  world.queue.set_limit(kAA, Limit::kReadIops, 0, 0);
  world.arrive(kAA, 0);
  world.arrive(kAA, 0);
  CHECK(world.queue.next(0) == nullptr);
  world.queue.group_removed(kAA, kA, 0);
  world.map.group_removed(kAA);
  CHECK(world.queue.waiting() == 2);
  CHECK(world.go(0) == std::vector{kA, kA});
  CHECK(reads(world.a, Counter::kThrottleIos) == 0);
  CHECK(world.a.find(kDevice)->counters.inherited(Counter::kThrottleIos).read == 2);
  CHECK(reads(world.a, Counter::kBfqIos) == 2);
}

TEST_CASE("a request of a group removed while its file was open is its nearest living ancestor's") {
  World world;
  world.map.handle_opened(kAA);
  world.queue.group_removed(kAA, kA, 0);
  world.map.group_removed(kAA);
  CHECK(world.arrive(kAA, 0).group == kA);
  CHECK(world.go(0) == std::vector{kA});
  CHECK(reads(world.aa, Counter::kBfqIos) == 0);
}

TEST_CASE("all that waits can be looked at, and cancelled on the way") {
  World world;
  world.queue.set_limit(kB, Limit::kReadIops, 0, 0);
  for (int i = 0; i < 3; ++i) world.arrive(kB, 0);
  world.arrive(kA, 0);
  int seen = 0;
  world.queue.for_each_waiting([&](QueuedIo& io) {
    ++seen;
    if (io.group == kB) CHECK(world.queue.cancel(io, 0));
  });
  CHECK(seen == 4);
  CHECK(world.go(0) == std::vector{kA});
}

TEST_CASE("a discard is charged 512 bytes and counted in full") {
  // 512 bytes/s: a discard of 1 MiB takes one second of it.
  World world;
  world.queue.set_limit(kA, Limit::kWriteBps, 512, 0);
  world.arrive(kA, 0, Op::kDiscard, 1 << 20);
  world.arrive(kA, 0, Op::kFlush, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.queue.deadline() == kSecondNs);
  CHECK(world.a.find(kDevice)->counters.own(Counter::kThrottleBytes).discard == 1 << 20);
  CHECK(world.a.find(kDevice)->counters.own(Counter::kThrottleIos).write == 1);
}
