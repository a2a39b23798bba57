// SPDX-License-Identifier: MIT
/// QEMU's leaky buckets: the numbers of its own tests (tests/unit/test-throttle.c), of the review
/// of its first patches, and some beside them. The rule, per bucket (util/throttle.c):
///   size = rate / 10 without a burst, burst rate * seconds with one;
///   level = what has passed, less rate * time, not below 0; wait = (level - size) / rate;
///   a burst of more than a second also: level of the burst, leaking the burst rate, size a tenth.
#include <catch2/catch.hpp>
#include <cmath>

#include "gate_world.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr TimeNs kMs = kMillisecondNs;

/// What QEMU would call the bucket's level, worked out from when it opens.
double level(const GateWorld& world, double size, double rate, TimeNs now) {
  const auto opens = static_cast<double>(world.gate.opens_at(Direction::kRead) - now);
  return std::max(0.0, size + opens * rate / 1e9);
}

}  // namespace

TEST_CASE("Q1: a level of 1.5 leaks 150 a second down to 0 and stays there") {
  // Size 15. 6144 bytes are 1.5 ios of 4096. After 1/150 s 0.5 are left, then none.
  DeviceRules rules = strict(rules_of(Limit::kReadIops, 150));
  rules.iops_size = 4096;
  GateWorld world(rules);
  world.go(Op::kRead, 6144, 0);
  CHECK(level(world, 15, 150, 0) == Approx(1.5).margin(1e-6));
  CHECK(level(world, 15, 150, kSecondNs / 150) == Approx(0.5).margin(1e-6));
  CHECK(level(world, 15, 150, 2 * kSecondNs / 150) == Approx(0).margin(1e-6));
  CHECK(level(world, 15, 150, 3 * kSecondNs / 150) == 0);
  // Not below: the next one finds an empty bucket.
  world.go(Op::kRead, 4096, kSecondNs);
  CHECK(level(world, 15, 150, kSecondNs) == Approx(1).margin(1e-6));
}

TEST_CASE("Q2: the level of the burst leaks the burst rate") {
  // 250/s, so 2.5 in 10 ms; its size is 25. The average's bucket (size 500) is nowhere near.
  GateWorld world(rules_of(Limit::kReadIops, 150, 250, 2));
  world.flood(Op::kRead, 4096, 6);
  CHECK(level(world, 25, 250, 0) == Approx(6));
  CHECK(level(world, 25, 250, 10 * kMs) == Approx(3.5));
  CHECK(level(world, 25, 250, 20 * kMs) == Approx(1));
  CHECK(level(world, 25, 250, 30 * kMs) == 0);
  CHECK(level(world, 25, 250, 40 * kMs) == 0);
}

TEST_CASE("Q3: without a rate a burst limits nothing") {
  DeviceRules rules;
  rules.of(Limit::kReadIops) = {std::nullopt, 15, 1};
  GateWorld world(rules);
  for (int i = 0; i < 1000; ++i) REQUIRE(world.go(Op::kRead, 4096, 0) == 0);
}

TEST_CASE("Q4, Q5: a bucket lets go while its level is no more than its size") {
  // Rate 150, burst rate 15 for a second: size 15. Level 9 and 15 wait for nothing, 15.5 for
  // 0.5 / 150 s = 3333333.3 ns.
  DeviceRules rules = rules_of(Limit::kReadIops, 150, 15, 1);
  rules.iops_size = 4096;
  GateWorld world(rules);
  world.flood(Op::kRead, 4096, 9);
  CHECK(world.gate.opens_at(Direction::kRead) <= 0);
  world.flood(Op::kRead, 4096, 6);
  CHECK(world.gate.opens_at(Direction::kRead) == 0);  // level 15, to the nanosecond
  GateWorld half(rules);
  half.flood(Op::kRead, 4096, 14);
  half.go(Op::kRead, 6144, 0);  // 15.5
  CHECK(half.gate.opens_at(Direction::kRead) == 3'333'333);
}

TEST_CASE("Q7, Q8: bytes count in bytes-per-second buckets, requests in ios, totals both") {
  // Size 0 buckets would be easiest to read; here each is a bucket of 10^6 and what is in it is
  // read off when it opens: rate 10^6, one unit each 1000 ns.
  for (const std::uint64_t bytes : {512, 1024}) {
    for (const std::uint64_t iops_size : {std::uint64_t{0}, std::uint64_t{17}}) {
      const auto used = [&](Limit limit) {
        DeviceRules rules = rules_of(limit, 1'000'000, 1'000'000, 1);
        if (!counts_bytes(limit)) rules.iops_size = iops_size;
        GateWorld world(rules);
        world.go(Op::kRead, bytes, 0);
        world.go(Op::kWrite, bytes, 0);
        const Direction direction =
            covers(limit, Direction::kRead) ? Direction::kRead : Direction::kWrite;
        return 1e6 + static_cast<double>(world.gate.opens_at(direction)) / 1000;
      };
      const auto whole = static_cast<double>(bytes);
      CHECK(used(Limit::kTotalBps) == Approx(2 * whole));
      CHECK(used(Limit::kReadBps) == Approx(whole));
      CHECK(used(Limit::kWriteBps) == Approx(whole));
      const double ios = iops_size == 0 ? 1 : whole / 17;
      CHECK(used(Limit::kTotalIops) == Approx(2 * ios).margin(1e-3));
      CHECK(used(Limit::kReadIops) == Approx(ios).margin(1e-3));
      CHECK(used(Limit::kWriteIops) == Approx(ios).margin(1e-3));
    }
  }
}

TEST_CASE("Q10: a request is bytes / iops_size ios, but one at least, and the fraction counts") {
  // At one io a second and no credit the next one waits for as many seconds: 4097/4096 s is
  // 1000244140.625 ns.
  const auto ios = [](std::uint64_t bytes, std::uint64_t iops_size) {
    DeviceRules rules = rules_of(Limit::kReadIops, 1);
    rules.iops_size = iops_size;
    GateWorld world(rules);
    world.go(Op::kRead, bytes, 0);
    return world.gate.opens_at(Direction::kRead);
  };
  CHECK(ios(8192, 4096) == 2 * kSecondNs);
  CHECK(ios(6144, 4096) == 1500 * kMs);
  CHECK(ios(2048, 4096) == kSecondNs);
  CHECK(ios(4096, 4096) == kSecondNs);
  CHECK(ios(4097, 4096) == 1'000'244'140);
  CHECK(ios(0, 4096) == kSecondNs);
  CHECK(ios(5, 1) == 5 * kSecondNs);
  // Larger than any request: every request is one io.
  CHECK(ios(kMiB, std::uint64_t{1} << 40) == kSecondNs);
  CHECK(ios(kMiB, std::uint64_t{1} << 63) == kSecondNs);
}

TEST_CASE("a fraction of an io is carried for ever") {
  // 4097 bytes each at 1000 ios/s of 4096: n requests take n * 4097/4096 ms; 4,096,000 of them
  // 4,097,000 ms exactly.
  DeviceRules rules = rules_of(Limit::kReadIops, 1000);
  rules.iops_size = 4096;
  GateWorld world(rules);
  world.flood(Op::kRead, 4097, 4'096'000);
  CHECK(world.gate.opens_at(Direction::kRead) == 4'097'000 * kMs);
}

TEST_CASE("Q11: each limit works alone") {
  for (int i = 0; i < kLimits; ++i) {
    const auto limit = static_cast<Limit>(i);
    GateWorld world(strict(rules_of(limit, 150)));
    for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
      CHECK(world.gate.limited(direction) == covers(limit, direction));
    }
  }
}

TEST_CASE("Q12, Q14: rates of 1 and of 10^15 are exact") {
  GateWorld one(strict(rules_of(Limit::kReadBps, 1)));  // size 0.1
  CHECK(one.flood(Op::kRead, 1, 3) == std::vector<TimeNs>{0, 900 * kMs, 1900 * kMs});
  // 10^15 bytes/s: a tenth of a second is 10^14 bytes, and a request of 10^6 takes 1 ns. Size
  // 10^14: the bucket takes 10^8 and one of them at once; we start at its brim.
  GateWorld most(strict(rules_of(Limit::kReadBps, 1'000'000'000'000'000)));
  most.gate.charge(Op::kRead, 100'000'000'000'000, 0);
  CHECK(most.flood(Op::kRead, 1'000'000, 4) == std::vector<TimeNs>{0, 1, 2, 3});
}

TEST_CASE("Q15: the longest burst there is") {
  // 1 a second, burst rate 1, 10^15 s: a bucket of 10^15, which 10^15 bytes just fill.
  GateWorld world(rules_of(Limit::kReadBps, 1, 1, 1'000'000'000'000'000));
  world.gate.charge(Op::kRead, 1'000'000'000'000'000, 0);
  // The burst's own level is 10^15 over 0.1, 1 a second: 10^15 - 0.1 s, beyond what 64 bits hold.
  CHECK(world.gate.opens_at(Direction::kRead) == kNever - 1);
  GateWorld second(rules_of(Limit::kReadBps, 1, 1'000'000'000'000'000, 1));
  second.gate.charge(Op::kRead, 1'000'000'000'000'000, 0);
  CHECK(second.gate.opens_at(Direction::kRead) == 0);
  second.gate.charge(Op::kRead, 3, 0);
  CHECK(second.gate.opens_at(Direction::kRead) == 3 * kSecondNs);
}

TEST_CASE("Q21: 10 ios a second under a flood go at 0, 0, .1, .2 s") {
  // Size 1: at level 1 the second goes too.
  GateWorld world(strict(rules_of(Limit::kReadIops, 10)));
  CHECK(world.flood(Op::kRead, 512, 5) ==
        std::vector<TimeNs>{0, 0, 100 * kMs, 200 * kMs, 300 * kMs});
}

TEST_CASE("Q23: 100 a second with bursts of 2000 for 60 s") {
  // Number n (from 0) goes at (n-200)/2000 s while n - 100 t <= 120000, that is up to n = 126305;
  // the average's bucket is full then, and n = 126306 goes when 126306 - 100 t = 120000: 63.06 s.
  GateWorld world(rules_of(Limit::kReadIops, 100, 2000, 60));
  const std::vector<TimeNs> went = world.flood(Op::kRead, 512, 126'310);
  CHECK(went[200] == 0);
  CHECK(went[201] == 500'000);
  CHECK(went[126'305] == 63'052'500'000);
  CHECK(went[126'306] == 63'060 * kMs);
  CHECK(went[126'307] == 63'070 * kMs);
  CHECK(went[126'309] == 63'090 * kMs);
}

TEST_CASE("Q23: a slower client bursts for longer") {
  // 1000 a second: number n comes at n ms. n - 0.1 n <= 120000: the last one that does not wait is
  // n = 133333, at 133.333 s.
  GateWorld world(rules_of(Limit::kReadIops, 100, 2000, 60));
  int n = 0;
  while (world.gate.opens_at(Direction::kRead) <= n * kMs)
    world.gate.charge(Op::kRead, 512, n++ * kMs);
  CHECK(n == 133'334);
}

TEST_CASE("a burst is there again after size / rate of idleness, and a part of it sooner") {
  // Size 10; at 100 a second it is empty after 100 ms. A burst is size and one more.
  GateWorld world(rules_of(Limit::kWriteIops, 100, 10, 1));
  CHECK(world.burst(Op::kWrite, 0, 0) == 11);
  CHECK(world.burst(Op::kWrite, 0, 50 * kMs) == 5);    // level 11 - 5 = 6; to 11
  CHECK(world.burst(Op::kWrite, 0, 150 * kMs) == 10);  // 100 ms later: level 1
  CHECK(world.burst(Op::kWrite, 0, 10 * kSecondNs) == 11);
}

TEST_CASE("R2, Q33: a request larger than the bucket goes, and the next one waits for it") {
  // 1 MiB/s: size 104857.6. 256 KiB: number n goes when n * 262144 - 2^20 t = 104857.6, that is at
  // n/4 - .1 s. 1 MiB: at n - .1 s.
  GateWorld quarters(strict(rules_of(Limit::kReadBps, kMiB)));
  CHECK(quarters.flood(Op::kRead, 256 * kKiB, 6) ==
        std::vector<TimeNs>{0, 150 * kMs, 400 * kMs, 650 * kMs, 900 * kMs, 1150 * kMs});
  GateWorld whole(strict(rules_of(Limit::kTotalBps, kMiB)));
  CHECK(whole.flood(Op::kWrite, kMiB, 4) ==
        std::vector<TimeNs>{0, 900 * kMs, 1900 * kMs, 2900 * kMs});
  // The same without --qemu-strict: 1 ms of credit, and a new rule has none.
  GateWorld even(rules_of(Limit::kReadBps, kMiB));
  CHECK(even.flood(Op::kRead, 256 * kKiB, 3) == std::vector<TimeNs>{0, 250 * kMs, 500 * kMs});
}

TEST_CASE("R2: very small limits: 511 bytes a second with 4 KiB, one io a second") {
  // Size 51.1: number n goes at (4096 n - 51.1) / 511 s = 7.91566, 15.93131, 23.94697 s.
  GateWorld bytes(strict(rules_of(Limit::kReadBps, 511)));
  CHECK(bytes.flood(Op::kRead, 4096, 4) ==
        std::vector<TimeNs>{0, 7'915'655'577, 15'931'311'154, 23'946'966'731});
  // Size 0.1: at .9, 1.9 s; one a second.
  GateWorld ios(strict(rules_of(Limit::kReadIops, 1)));
  CHECK(ios.flood(Op::kRead, 4096, 4) == std::vector<TimeNs>{0, 900 * kMs, 1900 * kMs, 2900 * kMs});
}

TEST_CASE("a planned time does not drift over hours") {
  // 7 ios/s, strict: number n at (n - .7) / 7 s; number 7 * 36000 after ten hours less .1 s.
  GateWorld world(strict(rules_of(Limit::kReadIops, 7)));
  CHECK(world.flood(Op::kRead, 512, 7 * 36'000 + 1).back() == 36'000 * kSecondNs - 100 * kMs);
  // With a burst of 10/s for 3 s: size 30, so number n at (n - 30) / 7 s once it is used up.
  GateWorld burst(rules_of(Limit::kReadIops, 7, 10, 3));
  CHECK(burst.flood(Op::kRead, 512, 30 + 7 * 36'000 + 1).back() == 36'000 * kSecondNs);
}

TEST_CASE("late wake-ups cost a bucket no rate, and let through no more than its size") {
  // Every request goes 3 ms after it may: number n is planned at (n - 1) * 10 ms all the same.
  GateWorld world(strict(rules_of(Limit::kReadIops, 100)));  // size 10
  world.flood(Op::kRead, 512, 11);
  for (int n = 11; n < 1000; ++n) {
    const TimeNs opens = world.gate.opens_at(Direction::kRead);
    REQUIRE(opens == (n - 10) * 10 * kMs);
    world.gate.note_waited(Direction::kRead);
    world.gate.charge(Op::kRead, 512, opens + 3 * kMs);
  }
  // However long nobody comes: size and one.
  CHECK(world.burst(Op::kRead, 512, 1000 * kSecondNs) == 11);
}

TEST_CASE("T1, T4: td-rated's token rule") {
  // Rate 10^6 without a cap, 64 KiB requests: 65.536 ms each.
  GateWorld none(rules_of(Limit::kReadBps, 1'000'000));
  CHECK(none.flood(Op::kRead, 65'536, 4) ==
        std::vector<TimeNs>{0, 65'536'000, 131'072'000, 196'608'000});
  // Cap 10^7, rate 8 * 10^7: used up at once it is full again after 125 ms, and not before.
  for (const auto& [idle, again] : {std::pair{125 * kMs, 11}, std::pair{124 * kMs, 10}}) {
    GateWorld world(rules_of(Limit::kWriteBps, 80'000'000, 10'000'000, 1));
    CHECK(world.burst(Op::kWrite, 1'000'000, 0) == 11);
    // One request above the cap is owed too: 12.5 ms.
    const TimeNs paid = 12'500'000;
    CHECK(world.burst(Op::kWrite, 1'000'000, paid + idle) == static_cast<std::size_t>(again));
  }
}

TEST_CASE("strict: a flush pays nothing, discards and zeroed ranges pay their bytes") {
  const auto bytes_owed = [](bool is_strict, Op op) {
    DeviceRules rules = rules_of(Limit::kWriteBps, 1000, 1, 1);  // size 1
    rules.of(Limit::kWriteIops) = {1'000'000'000, 0, 1};
    rules.qemu_strict = is_strict;
    GateWorld world(rules);
    world.gate.charge(op, op == Op::kFlush ? 0 : 64 * kKiB, 0);
    return world.gate.opens_at(Direction::kWrite);
  };
  // (65536 - 1) / 1000 s; the kernel's way takes a discard for 512 bytes: 0.511 s.
  CHECK(bytes_owed(true, Op::kDiscard) == 65'535 * kMs);
  CHECK(bytes_owed(false, Op::kDiscard) == 511 * kMs);
  CHECK(bytes_owed(true, Op::kWriteZeroes) == 65'535 * kMs);
  CHECK(bytes_owed(false, Op::kWriteZeroes) == 65'535 * kMs);

  DeviceRules ios = rules_of(Limit::kWriteIops, 1);
  GateWorld kernels(ios);
  kernels.gate.charge(Op::kFlush, 0, 0);
  CHECK(kernels.gate.opens_at(Direction::kWrite) == kSecondNs);
  GateWorld qemus(strict(ios));
  qemus.gate.charge(Op::kFlush, 0, 0);
  CHECK(qemus.gate.opens_at(Direction::kWrite) <= 0);
}

TEST_CASE("read, write and total together: each request waits for the latest of its own") {
  // QEMU would refuse the set; here it holds. 100 reads, 50 writes, 120 together a second, strict:
  // sizes 10, 5, 12. Reads at t = 0: 11 go (level 11 > 10). Then writes: the total has 11 of 12, so
  // two go: 13 > 12, 1/120 s to wait.
  DeviceRules rules = strict(rules_of(Limit::kReadIops, 100));
  rules.of(Limit::kWriteIops).per_second = 50;
  rules.of(Limit::kTotalIops).per_second = 120;
  GateWorld world(rules);
  CHECK(world.burst(Op::kRead, 512, 0) == 11);
  CHECK(world.gate.opens_at(Direction::kRead) == 10 * kMs);
  CHECK(world.burst(Op::kWrite, 512, 0) == 2);
  CHECK(world.gate.opens_at(Direction::kWrite) == 8'333'333);
  CHECK(world.gate.opens_at(Direction::kRead) == 10 * kMs);
  // In the long run 120 together: reads are held by their own 100, writes have what is left, 20.
  TimeNs now = 10 * kMs;
  int reads = 0;
  int writes = 0;
  while (now < 100 * kSecondNs) {
    const TimeNs read = std::max(now, world.gate.opens_at(Direction::kRead));
    const TimeNs write = std::max(now, world.gate.opens_at(Direction::kWrite));
    now = std::min(read, write);
    world.go(read <= write ? Op::kRead : Op::kWrite, 512, now);
    ++(read <= write ? reads : writes);
  }
  CHECK(std::abs(reads + writes - 12'000) <= 2);
  CHECK(reads <= 10'001);
  CHECK(writes <= 5'001);
}
