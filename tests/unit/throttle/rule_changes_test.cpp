// SPDX-License-Identifier: MIT
/// Rules that change while there is debt or credit, or in the middle of a burst.
#include <catch2/catch.hpp>
#include <random>

#include "gate_world.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr TimeNs kMs = kMillisecondNs;

TimeNs opens(const GateWorld& world) {
  return world.gate.opens_at(Direction::kRead);
}

}  // namespace

TEST_CASE("R1: each of the six limits changes while it runs: up, down, to 0, away and back") {
  // 1 unit owed a second after each step; a request of one io and 1000 bytes.
  for (int i = 0; i < kLimits; ++i) {
    const auto limit = static_cast<Limit>(i);
    const Op op = covers(limit, Direction::kRead) ? Op::kRead : Op::kWrite;
    const auto rate = [&](std::uint64_t n) {
      return rules_of(limit, counts_bytes(limit) ? n * 1000 : n);
    };
    const auto at = [&](const GateWorld& world) { return world.gate.opens_at(direction_of(op)); };
    GateWorld world(rate(1));
    world.go(op, 1000, 0);
    CHECK(at(world) == kSecondNs);
    world.set(rate(2), 0);
    CHECK(at(world) == kSecondNs / 2);
    world.set(rate(4), 250 * kMs);  // half an io is owed
    CHECK(at(world) == 375 * kMs);
    world.set(rules_of(limit, 0), 250 * kMs);
    CHECK(at(world) == kNever);
    world.set(rate(1), 700 * kMs);
    CHECK(at(world) == 1200 * kMs);
    world.set({}, 800 * kMs);
    CHECK(at(world) == kLongAgo);
    world.set(rate(1), 900 * kMs);
    CHECK(at(world) == 900 * kMs);
  }
}

TEST_CASE("a change of one rule does not touch the others") {
  DeviceRules rules = rules_of(Limit::kReadIops, 10, 20, 3);
  rules.of(Limit::kTotalBps) = {1000, 0, 1};
  rules.iops_size = 512;
  GateWorld world(rules);
  world.flood(Op::kRead, 512, 70);
  const TimeNs before = opens(world);
  std::mt19937_64 random(5);
  for (int i = 0; i < 1000; ++i) {
    rules.of(Limit::kWriteBps).per_second = random() % 1000;
    rules.of(Limit::kWriteIops) = {1 + random() % 1000, random() % 2000, 1 + random() % 4};
    rules.max_hold_ms = random() % 5;
    world.set(rules, i * kMs);
    REQUIRE(opens(world) == before);
  }
}

TEST_CASE("levels kept: no change of a burst in its middle makes a fresh one") {
  // 100/s with bursts of 1000 for 1 s: size 1000. 1500 have gone: 500 owed = 5 s.
  GateWorld world(rules_of(Limit::kReadIops, 100, 1000, 1));
  for (int i = 0; i < 1500; ++i) world.gate.charge(Op::kRead, 512, 0);
  CHECK(opens(world) == 5 * kSecondNs);
  // A larger bucket, a smaller one, none, one again: 500 are owed.
  world.set(rules_of(Limit::kReadIops, 100, 5000, 1), 0);
  CHECK(opens(world) == 5 * kSecondNs);
  world.set(rules_of(Limit::kReadIops, 100, 200, 1), 0);
  CHECK(opens(world) == 5 * kSecondNs);
  world.set(rules_of(Limit::kReadIops, 100), kSecondNs);
  CHECK(opens(world) == 5 * kSecondNs);
  world.set(strict(rules_of(Limit::kReadIops, 100)), kSecondNs);
  CHECK(opens(world) == 5 * kSecondNs);
  world.set(rules_of(Limit::kReadIops, 200, 1000, 1), kSecondNs);  // 400 left, at 200/s
  CHECK(opens(world) == 3 * kSecondNs);
}

TEST_CASE("levels kept: credit is kept too, and clipped to the new bucket") {
  // Size 1000, 400 used: 600 in hand (and one more).
  const DeviceRules large = rules_of(Limit::kReadIops, 100, 1000, 1);
  const auto used = [&] {
    GateWorld world(large);
    world.flood(Op::kRead, 512, 400);
    return world;
  };
  GateWorld smaller = used();
  smaller.set(rules_of(Limit::kReadIops, 100, 500, 1), 0);
  CHECK(smaller.burst(Op::kRead, 512, 0) == 501);
  GateWorld larger = used();
  larger.set(rules_of(Limit::kReadIops, 100, 3000, 1), 0);
  CHECK(larger.burst(Op::kRead, 512, 0) == 601);
  // At another rate the units in hand are the same: 600.
  GateWorld faster = used();
  faster.set(rules_of(Limit::kReadIops, 1000, 3000, 1), 0);
  CHECK(faster.burst(Op::kRead, 512, 0) == 601);
  // Over a stop too.
  GateWorld stopped = used();
  DeviceRules stop = large;
  stop.of(Limit::kReadIops).per_second = 0;
  stopped.set(stop, 0);
  CHECK(opens(stopped) == kNever);
  stopped.set(large, 7 * kSecondNs);
  CHECK(stopped.burst(Op::kRead, 512, 7 * kSecondNs) == 601);
  // Without a burst an even pace is left, whose credit is one millisecond's: none of 100/s.
  GateWorld even = used();
  even.set(rules_of(Limit::kReadIops, 100), 0);
  CHECK(even.burst(Op::kRead, 512, 0) == 1);
}

TEST_CASE("a burst that comes to a used limit has to be saved up, a new limit has it at once") {
  const DeviceRules burst = rules_of(Limit::kReadIops, 100, 1000, 1);
  GateWorld busy(rules_of(Limit::kReadIops, 100));
  busy.flood(Op::kRead, 512, 1000);  // until 9.99 s
  busy.set(burst, 10 * kSecondNs);
  CHECK(busy.burst(Op::kRead, 512, 10 * kSecondNs) == 1);
  CHECK(busy.burst(Op::kRead, 512, 11 * kSecondNs) == 100);
  // Idleness counts, before the burst was there and after.
  GateWorld idle(rules_of(Limit::kReadIops, 100));
  idle.go(Op::kRead, 512, 0);
  idle.set(burst, 3 * kSecondNs);
  CHECK(idle.burst(Op::kRead, 512, 5 * kSecondNs) == 500);  // (5 s - 10 ms) * 100 and one more
  // Written rule by rule, as the files do it, before anybody used it: all of it.
  GateWorld fresh(rules_of(Limit::kReadIops, 100));
  fresh.set(rules_of(Limit::kReadIops, 100, 1000, 1), kMs);
  fresh.set(rules_of(Limit::kReadIops, 100, 1000, 2), 2 * kMs);
  fresh.set(rules_of(Limit::kReadIops, 100, 1000, 1), 3 * kMs);
  CHECK(fresh.burst(Op::kRead, 512, 4 * kMs) == 1001);
}

TEST_CASE("levels reset: a fresh burst at every change, as QEMU has it") {
  const DeviceRules rules = rules_of(Limit::kReadIops, 10, 50, 1);
  GateWorld world(rules);
  for (int i = 0; i < 5; ++i) {
    CHECK(world.burst(Op::kRead, 512, i) == 51);
    world.set(rules, i + 1, Levels::kReset);
  }
  // Q19: the rules read back as they were set.
  DeviceRules all;
  all.of(Limit::kTotalBps) = {153, 0, 1};
  all.of(Limit::kReadBps) = {56, 56, 1};
  all.of(Limit::kWriteBps) = {1, 120, 1};
  all.of(Limit::kTotalIops) = {150, 150, 1};
  all.of(Limit::kReadIops) = {69, 400, 1};
  all.of(Limit::kWriteIops) = {23, 500, 1};
  GateWorld set(all);
  set.flood(Op::kWrite, 512, 10);
  set.set(all, kMs, Levels::kReset);
  CHECK(set.gate.rules() == all);
  CHECK(set.gate.opens_at(Direction::kRead) <= kMs);
  CHECK(set.gate.opens_at(Direction::kWrite) <= kMs);
}

TEST_CASE("another iops_size takes the debt along, in ios") {
  // 3 ios of 4096 owed at 1/s: 3 s, however large an io is from now on.
  DeviceRules rules = rules_of(Limit::kReadIops, 1);
  rules.iops_size = 4096;
  GateWorld world(rules);
  world.go(Op::kRead, 3 * 4096, 0);
  for (const std::uint64_t size : {512, 0, 1000, 4096, 0, 1, 4096}) {
    rules.iops_size = size;
    world.set(rules, 0);
    REQUIRE(opens(world) == 3 * kSecondNs);
  }
  rules.iops_size = 1024;
  world.set(rules, 0);
  world.go(Op::kRead, 4096, 3 * kSecondNs);
  CHECK(opens(world) == 7 * kSecondNs);
  // And a stopped one's.
  rules.of(Limit::kReadIops).per_second = 0;
  world.set(rules, 3 * kSecondNs);
  rules.iops_size = 8192;
  world.set(rules, 4 * kSecondNs);
  rules.of(Limit::kReadIops).per_second = 2;
  world.set(rules, 5 * kSecondNs);
  CHECK(opens(world) == 7 * kSecondNs);
}

TEST_CASE("over any changes of the rate a flooded bucket passes the integral of the rates") {
  // 1 s each of random rates with bursts of random sizes; what passes is no more than the sum of
  // the rates, the largest bucket and one request. It is no less than the sum less one request: a
  // flood leaves no credit that could be clipped. (A level of the burst may hold back beyond that,
  // when its rate falls: not where bursts are of one second.)
  std::mt19937_64 random(11);
  for (int round = 0; round < 200; ++round) {
    GateWorld world;
    double sum = 0;
    double largest = 0;
    std::size_t passed = 0;
    for (int second = 0; second < 20; ++second) {
      const std::uint64_t rate = random() % 5 == 0 ? 0 : 1 + random() % 500;
      const std::uint64_t burst = random() % 2 * (rate + 1 + random() % 700);
      const std::uint64_t seconds = round % 2 == 0 ? 1 : 1 + random() % 3;
      DeviceRules rules = rules_of(Limit::kReadIops, rate, burst, seconds);
      rules.qemu_strict = random() % 3 == 0;
      const TimeNs from = second * kSecondNs;
      world.set(rules, from);
      sum += static_cast<double>(rate);
      largest =
          std::max({largest, static_cast<double>(burst * seconds), static_cast<double>(rate) / 10});
      for (TimeNs now = std::max(from, opens(world)); now < from + kSecondNs; ++passed) {
        world.go(Op::kRead, 512, now);
        now = std::max(now, opens(world));
      }
      INFO("round " << round << ", second " << second);
      REQUIRE(static_cast<double>(passed) <= sum + largest + 1.01);
    }
    if (round % 2 == 0) REQUIRE(static_cast<double>(passed) >= sum - 1.01);
  }
}
