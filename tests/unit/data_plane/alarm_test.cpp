// SPDX-License-Identifier: MIT
#include "data_plane/alarm.hpp"

#include <catch2/catch.hpp>

#include "data_plane/engine.hpp"

using namespace blkio;
using namespace blkio::data_plane;

namespace {

/// Waits until the alarm goes off; what it was set to.
TimeNs rung(Ring& ring, Alarm& alarm) {
  for (;;) {
    ring.run_once(kNever);
    const TimeNs at = alarm.take_rung();
    if (at != kNever) return at;
  }
}

}  // namespace

TEST_CASE("alarm: goes off at its time, once, and can be set again") {
  Ring ring;
  REQUIRE(ring.open(8));
  Alarm alarm(ring);
  for (int i = 0; i < 3; ++i) {
    const TimeNs at = monotonic_now() + 5 * kMillisecondNs;
    alarm.set(at);
    CHECK(rung(ring, alarm) == at);
    CHECK(monotonic_now() >= at);
    CHECK(alarm.take_rung() == kNever);
  }
}

TEST_CASE("alarm: an earlier time counts, a later one does not put it off") {
  Ring ring;
  REQUIRE(ring.open(8));
  Alarm alarm(ring);
  const TimeNs far = monotonic_now() + 3600 * kSecondNs;
  alarm.set(far);
  ring.submit();
  const TimeNs near = monotonic_now() + 5 * kMillisecondNs;
  alarm.set(near);
  alarm.set(far);
  CHECK(rung(ring, alarm) == near);
}

TEST_CASE("alarm: set, moved and forgotten in one submission") {
  Ring ring;
  REQUIRE(ring.open(8));
  const TimeNs start = monotonic_now();
  Alarm alarm(ring);
  alarm.set(start + 3600 * kSecondNs);
  alarm.set(start + 5 * kMillisecondNs);
  CHECK(rung(ring, alarm) == start + 5 * kMillisecondNs);
}

TEST_CASE("alarm: moved when it has gone off already and nobody has looked") {
  Ring ring;
  REQUIRE(ring.open(8));
  Alarm alarm(ring);
  const TimeNs at = monotonic_now() + kMillisecondNs;
  alarm.set(at);
  ring.submit();
  while (monotonic_now() < at + kMillisecondNs) {
  }
  const TimeNs earlier = at - kMillisecondNs;
  alarm.set(earlier);
  CHECK(rung(ring, alarm) == earlier);
  alarm.set(monotonic_now() + kMillisecondNs);
  CHECK(rung(ring, alarm) >= at);
}
