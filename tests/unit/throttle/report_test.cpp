// SPDX-License-Identifier: MIT
/// Dry runs, and what a gate tells of its limits.
#include <catch2/catch.hpp>

#include "gate_world.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr TimeNs kMs = kMillisecondNs;

DeviceRules dry(DeviceRules rules) {
  rules.dry_run = true;
  return rules;
}

}  // namespace

TEST_CASE("what is counted goes to the limit that opens last") {
  // 10 ios/s and 1000 bytes/s: 4096 bytes take 4.096 s, 10 bytes .01 s against .1 s.
  DeviceRules rules = rules_of(Limit::kReadIops, 10);
  rules.of(Limit::kTotalBps).per_second = 1000;
  GateWorld world(rules);
  world.go(Op::kRead, 4096, 0);
  world.gate.count_held(Direction::kRead, 7, 1);
  world.gate.count_held(Direction::kWrite, 5, 0);
  world.go(Op::kRead, 10, 10 * kSecondNs);
  world.gate.count_held(Direction::kRead, 3, 0);
  const ThrottleReport report = world.gate.report({true, false}, 10 * kSecondNs);
  CHECK(report.of(Limit::kTotalBps) == LimitReport{1, 12, false});
  CHECK(report.of(Limit::kReadIops) == LimitReport{0, 3, true});
  world.gate.reset_report();
  CHECK(world.gate.report({}, 10 * kSecondNs) == ThrottleReport{});
}

TEST_CASE("a gate without limits, or with open ones, binds nobody") {
  GateWorld none;
  CHECK(none.gate.report({true, true}, 0) == ThrottleReport{});
  none.gate.count_held(Direction::kRead, 1, 1);
  none.gate.reset_report();
  GateWorld open(rules_of(Limit::kReadBps, 1));
  CHECK(open.gate.report({true, true}, 0) == ThrottleReport{});
}

TEST_CASE("tokens have a row of their own") {
  GateWorld world(tokens_of(1, {1, 1000, false}));
  world.go(Op::kWrite, 512, 0);
  world.gate.count_held(Direction::kRead, 0, 1);
  CHECK(world.gate.report({true, false}, 0).tokens == LimitReport{1, 0, true});
}

TEST_CASE("a dry run never closes and tells what would have been held") {
  // 10 ios/s, 5 at once: the second would wait .1 s, the third .2, .3 and .4.
  GateWorld world(dry(rules_of(Limit::kReadIops, 10)));
  for (int i = 0; i < 5; ++i) {
    CHECK(world.gate.opens_at(Direction::kRead) == kLongAgo);
    world.gate.charge(Op::kRead, 4096, 0);
  }
  const ThrottleReport report = world.gate.report({}, 0);
  CHECK(report.of(Limit::kReadIops) == LimitReport{4, 1'000'000'000, true});
  CHECK_FALSE(world.gate.report({}, kSecondNs).of(Limit::kReadIops).binding);
  // A limit of 0 holds for ever: counted, but no time.
  GateWorld stopped(dry(rules_of(Limit::kReadIops, 0)));
  stopped.gate.charge(Op::kRead, 4096, 0);
  CHECK(stopped.gate.opens_at(Direction::kRead) == kLongAgo);
  CHECK(stopped.gate.report({}, 0).of(Limit::kReadIops) == LimitReport{1, 0, true});
}

TEST_CASE("in a dry run nobody runs up more debt than a client that waits") {
  // 1 io/s: the first leaves 1 s of debt, the second is charged (it would wait for no more than a
  // second), the rest are not: they would wait 2 s.
  GateWorld world(dry(rules_of(Limit::kReadIops, 1)));
  for (int i = 0; i < 1000; ++i) world.gate.charge(Op::kRead, 4096, 0);
  CHECK(world.gate.report({}, 0).of(Limit::kReadIops).delayed == 999);
  CHECK(world.gate.report({}, 1999 * kMs).of(Limit::kReadIops).binding);
  CHECK_FALSE(world.gate.report({}, 2 * kSecondNs).of(Limit::kReadIops).binding);
}

TEST_CASE("when a dry run ends its rules bind like new ones") {
  GateWorld world(dry(rules_of(Limit::kReadIops, 1)));
  for (int i = 0; i < 10; ++i) world.gate.charge(Op::kRead, 4096, 0);
  world.set(rules_of(Limit::kReadIops, 1), kMs);
  CHECK(world.gate.opens_at(Direction::kRead) == kMs);
  world.go(Op::kRead, 4096, kMs);
  world.set(dry(rules_of(Limit::kReadIops, 1)), 2 * kMs);
  CHECK(world.gate.opens_at(Direction::kRead) == kLongAgo);
}

TEST_CASE("only the limit that has made somebody wait makes up for late wake-ups") {
  // 1000 reads/s and 10000 ios/s for both directions. A read has waited for its own limit and goes
  // 1.9 ms late: what it missed is made up, one more may go. The total has held nobody and keeps
  // one millisecond.
  DeviceRules rules = rules_of(Limit::kReadIops, 1000);
  rules.of(Limit::kTotalIops).per_second = 10'000;
  GateWorld world(rules);
  world.go(Op::kRead, 512, 0);
  world.gate.note_waited(Direction::kRead);
  CHECK(world.burst(Op::kRead, 512, kMs + 1900 * 1000) == 2);
  CHECK(world.burst(Op::kWrite, 512, kMs + 1900 * 1000) == 9);  // 11 less the two
}

TEST_CASE("a total that has made a reader wait makes up for it, whoever goes first") {
  // 1000 ios/s: planned at 1 ms, woken 1.9 ms late: two may go, though the first is a write.
  GateWorld world(rules_of(Limit::kTotalIops, 1000));
  world.go(Op::kRead, 512, 0);
  world.gate.note_waited(Direction::kRead);
  world.gate.charge(Op::kWrite, 512, kMs + 1900 * 1000);
  CHECK(world.burst(Op::kRead, 512, kMs + 1900 * 1000) == 1);
}
