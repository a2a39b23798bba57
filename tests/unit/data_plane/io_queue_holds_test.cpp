// SPDX-License-Identifier: MIT
// Requests that limits hold: for how long at most, who is told of it, and what is reported.
#include <algorithm>
#include <catch2/catch.hpp>

#include "queue_world.hpp"

namespace blkio::test {
namespace {

constexpr TimeNs kMs = kMillisecondNs;

DeviceRules rules_of(Limit limit, std::uint64_t per_second, std::uint64_t max_hold_ms = 0) {
  DeviceRules rules;
  rules.of(limit).per_second = per_second;
  rules.max_hold_ms = max_hold_ms;
  return rules;
}

DeviceRules bound_of(std::uint64_t max_hold_ms) {
  DeviceRules rules;
  rules.max_hold_ms = max_hold_ms;
  return rules;
}

struct Holds : World {
  using World::World;

  void set(GroupId group, const DeviceRules& rules, TimeNs now, Levels levels = Levels::kKept) {
    queue.set_rules(group, rules, levels, now);
  }
  /// Takes out all that is overdue; how many there were.
  int fail_overdue(TimeNs now) {
    int n = 0;
    for (; QueuedIo* io = queue.overdue(now); ++n) REQUIRE(queue.cancel(*io, now));
    return n;
  }
  LimitReport report(GroupId group, Limit limit, TimeNs now) {
    return queue.throttle_report(group, now).of(limit);
  }
  /// As at the end of an engine's turn.
  std::vector<GroupId> changed() {
    queue.deadline();
    std::vector<GroupId> groups = queue.holders_changed();
    std::sort(groups.begin(), groups.end());
    return groups;
  }
};

}  // namespace

// ---- max_hold_ms -------------------------------------------------------------------------------

TEST_CASE("max_hold: a request held for longer is overdue, and not charged") {
  // 1 io/s: one goes at 0, the next is due at 1 s; it may be held for 300 ms.
  Holds world;
  world.set(kA, rules_of(Limit::kReadIops, 1, 300), 0);
  world.arrive(kA, 0);
  QueuedIo& second = world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);
  world.arrive(kA, 100 * kMs);
  CHECK(world.queue.deadline() == 300 * kMs);
  CHECK(world.queue.overdue(300 * kMs - 1) == nullptr);
  CHECK(world.queue.overdue(300 * kMs) == &second);
  CHECK(world.queue.overdue(300 * kMs) == &second);  // until it is cancelled
  CHECK(world.fail_overdue(300 * kMs) == 1);
  CHECK(world.queue.deadline() == 400 * kMs);
  CHECK(world.fail_overdue(400 * kMs) == 1);
  CHECK(world.queue.waiting() == 0);
  CHECK(world.queue.deadline() == kNever);
  // Nobody has paid for them: a new one goes at 1 s.
  world.arrive(kA, 900 * kMs);
  CHECK(world.queue.deadline() == kSecondNs);
  CHECK(world.go(kSecondNs).size() == 1);
}

TEST_CASE("max_hold: who can go in time is left alone") {
  Holds world;
  world.set(kA, rules_of(Limit::kReadIops, 10, 150), 0);
  for (int i = 0; i < 4; ++i) world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.queue.deadline() == 100 * kMs);
  CHECK(world.go(100 * kMs).size() == 1);
  CHECK(world.fail_overdue(100 * kMs) == 0);
  CHECK(world.queue.deadline() == 150 * kMs);
  CHECK(world.fail_overdue(150 * kMs) == 2);
}

TEST_CASE("max_hold: under a limit of 0 every request ends that way") {
  Holds world;
  world.set(kA, rules_of(Limit::kWriteBps, 0, 5), 0);
  for (int i = 0; i < 3; ++i) world.arrive(kA, i * kMs, Op::kWrite);
  CHECK(world.go(2 * kMs).empty());
  for (int i = 0; i < 3; ++i) {
    CHECK(world.queue.deadline() == (5 + i) * kMs);
    CHECK(world.fail_overdue((5 + i) * kMs) == 1);
  }
}

TEST_CASE("max_hold: in a tree the least of the path, in a flat hierarchy its own") {
  for (const Hierarchy hierarchy : {Hierarchy::kTree, Hierarchy::kFlat}) {
    Holds world(hierarchy);
    world.set(kA, bound_of(20), 0);
    world.set(kAA, rules_of(Limit::kReadIops, 0, 100), 0);
    world.set(kB, rules_of(Limit::kReadIops, 0), 0);
    world.arrive(kAA, 0);
    world.arrive(kB, 0);
    const TimeNs bound = hierarchy == Hierarchy::kTree ? 20 * kMs : 100 * kMs;
    CHECK(world.queue.deadline() == bound);
    CHECK(world.fail_overdue(bound) == 1);
    CHECK(world.queue.deadline() == kNever);
    CHECK(world.queue.waiting() == 1);
  }
}

TEST_CASE("max_hold: binds at once for those who wait already, and is gone at once") {
  Holds world;
  world.set(kA, rules_of(Limit::kReadIops, 0), 0);
  world.arrive(kAA, 0);
  CHECK(world.queue.deadline() == kNever);
  world.set(GroupId::kRoot, bound_of(1000), 10 * kMs);
  CHECK(world.queue.deadline() == kSecondNs);
  world.set(GroupId::kRoot, bound_of(50), 20 * kMs);
  CHECK(world.queue.deadline() == 50 * kMs);
  world.set(GroupId::kRoot, {}, 30 * kMs);
  CHECK(world.queue.deadline() == kNever);
  CHECK(world.fail_overdue(kSecondNs) == 0);
  world.set(kA, rules_of(Limit::kReadIops, 0, 5), kSecondNs);
  CHECK(world.queue.deadline() == kSecondNs);
  CHECK(world.fail_overdue(kSecondNs) == 1);
}

TEST_CASE("max_hold: only time held by limits counts, not the wait for a turn") {
  // Depth 1 between two groups: b has the device for 50 ms, a waits behind an open gate.
  Holds world(Hierarchy::kTree, true, {true, 1});
  world.set(kA, rules_of(Limit::kReadIops, 1000, 10), 0);
  QueuedIo& other = world.arrive(kB, 0);
  CHECK(world.queue.next(0) == &other);
  QueuedIo& own = world.arrive(kA, 0);
  CHECK(world.queue.next(0) == nullptr);
  for (TimeNs now = 0; now < 50 * kMs; now += kMs) CHECK(world.fail_overdue(now) == 0);
  world.queue.complete(other, 50 * kMs);
  // It is kept free for b for a moment.
  CHECK(world.queue.next(53 * kMs) == &own);
}

TEST_CASE("max_hold: a removed group's requests are held anew in its parent") {
  Holds world;
  world.set(kA, rules_of(Limit::kReadIops, 0, 100), 0);
  world.arrive(kAA, 0);
  world.arrive(kA, 10 * kMs);
  world.queue.group_removed(kAA, kA, 60 * kMs);
  world.map.group_removed(kAA);
  CHECK(world.fail_overdue(110 * kMs) == 1);
  CHECK(world.queue.deadline() == 160 * kMs);
  CHECK(world.fail_overdue(160 * kMs) == 1);
}

// ---- changes under load ------------------------------------------------------------------------

TEST_CASE("R1: a change of any limit is felt by all who wait at once, and loses none") {
  for (int i = 0; i < kLimits; ++i) {
    const auto limit = static_cast<Limit>(i);
    const Op op = covers(limit, Direction::kRead) ? Op::kRead : Op::kWrite;
    const std::uint64_t unit = counts_bytes(limit) ? 4096 : 1;
    Holds world;
    world.set(kA, rules_of(limit, unit), 0);  // one a second
    for (int n = 0; n < 20; ++n) world.arrive(n % 2 == 0 ? kA : kAA, 0, op);
    CHECK(world.go(0).size() == 1);
    CHECK(world.queue.deadline() == kSecondNs);
    world.set(kA, rules_of(limit, 10 * unit), 500 * kMs);  // half a request owed: 50 ms
    CHECK(world.queue.deadline() == 550 * kMs);
    CHECK(world.go(550 * kMs).size() == 1);
    world.set(kA, rules_of(limit, unit), 600 * kMs);  // half again: 500 ms
    CHECK(world.queue.deadline() == 1100 * kMs);
    world.set(kA, rules_of(limit, 0), 700 * kMs);
    CHECK(world.queue.deadline() == kNever);
    CHECK(world.go(10 * kSecondNs).empty());
    world.set(kA, {}, 10 * kSecondNs);
    CHECK(world.go(10 * kSecondNs).size() == 18);
  }
}

TEST_CASE("a burst set while requests wait gives away nothing, levels reset give a whole one") {
  for (const Levels levels : {Levels::kKept, Levels::kReset}) {
    Holds world;
    world.set(kA, rules_of(Limit::kReadIops, 10), 0);
    for (int n = 0; n < 50; ++n) world.arrive(kA, 0);
    CHECK(world.go(0).size() == 1);
    DeviceRules burst = rules_of(Limit::kReadIops, 10);
    burst.of(Limit::kReadIops).burst_per_second = 20;
    world.set(kA, burst, 0, levels);
    CHECK(world.go(0).size() == (levels == Levels::kKept ? 0 : 21));
    CHECK(world.queue.deadline() == 100 * kMs);
  }
}

TEST_CASE("R4: a cancelled waiter never goes, whatever held it") {
  Holds world;
  DeviceRules rules = rules_of(Limit::kTotalIops, 10, 1000);
  rules.of(Limit::kTotalIops).burst_per_second = 1;
  rules.tokens = {5, TokenRefill{1, 50, false}};
  world.set(kA, rules, 0);
  std::vector<QueuedIo*> ios;
  for (int n = 0; n < 20; ++n) ios.push_back(&world.arrive(kA, 0));
  std::vector<QueuedIo*> went;
  while (QueuedIo* io = world.queue.next(0)) went.push_back(io);
  CHECK(went.size() == 2);
  for (std::size_t n = 2; n < ios.size(); n += 2) CHECK(world.queue.cancel(*ios[n], 1));
  for (TimeNs now = world.queue.deadline(); now != kNever; now = world.queue.deadline()) {
    while (QueuedIo* io = world.queue.next(now)) went.push_back(io);
    CHECK(world.fail_overdue(now) == (now >= kSecondNs ? 1 : 0));
  }
  CHECK(went.size() == 2 + 9);
  for (std::size_t n = 2; n < went.size(); ++n) CHECK(went[n] == ios[2 * n - 1]);
}

TEST_CASE("a dry run holds nobody, and its bound ends nobody") {
  Holds world;
  DeviceRules rules = rules_of(Limit::kReadIops, 1, 1);
  rules.dry_run = true;
  world.set(kA, rules, 0);
  for (int n = 0; n < 10; ++n) world.arrive(kAA, 0);
  CHECK(world.go(0).size() == 10);
  CHECK(world.changed().empty());
  CHECK(world.report(kA, Limit::kReadIops, 0).delayed == 9);
  // Of a limit above it, that holds: the dry run's bound is none.
  world.set(GroupId::kRoot, rules_of(Limit::kReadIops, 0), 0);
  world.arrive(kA, 0);
  CHECK(world.queue.deadline() == kNever);
}

// ---- reports -----------------------------------------------------------------------------------

TEST_CASE("report: how many were delayed, and for how long in sum") {
  // 10 ios/s, four at once: they wait 0, 100, 200 and 300 ms.
  Holds world;
  world.set(kA, rules_of(Limit::kReadIops, 10), 0);
  for (int n = 0; n < 4; ++n) world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.report(kA, Limit::kReadIops, 0) == LimitReport{0, 0, true});
  // Those who wait count too: three times 50 ms.
  CHECK(world.report(kA, Limit::kReadIops, 50 * kMs) == LimitReport{0, 150'000'000, true});
  for (TimeNs now = 100 * kMs; now <= 300 * kMs; now += 100 * kMs) world.go(now);
  CHECK(world.report(kA, Limit::kReadIops, kSecondNs) == LimitReport{3, 600'000'000, false});
  world.queue.reset_throttle_report(kA);
  CHECK(world.report(kA, Limit::kReadIops, kSecondNs) == LimitReport{});
  CHECK(world.queue.throttle_report(kB, kSecondNs) == ThrottleReport{});
  CHECK(world.queue.throttle_report(kAA, kSecondNs) == ThrottleReport{});
}

TEST_CASE("report: a late wake-up, or the wait for a turn, is nobody's holding") {
  Holds world;
  world.set(kA, rules_of(Limit::kReadIops, 10), 0);
  world.arrive(kA, 0);
  world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.go(140 * kMs).size() == 1);
  CHECK(world.report(kA, Limit::kReadIops, kSecondNs) == LimitReport{1, 100'000'000, false});
}

TEST_CASE("report: it is the group whose limit opens last that holds") {
  // a: 1 io/s; aa: 10 ios/s. aa's second waits for a (1 s) though its own gate opens at 0.1 s.
  Holds world;
  world.set(kA, rules_of(Limit::kReadIops, 1), 0);
  world.set(kAA, rules_of(Limit::kReadIops, 10), 0);
  world.arrive(kAA, 0);
  world.arrive(kAA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.report(kA, Limit::kReadIops, 30 * kMs).binding);
  CHECK_FALSE(world.report(kAA, Limit::kReadIops, 30 * kMs).binding);
  CHECK(world.go(kSecondNs).size() == 1);
  CHECK(world.report(kA, Limit::kReadIops, kSecondNs) == LimitReport{1, 1'000'000'000, false});
  CHECK(world.report(kAA, Limit::kReadIops, kSecondNs) == LimitReport{});
}

TEST_CASE("report: a stop, its lifting, and what was cancelled under it") {
  Holds world;
  world.set(kA, rules_of(Limit::kWriteIops, 0), 0);
  world.arrive(kAA, 0, Op::kWrite);
  QueuedIo& second = world.arrive(kAA, kMs, Op::kWrite);
  CHECK(world.queue.cancel(second, 3 * kMs));
  CHECK(world.report(kA, Limit::kWriteIops, 5 * kMs) == LimitReport{1, 7'000'000, true});
  world.set(kA, rules_of(Limit::kWriteIops, 1), 10 * kMs);
  CHECK(world.go(10 * kMs).size() == 1);
  // What waited for the old rule until it was changed is counted.
  CHECK(world.report(kA, Limit::kWriteIops, kSecondNs).held_ns == 12'000'000);
}

TEST_CASE("report: tokens, and their status") {
  Holds world;
  DeviceRules rules;
  rules.tokens = {2, TokenRefill{1, 1000, false}};
  CHECK_FALSE(world.queue.token_status(kA, 0));
  world.set(kA, rules, 0);
  for (int n = 0; n < 4; ++n) world.arrive(kA, 0, n % 2 == 0 ? Op::kRead : Op::kWrite);
  CHECK(world.go(0).size() == 2);
  CHECK(world.queue.throttle_report(kA, 500 * kMs).tokens == LimitReport{0, 1'000'000'000, true});
  CHECK(world.queue.token_status(kA, 500 * kMs) ==
        TokenStatus{2, 0, 0, TokenRefill{1, 1000, false}, 2});
  CHECK(world.go(kSecondNs).size() == 1);
  CHECK(world.go(2 * kSecondNs).size() == 1);
  CHECK(world.queue.throttle_report(kA, 3 * kSecondNs).tokens ==
        LimitReport{2, 3'000'000'000, false});
}

// ---- who is told -------------------------------------------------------------------------------

TEST_CASE("holders: a group is named when it begins to hold somebody, and when it ceases") {
  Holds world;
  world.arrive(kB, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.changed().empty());
  world.set(kA, rules_of(Limit::kReadIops, 10), 0);
  for (int n = 0; n < 3; ++n) world.arrive(kA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.changed() == std::vector{kA});
  // From one to the next it holds on.
  CHECK(world.go(100 * kMs).size() == 1);
  CHECK(world.changed().empty());
  CHECK(world.go(200 * kMs).size() == 1);
  CHECK(world.changed() == std::vector{kA});
  CHECK(world.changed().empty());
  CHECK(world.queue.throttle_report(kA, 200 * kMs).changes == 2);
}

TEST_CASE("holders: the one whose limit opens last, even if another's opens first") {
  Holds world;
  world.set(kA, rules_of(Limit::kReadIops, 10), 0);
  world.set(kAA, rules_of(Limit::kReadIops, 5), 0);
  world.arrive(kAA, 0);
  world.arrive(kAA, 0);
  CHECK(world.go(0).size() == 1);
  CHECK(world.changed() == std::vector{kAA});
  // The parent is stopped: its turn to hold, from when the child's own gate opens at the latest.
  world.set(kA, rules_of(Limit::kReadIops, 0), 50 * kMs);
  CHECK(world.go(200 * kMs).empty());
  CHECK(world.changed() == std::vector{kA, kAA});
  world.set(kA, {}, 300 * kMs);
  CHECK(world.go(300 * kMs).size() == 1);
  CHECK(world.changed() == std::vector{kA});
}

TEST_CASE("holders: a group that is removed while it holds is not named any more") {
  Holds world;
  world.set(kAA, rules_of(Limit::kReadIops, 0), 0);
  world.arrive(kAA, 0);
  CHECK(world.go(0).empty());
  world.queue.group_removed(kAA, kA, 1);
  world.map.group_removed(kAA);
  CHECK(world.changed().empty());
  CHECK(world.go(1) == std::vector{kA});
}

// ---- totals ------------------------------------------------------------------------------------

TEST_CASE("a total loses no rate where readers wait and writers come as well") {
  // 1000 ios/s together. Three readers always wait; one writer comes 200 us after each planned
  // time, and every wake-up is 1.9 ms late: within the 2 ms that are made up at once. In 4 s 4000
  // go, reads and writes together.
  Holds world;
  world.set(kA, rules_of(Limit::kTotalIops, 1000), 0);
  int went = 0;
  TimeNs now = 0;
  for (int n = 0; n < 3; ++n) world.arrive(kA, 0);
  while (now < 4 * kSecondNs) {
    if (went % 4 == 0) world.arrive(kA, now, Op::kWrite);
    while (QueuedIo* io = world.queue.next(now)) {
      ++went;
      if (io->op == Op::kRead) world.arrive(kA, now);
    }
    REQUIRE(world.queue.deadline() != kNever);
    now = world.queue.deadline() + 1'900'000;
  }
  CHECK(std::abs(went - 4000) <= 4);
}

}  // namespace blkio::test
