// SPDX-License-Identifier: MIT
/// What the reviewer of QEMU's patch v2 asked for (M. Tosatti, 26 July 2011), as tests that our
/// limiters pass and the patch's own algorithm fails.
#include <catch2/catch.hpp>

#include "gate_world.hpp"
#include "seed_slices.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

/// One of ours behind the same two verbs.
class Ours {
 public:
  Ours(const DeviceRules& rules, TimeNs now) : rules_(rules), world_(rules, now) {}
  TimeNs ask(std::uint64_t cost, TimeNs now) {
    const TimeNs opens = world_.gate.opens_at(Direction::kRead);
    if (opens > now) return opens - now;
    world_.gate.charge(Op::kRead, cost, now);
    return 0;
  }
  void set_rate(std::uint64_t rate, TimeNs now) {
    rules_.of(Limit::kReadBps).per_second = rate;
    world_.set(rules_, now);
  }

 private:
  DeviceRules rules_;
  GateWorld world_;
};

struct Run {
  int went = 0;
  int arms = 0;
};

/// A flood of equal requests, asked again whenever the timer says: until `end`, or a million arms.
template <class Limiter>
Run flood(Limiter& limiter, std::uint64_t cost, TimeNs from, TimeNs end) {
  Run run;
  for (TimeNs now = from; now < end && run.arms < 1'000'000;) {
    const TimeNs wait = limiter.ask(cost, now);
    wait == 0 ? ++run.went : ++run.arms;
    now += wait;
  }
  return run;
}

/// R1: limits can be tuned while they hold. 10 s at 4 KiB/s, 10 s at 40: 110 requests of 4 KiB.
template <class Limiter>
bool can_be_tuned(Limiter limiter) {
  const int before = flood(limiter, 4096, 0, 10 * kSecondNs).went;
  limiter.set_rate(40 * kKiB, 10 * kSecondNs);
  const int after = flood(limiter, 4096, 10 * kSecondNs, 20 * kSecondNs).went;
  return std::abs(before - 10) <= 1 && std::abs(after - 100) <= 4;
}

/// R2: 512 sectors at 1 MB/s: four a second, and not none for ever.
template <class Limiter>
bool serves_large_requests(Limiter limiter) {
  return std::abs(flood(limiter, 256 * kKiB, 0, 10 * kSecondNs).went - 40) <= 1;
}

/// R3: the timer is armed at most once for each request that goes, and once more.
template <class Limiter>
bool something_moves_at_every_expiry(Limiter limiter, std::uint64_t cost) {
  const Run run = flood(limiter, cost, 0, 10 * kSecondNs);
  return run.went > 0 && run.arms <= run.went + 1;
}

DeviceRules bytes(std::uint64_t rate, bool is_strict) {
  DeviceRules rules = rules_of(Limit::kReadBps, rate);
  rules.qemu_strict = is_strict;
  return rules;
}

}  // namespace

TEST_CASE("R1, R2, R3: even paces and QEMU's buckets") {
  for (const bool is_strict : {false, true}) {
    CHECK(can_be_tuned(Ours(bytes(4096, is_strict), 0)));
    CHECK(serves_large_requests(Ours(bytes(kMiB, is_strict), 0)));
    for (const std::uint64_t cost : {512, 4096, 104'857, 104'858, 262'144, 1'048'576}) {
      CHECK(something_moves_at_every_expiry(Ours(bytes(kMiB, is_strict), 0), cost));
    }
  }
}

TEST_CASE("R3: at 100 rates, with bursts and without") {
  for (std::uint64_t rate = 1; rate < 2'000'000'000; rate = rate * 5 / 4 + 1) {
    for (const std::uint64_t burst : {0, 2}) {
      DeviceRules rules = bytes(rate, burst == 0);
      rules.of(Limit::kReadBps).burst_per_second = burst * rate;
      rules.of(Limit::kReadBps).burst_seconds = 3;
      const std::uint64_t cost = std::max<std::uint64_t>(rate / 50, 1);
      INFO("rate " << rate << ", burst " << burst);
      REQUIRE(something_moves_at_every_expiry(Ours(rules, 0), cost));
    }
  }
}

TEST_CASE("R1, R2, R3: the patch's slices fail them all") {
  CHECK_FALSE(can_be_tuned(SeedSlices(40'960, 0)));  // the second half is right, the first is not
  CHECK_FALSE(can_be_tuned(SeedSlices(4096, 0)));
  CHECK_FALSE(serves_large_requests(SeedSlices(kMiB, 0)));
  CHECK_FALSE(something_moves_at_every_expiry(SeedSlices(kMiB, 0), 262'144));
  // It was not all wrong.
  CHECK(something_moves_at_every_expiry(SeedSlices(kMiB, 0), 4096));
}
