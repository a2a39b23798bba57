// SPDX-License-Identifier: MIT
/// Tokens as blkback's 2009 patches and their models (UML's limiter, xend's credit=) had them. The
/// rule: full at first; one request, one token; go while there are tokens; refill at whole periods.
#include <catch2/catch.hpp>

#include "gate_world.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr TimeNs kMs = kMillisecondNs;

std::int64_t tokens(GateWorld& world, TimeNs now) {
  return world.gate.token_status(now).value().io_tokens;
}

TokenRefill a_second(std::uint64_t n) {
  return {n, 1000, false};
}

}  // namespace

TEST_CASE("B1: 60000 at full speed, then 2000 a second; full again after 30 s") {
  GateWorld world(tokens_of(60'000, a_second(2000)));
  const auto went = world.flood(Op::kRead, 4096, 64'001);
  CHECK(went[59'999] == 0);
  CHECK(went[60'000] == kSecondNs);
  CHECK(went[61'999] == kSecondNs);
  CHECK(went[62'000] == 2 * kSecondNs);
  CHECK(went[64'000] == 3 * kSecondNs);
  // 1999 are left of the third second's. At 32 s 29 more refills have come: 59999; at 33 s all.
  CHECK(tokens(world, 32 * kSecondNs) == 59'999);
  CHECK(tokens(world, 33 * kSecondNs - 1) == 59'999);
  CHECK(tokens(world, 33 * kSecondNs) == 60'000);
  GateWorld empty(tokens_of(60'000, a_second(2000)));
  empty.flood(Op::kRead, 4096, 60'000);
  CHECK(tokens(empty, 30 * kSecondNs - 1) == 58'000);
  CHECK(tokens(empty, 30 * kSecondNs) == 60'000);
}

TEST_CASE("B2: an idle bucket is full, for ever") {
  GateWorld world(tokens_of(50'000, a_second(1024)));
  CHECK(tokens(world, 0) == 50'000);
  CHECK(tokens(world, 1'000'000 * kSecondNs) == 50'000);
}

TEST_CASE("B5: refill 512, max 2000000: from 1823 full after 3903 s, from empty after 3907") {
  // (2000000 - 1823) / 512 = 3902.69, 2000000 / 512 = 3906.25: the next whole second.
  GateWorld world(tokens_of(2'000'000, a_second(512)));
  world.flood(Op::kRead, 4096, 2'000'000 - 1823);
  CHECK(tokens(world, 0) == 1823);
  CHECK(tokens(world, 3902 * kSecondNs) == 1823 + 3902 * 512);
  CHECK(tokens(world, 3903 * kSecondNs) == 2'000'000);
  GateWorld empty(tokens_of(2'000'000, a_second(512)));
  empty.flood(Op::kRead, 4096, 2'000'000);
  CHECK(tokens(empty, 3906 * kSecondNs) == 3906 * 512);
  CHECK(tokens(empty, 3907 * kSecondNs) == 2'000'000);
}

TEST_CASE("B6: credit=5000/s@50ms is 250 each 50 ms") {
  GateWorld world(tokens_of(250, {5000, 50, true}));
  const auto went = world.flood(Op::kWrite, 4096, 1001);
  for (std::size_t n = 0; n < went.size(); ++n) {
    REQUIRE(went[n] == static_cast<TimeNs>(n / 250) * 50 * kMs);
  }
}

TEST_CASE("tokens of a second carry the fraction of a period") {
  // 10/s each 250 ms: 2.5 a period, so 2, 3, 2, 3: sums 2, 5, 7, 10.
  GateWorld world(tokens_of(1, {10, 250, true}));
  world.go(Op::kRead, 512, 0);
  for (int i = 0; i < 100; ++i) world.gate.charge(Op::kRead, 512, 0);  // far below zero: no clip
  const auto given = [&](TimeNs now) { return tokens(world, now) + 100; };
  CHECK(given(250 * kMs - 1) == 0);
  CHECK(given(250 * kMs) == 2);
  CHECK(given(500 * kMs) == 5);
  CHECK(given(750 * kMs) == 7);
  CHECK(given(1000 * kMs) == 10);
  // 1/s each 300 ms: .3 a period; whole ones after 4, 7, 10 periods.
  GateWorld slow(tokens_of(1, {1, 300, true}));
  CHECK(slow.flood(Op::kRead, 512, 4) ==
        std::vector<TimeNs>{0, 1200 * kMs, 2100 * kMs, 3000 * kMs});
}

TEST_CASE("tokens below one a second, and as rarely as can be") {
  GateWorld world(tokens_of(1, {1, 60'000, false}));  // one a minute
  CHECK(world.flood(Op::kRead, 512, 3) == std::vector<TimeNs>{0, 60 * kSecondNs, 120 * kSecondNs});
  constexpr std::uint32_t kLongest = 4'294'967'295;  // ms, 49 days
  GateWorld rare(tokens_of(2, {3, kLongest, false}));
  const TimeNs period = kLongest * kMs;
  // 3 come, the bucket holds 2.
  CHECK(rare.flood(Op::kRead, 512, 5) == std::vector<TimeNs>{0, 0, period, period, 2 * period});
}

TEST_CASE("B8: refill 1, max 1 is one request a second") {
  GateWorld world(tokens_of(1, a_second(1)));
  CHECK(world.flood(Op::kRead, 4096, 4) ==
        std::vector<TimeNs>{0, kSecondNs, 2 * kSecondNs, 3 * kSecondNs});
  // Idling saves up no second one.
  CHECK(world.burst(Op::kRead, 4096, 100 * kSecondNs) == 1);
}

TEST_CASE("B9: 512 bytes and 44 KiB cost one token each, and so do flushes and discards") {
  GateWorld world(tokens_of(10, a_second(1)));
  world.go(Op::kRead, 512, 0);
  world.go(Op::kWrite, 44 * kKiB, 0);
  CHECK(tokens(world, 0) == 8);
  world.go(Op::kFlush, 0, 0);
  world.go(Op::kDiscard, kMiB, 0);
  world.go(Op::kWriteZeroes, kMiB, 0);
  CHECK(tokens(world, 0) == 5);
  CHECK(world.gate.has_total());
}

TEST_CASE("B10: 250 requests on a bucket of 100, refill 10: the last at 15 s") {
  GateWorld world(tokens_of(100, a_second(10)));
  const auto went = world.flood(Op::kRead, 4096, 250);
  for (std::size_t n = 0; n < went.size(); ++n) {
    const TimeNs second = n < 100 ? 0 : static_cast<TimeNs>(n - 100) / 10 + 1;
    REQUIRE(went[n] == second * kSecondNs);
  }
  CHECK(went.back() == 15 * kSecondNs);
}

TEST_CASE("refills come at whole periods from the write of the rule, not from a request") {
  // Written at 0.3 s; the only token goes at 0.7 s; the next is there at 1.3 s, not at 1.7.
  GateWorld world(tokens_of(1, a_second(1)), 300 * kMs);
  CHECK(world.go(Op::kRead, 512, 700 * kMs) == 700 * kMs);
  CHECK(world.go(Op::kRead, 512, 700 * kMs) == 1300 * kMs);
}

TEST_CASE("tokens fall below zero where requests go although there are none") {
  // 153 requests past the gate (a parent pays for its children's): 155 refills until one may go.
  GateWorld world(tokens_of(1, a_second(1)));
  for (int i = 0; i < 154; ++i) world.gate.charge(Op::kRead, 512, 0);
  CHECK(tokens(world, 0) == -153);
  CHECK(world.gate.opens_at(Direction::kRead) == 154 * kSecondNs);
  CHECK(world.gate.opens_at(Direction::kWrite) == 154 * kSecondNs);
}

TEST_CASE("tokens changed live: debt is kept, credit clipped") {
  GateWorld world(tokens_of(100, a_second(10)));
  world.flood(Op::kRead, 512, 20);
  CHECK(tokens(world, 0) == 80);
  world.set(tokens_of(50, a_second(10)), 500 * kMs);  // smaller: clipped; the refill goes on
  CHECK(tokens(world, 500 * kMs) == 50);
  world.flood(Op::kRead, 512, 50, 500 * kMs);
  CHECK(world.gate.opens_at(Direction::kRead) == kSecondNs);
  world.set(tokens_of(200, a_second(10)), 600 * kMs);  // larger: nothing for nothing
  CHECK(tokens(world, 600 * kMs) == 0);
  CHECK(world.gate.opens_at(Direction::kRead) == kSecondNs);
  // A new refill is counted from its write.
  world.set(tokens_of(200, a_second(7)), 700 * kMs);
  CHECK(world.gate.opens_at(Direction::kRead) == 1700 * kMs);
  CHECK(tokens(world, 1700 * kMs) == 7);
  // Debt: 10 below zero, 5 come each 100 ms from 2 s on: above zero with the third.
  for (int i = 0; i < 17; ++i) world.gate.charge(Op::kRead, 512, 1700 * kMs);
  world.set(tokens_of(200, {5, 100, false}), 2 * kSecondNs);
  CHECK(tokens(world, 2 * kSecondNs) == -10);
  CHECK(world.gate.opens_at(Direction::kRead) == 2300 * kMs);
}

TEST_CASE("other rules that change leave the tokens alone, and the tokens them") {
  DeviceRules rules = tokens_of(10, a_second(1));
  rules.of(Limit::kReadBps).per_second = 1000;
  GateWorld world(rules);
  world.go(Op::kRead, 500, 0);
  rules.of(Limit::kWriteBps).per_second = 7;
  world.set(rules, 300 * kMs);
  CHECK(tokens(world, 300 * kMs) == 9);
  CHECK(tokens(world, 999 * kMs) == 9);
  CHECK(tokens(world, kSecondNs) == 10);
  rules.tokens.max = 3;
  world.set(rules, 400 * kMs);
  CHECK(world.gate.opens_at(Direction::kRead) == 500 * kMs);
}

TEST_CASE("tokens bind when both rules are set, and start full each time they come to bind") {
  DeviceRules rules;
  rules.tokens.max = 1;
  GateWorld world(rules);
  CHECK_FALSE(world.gate.limited(Direction::kRead));
  CHECK_FALSE(world.gate.token_status(0));
  rules.tokens.refill = a_second(1);
  world.set(rules, 100 * kMs);
  CHECK(world.gate.limited(Direction::kWrite));
  CHECK(world.flood(Op::kWrite, 0, 2, 100 * kMs) == std::vector<TimeNs>{100 * kMs, 1100 * kMs});
  rules.tokens.max = std::nullopt;
  world.set(rules, 1200 * kMs);
  CHECK(world.gate.opens_at(Direction::kWrite) == kLongAgo);
  rules.tokens.max = 1;
  world.set(rules, 1300 * kMs);
  CHECK(world.flood(Op::kWrite, 0, 2, 1300 * kMs) == std::vector<TimeNs>{1300 * kMs, 2300 * kMs});
}

TEST_CASE("all levels reset: a full bucket, periods counted from then on") {
  GateWorld world(tokens_of(2, a_second(1)));
  world.flood(Op::kRead, 512, 2);
  DeviceRules rules = tokens_of(2, a_second(1));
  world.set(rules, 500 * kMs, Levels::kReset);
  CHECK(world.flood(Op::kRead, 512, 3, 500 * kMs) ==
        std::vector<TimeNs>{500 * kMs, 500 * kMs, 1500 * kMs});
}

TEST_CASE("the status counts requests, and those of the last full second") {
  // 5 in the first second, 3 in the second, none in the third.
  GateWorld world(tokens_of(100, a_second(50)), 200 * kMs);
  const auto at = [](TimeNs ms) { return 200 * kMs + ms * kMs; };
  world.flood(Op::kRead, 512, 5, at(100));
  CHECK(world.gate.token_status(at(999))->io_rate == 0);
  world.flood(Op::kWrite, 512, 3, at(1500));
  CHECK(world.gate.token_status(at(1600))->io_rate == 5);
  CHECK(world.gate.token_status(at(2100))->io_rate == 3);
  const TokenStatus status = world.gate.token_status(at(3100)).value();
  CHECK(status == TokenStatus{8, 0, 100, a_second(50), 100});
  CHECK(world.gate.token_status(at(9000))->io_rate == 0);
}
