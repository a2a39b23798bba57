// SPDX-License-Identifier: MIT
#include "data_plane/early_wake.hpp"

#include <catch2/catch.hpp>

using namespace blkio;
using data_plane::EarlyWake;

namespace {

constexpr TimeNs kStart = kSecondNs;

/// Sleeps until a deadline, is woken `late` by the timer and waits awake for the rest, if there is
/// one; by how much the deadline was missed.
TimeNs keep(EarlyWake& early, TimeNs& now, TimeNs deadline, TimeNs late) {
  if (!early.is_close(deadline, now)) {
    const TimeNs asked = early.before(deadline, now);
    now = asked + late;
    early.woken(asked, now);
  }
  if (now < deadline && early.is_close(deadline, now)) {
    early.spent(deadline - now);
    now = deadline;
  }
  return now - deadline;
}

/// How many of `count` deadlines were missed by more than 1 us.
int missed(EarlyWake& early, TimeNs& now, TimeNs interval, int count, TimeNs late, TimeNs later) {
  int result = 0;
  TimeNs deadline = now;
  for (int i = 1; i <= count; ++i) {
    deadline += interval;
    if (keep(early, now, deadline, i % 3 == 0 ? later : late) > 1000) ++result;
    now = std::max(now, deadline);
  }
  return result;
}

}  // namespace

TEST_CASE("early wake: has learnt after a few deadlines how late its timers are") {
  EarlyWake early;
  TimeNs now = kStart;
  CHECK(missed(early, now, 10 * kMillisecondNs, 10, 170'000, 240'000) <= 4);  // 50, 100, 200 us
  CHECK(missed(early, now, 10 * kMillisecondNs, 1000, 170'000, 240'000) == 0);
}

TEST_CASE("early wake: waits awake hardly longer than its timers are late") {
  EarlyWake early;
  TimeNs now = kStart;
  missed(early, now, 10 * kMillisecondNs, 1000, 3'000, 6'000);
  const TimeNs deadline = now + 10 * kMillisecondNs;
  // A quarter more than the latest, 5 us, and what is not forgotten yet.
  CHECK(deadline - early.before(deadline, now) <= 14'000);
  CHECK(deadline - early.before(deadline, now) >= 12'000);
}

TEST_CASE("early wake: one timer that is very late does not keep it awake for long") {
  EarlyWake early;
  TimeNs now = kStart;
  missed(early, now, 10 * kMillisecondNs, 1000, 3'000, 6'000);
  keep(early, now, now + 10 * kMillisecondNs, 20 * kMillisecondNs);
  const TimeNs deadline = now + 10 * kMillisecondNs;
  CHECK(deadline - early.before(deadline, now) <= 30'000);  // twice what it was
}

TEST_CASE("early wake: no more than a twentieth of the time") {
  EarlyWake early;
  TimeNs now = kStart;
  TimeNs awake = 0;
  TimeNs deadline = now;
  constexpr TimeNs kInterval = kMillisecondNs;
  constexpr int kCount = 10'000;
  for (int i = 0; i < kCount; ++i) {
    deadline += kInterval;
    const TimeNs asked = early.is_close(deadline, now) ? now : early.before(deadline, now);
    now = asked + 100'000;
    early.woken(asked, now);
    if (now < deadline && early.is_close(deadline, now)) {
      early.spent(deadline - now);
      awake += deadline - now;
    }
    now = std::max(now, deadline);
  }
  CHECK(awake > 0);
  CHECK(awake <= kCount * kInterval / EarlyWake::kPart + EarlyWake::kSavedNs);
}
