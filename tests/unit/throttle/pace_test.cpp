// SPDX-License-Identifier: MIT
#include "throttle/pace.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <vector>

using namespace blkio;
using throttle::Pace;

namespace {

constexpr std::uint64_t kKiB = 1024;
constexpr std::uint64_t kMiB = 1024 * kKiB;
constexpr TimeNs kUs = 1000;

Pace pace_of(std::uint64_t per_second, TimeNs now = 0) {
  Pace pace;
  pace.set_rate(per_second, now);
  return pace;
}

/// When n requests of one cost go, if each goes the moment it may.
std::vector<TimeNs> flood(Pace& pace, std::uint64_t cost, int n, TimeNs now = 0) {
  std::vector<TimeNs> went;
  for (int i = 0; i < n; ++i) {
    now = std::max(now, pace.opens_at());
    pace.charge(cost, now, i > 0);
    went.push_back(now);
  }
  return went;
}

/// How many requests go at `now` without waiting.
int burst(Pace& pace, std::uint64_t cost, TimeNs now, bool held = false) {
  int n = 0;
  for (; pace.opens_at() <= now; ++n) pace.charge(cost, now, held && n == 0);
  return n;
}

}  // namespace

TEST_CASE("requests go at even distances") {
  // 4096 / 1048576 s = 3.90625 ms.
  Pace pace = pace_of(kMiB);
  CHECK(flood(pace, 4096, 4) == std::vector<TimeNs>{0, 3'906'250, 7'812'500, 11'718'750});
}

TEST_CASE("a request larger than any credit goes, and the next one waits for it") {
  // 256 KiB at 1 MiB/s: four a second. 1 MiB at 1 MiB/s: one a second, none stalls.
  Pace quarters = pace_of(kMiB);
  CHECK(flood(quarters, 256 * kKiB, 4) ==
        std::vector<TimeNs>{0, kSecondNs / 4, kSecondNs / 2, 3 * kSecondNs / 4});
  Pace whole = pace_of(kMiB);
  CHECK(flood(whole, kMiB, 3) == std::vector<TimeNs>{0, kSecondNs, 2 * kSecondNs});
  // 4 KiB at 511 bytes/s: 4096 / 511 s = 8.015655577... s.
  Pace slow = pace_of(511);
  CHECK(flood(slow, 4096, 3) == std::vector<TimeNs>{0, 8'015'655'577, 16'031'311'154});
}

TEST_CASE("the fraction of a nanosecond is carried") {
  // Thirds of a second: request 3 is at the whole second again, request 3,000,003 at the
  // 1,000,001st.
  Pace pace = pace_of(3);
  CHECK(flood(pace, 1, 4) == std::vector<TimeNs>{0, 333'333'333, 666'666'666, kSecondNs});
  CHECK(flood(pace, 1, 3'000'000, kSecondNs).back() == 1'000'001 * kSecondNs);
}

TEST_CASE("the largest rate and cost are exact") {
  // 10^6 requests of 2^40 bytes at 2^64-2 B/s: floor(10^6 * 2^40 * 10^9 / (2^64-2)) = 59604644 ns.
  // One alone takes 59.6 ns: without the fraction it would be 59000000.
  Pace pace = pace_of(std::numeric_limits<std::uint64_t>::max() - 1);
  flood(pace, std::uint64_t{1} << 40, 1'000'000);
  CHECK(pace.opens_at() == 59'604'644);
}

TEST_CASE("a plan beyond the end of time is kept exactly") {
  // 2^40 bytes at 1 B/s are due in 34,865 years, more than TimeNs can say; at 2^30 B/s in 1024 s.
  Pace pace = pace_of(1);
  pace.charge(std::uint64_t{1} << 40, 0, false);
  CHECK(pace.opens_at() == kNever - 1);
  pace.set_rate(std::uint64_t{1} << 30, 0);
  CHECK(pace.opens_at() == 1024 * kSecondNs);
}

TEST_CASE("late wake-ups lose no rate") {
  // Request i is planned at i ms. It goes 25..100 us late, every 50th 1.7 ms late; that is less
  // than the 2 ms that are made up at once, so the plan never slips: the last of 4000 is planned at
  // 3999 ms.
  std::mt19937_64 random(1);
  std::uniform_int_distribution<TimeNs> lateness(25 * kUs, 100 * kUs);
  Pace pace = pace_of(1000);
  TimeNs now = 0;
  for (int i = 0; i < 4000; ++i) {
    const TimeNs late = i % 50 == 0 ? 1700 * kUs : lateness(random);
    now = std::max(now, pace.opens_at() + (pace.opens_at() > now ? late : 0));
    REQUIRE(pace.opens_at() == i * kMillisecondNs);
    pace.charge(1, now, true);
  }
}

TEST_CASE("a long stall is made up for 4 ms and no more, half of them slowly") {
  // 1000 ios/s, a waiter due at 1 ms gets to go at 1 s. The plan is moved to 996 ms, the second one
  // to 998: requests at 998, 998.992.. and 999.984.. may go, and so on every 127/128 ms. After n of
  // them the plan is due, at 996 + n, as late as the second, at 998 + 127/128 n, for n = 256.
  Pace pace = pace_of(1000);
  pace.charge(1, 0, false);
  CHECK(burst(pace, 1, kSecondNs, true) == 3);
  TimeNs due = kSecondNs;
  for (int n = 3; n <= 256; ++n) {
    due = 998 * kMillisecondNs + n * (kMillisecondNs - kMillisecondNs / 128);
    REQUIRE(pace.opens_at() == due);
    pace.charge(1, due, true);
  }
  for (int n = 257; n < 260; ++n) {
    REQUIRE(pace.opens_at() == (996 + n) * kMillisecondNs);
    pace.charge(1, pace.opens_at(), true);
  }
}

TEST_CASE("a stall of every second loses nothing") {
  // 10000 ios/s; nothing happens for 3.9 ms each 250 ms. Of these 39 requests 20 are made up at
  // once, the others at a 128th of the rate: in (3.9 - 2) * 128 = 243 ms. So at the end of each
  // quarter of a second it is on its plan again.
  Pace pace = pace_of(10'000);
  int went = 0;
  for (int quarter = 0; quarter < 40; ++quarter) {
    const TimeNs begin = quarter * 250 * kMillisecondNs;
    TimeNs now = begin + 3900 * kUs;
    while (std::max(now, pace.opens_at()) < begin + 250 * kMillisecondNs) {
      now = std::max(now, pace.opens_at());
      pace.charge(1, now, true);
      ++went;
    }
    CHECK(went == (quarter + 1) * 2500);
  }
}

TEST_CASE("an idle pace keeps a credit of one millisecond") {
  // 10000 ios/s: ten in a millisecond, and one more at the planned time itself.
  Pace pace = pace_of(10'000);
  pace.charge(1, 0, false);
  CHECK(burst(pace, 1, 10 * kSecondNs) == 11);
  // Use without waiting is no steady use either: a second later it is the same again.
  CHECK(burst(pace, 1, 11 * kSecondNs) == 11);
  // Nor is waiting long ago, more than 10 ms.
  pace.charge(1, pace.opens_at() + 50 * kUs, true);
  CHECK(burst(pace, 1, 12 * kSecondNs) == 11);
}

TEST_CASE("a new rate starts without credit") {
  Pace pace = pace_of(10'000, 5 * kSecondNs);
  CHECK(burst(pace, 1, 5 * kSecondNs) == 1);
}

TEST_CASE(
    "a client with one request at a time gets the full rate if it is fast enough on average") {
  // 10000 ios/s = one per 100 us. The client comes back after 20 and 150 us in turns, 85 us on
  // average, so the limit binds; a third of the requests come after their planned time, and the
  // credit lets the next one go that much sooner. n requests take (n-1) * 100 us.
  Pace pace = pace_of(10'000);
  TimeNs now = 0;
  for (int i = 0; i < 10'000; ++i) {
    const bool waits = pace.opens_at() > now;
    if (waits) now = pace.opens_at() + 60 * kUs;  // and the wake-up is late
    pace.charge(1, now, waits);
    now += i % 2 == 0 ? 20 * kUs : 150 * kUs;
  }
  CHECK(pace.opens_at() >= kSecondNs - 150 * kUs);
  CHECK(pace.opens_at() <= kSecondNs);
  CHECK(now <= kSecondNs + 300 * kUs);
}

TEST_CASE("a stall is made up too when the client has only one request at a time") {
  // Planned every 100 us; every 100th request goes 1.7 ms late, and the client is back 50 us after
  // each. At 50 us a request it makes up 50 us each, so within 34 of the 100. Nothing is lost.
  Pace pace = pace_of(10'000);
  TimeNs now = 0;
  for (int i = 0; i < 10'000; ++i) {
    REQUIRE(pace.opens_at() == i * 100 * kUs);
    const bool waits = pace.opens_at() > now;
    if (waits) now = pace.opens_at() + (i % 100 == 99 ? 1700 * kUs : 60 * kUs);
    pace.charge(1, now, waits);
    now += 50 * kUs;
  }
}

TEST_CASE("any window is bounded, the shorter ones more tightly") {
  // rate * min(T + 4 ms, (T + 2 ms) * 128/127) plus one request.
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    const std::uint64_t rate = 100 + random() % 100'000;
    Pace pace = pace_of(rate);
    std::vector<TimeNs> went;
    TimeNs now = 0;
    for (int i = 0; i < 400; ++i) {
      const bool waits = pace.opens_at() > now;
      if (waits) now = pace.opens_at() + static_cast<TimeNs>(random() % 2'000'000);
      pace.charge(1, now, waits);
      went.push_back(now);
      if (random() % 20 == 0) now += static_cast<TimeNs>(random() % 20'000'000);
    }
    for (std::size_t first = 0; first < went.size(); ++first) {
      for (std::size_t last = first; last < went.size(); ++last) {
        const auto window = static_cast<double>(went[last] - went[first]);
        const double made_up = window + throttle::kCatchUpNs;
        const double evenly = (window + throttle::kAtOnceNs) * 128 / 127;
        const double most = std::min(made_up, evenly) * static_cast<double>(rate) / 1e9 + 1.0;
        if (static_cast<double>(last - first + 1) > most + 1e-6) {
          FAIL("round " << round << ": " << last - first + 1 << " > " << most);
        }
      }
    }
  }
}

TEST_CASE("a changed rate keeps the debt in units") {
  // 1 MiB at 1 MiB/s; after 0.5 s half of it is owed: 0.25 s at 2 MiB/s, 1 s at 512 KiB/s.
  Pace faster = pace_of(kMiB);
  faster.charge(kMiB, 0, false);
  faster.set_rate(2 * kMiB, kSecondNs / 2);
  CHECK(faster.opens_at() == 3 * kSecondNs / 4);

  Pace slower = pace_of(kMiB);
  slower.charge(kMiB, 0, false);
  slower.set_rate(kMiB / 2, kSecondNs / 2);
  CHECK(slower.opens_at() == 3 * kSecondNs / 2);
}

TEST_CASE("a rate changed ten thousand times loses nothing") {
  // 100 s worth of debt at 1000/s; while it is repaid the rate alternates between 999 and 1001
  // every 5 ms, 1000 on average. Exact arithmetic: due at 100 s.
  Pace pace = pace_of(1000);
  pace.charge(100'000, 0, false);
  for (int i = 0; i < 20'000 - 2; ++i) {
    pace.set_rate(i % 2 == 0 ? 999 : 1001, i * 5 * kMillisecondNs);
  }
  pace.set_rate(1000, (20'000 - 2) * 5 * kMillisecondNs);
  CHECK(pace.opens_at() == 100 * kSecondNs);
}

TEST_CASE("a rate of 0 lets nothing pass and repays nothing") {
  // 512 KiB are owed when it stops, and still when it goes on 10 s later.
  Pace pace = pace_of(kMiB);
  pace.charge(kMiB, 0, false);
  pace.set_rate(0, kSecondNs / 2);
  CHECK(pace.limited());
  CHECK(pace.opens_at() == kNever);
  pace.set_rate(0, 5 * kSecondNs);
  pace.set_rate(kMiB, 10 * kSecondNs);
  CHECK(pace.opens_at() == 10 * kSecondNs + kSecondNs / 2);
}

TEST_CASE("a removed rate is forgotten") {
  Pace pace = pace_of(1);
  pace.charge(1000, 0, false);
  pace.set_rate(std::nullopt, 1);
  CHECK_FALSE(pace.limited());
  CHECK(pace.opens_at() == kLongAgo);
  pace.charge(1000, 1, false);
  pace.set_rate(1, 2);
  CHECK(pace.opens_at() == 2);
}

TEST_CASE("credit is kept in units and clipped to the new rate's") {
  // At 10 s an idle pace has 4 ms worth of 10000/s = 40 ios in hand (of which an idle user may
  // have 1 ms worth). At 1000/s those are 40 ms: clipped to 4 ms, used as 1 ms: two requests.
  Pace slower = pace_of(10'000);
  slower.charge(1, 0, false);
  slower.set_rate(1000, 10 * kSecondNs);
  CHECK(burst(slower, 1, 10 * kSecondNs) == 2);
  // At 100000/s 40 ios are 0.4 ms: 41 requests.
  Pace faster = pace_of(10'000);
  faster.charge(1, 0, false);
  faster.set_rate(100'000, 10 * kSecondNs);
  CHECK(burst(faster, 1, 10 * kSecondNs) == 41);
}

TEST_CASE("requests without bytes cost a bytes-per-second pace nothing") {
  Pace pace = pace_of(1);
  pace.charge(1, 0, false);
  const TimeNs due = pace.opens_at();
  pace.charge(0, 0, false);
  CHECK(pace.opens_at() == due);
}
