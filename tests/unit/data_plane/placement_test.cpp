// SPDX-License-Identifier: MIT
#include "data_plane/placement.hpp"

#include <catch2/catch.hpp>

using namespace blkio;
using data_plane::Placement;

namespace {

constexpr pid_t kClient = 7;

/// Looks as soon as it is due, `times` times, at an engine and a client on these CPUs; how often
/// the CPU to avoid changed.
int look(Placement& placement, TimeNs& now, int times, unsigned engine, unsigned client) {
  int changes = 0;
  while (times-- != 0) {
    do {
      now += kMillisecondNs / 4;
      placement.heard(kClient);
    } while (placement.due(now) == 0);
    if (placement.looked(now, engine, client)) ++changes;
  }
  return changes;
}

}  // namespace

TEST_CASE("placement: keeps off a CPU that the client is on three times of four") {
  Placement placement;
  TimeNs now = 0;
  CHECK(look(placement, now, 1, 0, 1) == 0);
  CHECK(look(placement, now, 3, 0, 0) == 1);
  CHECK(placement.avoided() == 0u);
  // The client has followed.
  CHECK(look(placement, now, 4, 1, 1) == 1);
  CHECK(placement.avoided() == 1u);
}

TEST_CASE("placement: it is the CPU they shared, wherever the client was seen last") {
  Placement placement;
  TimeNs now = 0;
  CHECK(look(placement, now, 3, 0, 0) == 0);
  CHECK(look(placement, now, 1, 0, 1) == 1);
  CHECK(placement.avoided() == 0u);
}

TEST_CASE("placement: twice of four is no reason to go") {
  Placement placement;
  TimeNs now = 0;
  for (int i = 0; i < 10; ++i) {
    CHECK(look(placement, now, 2, 0, 1) == 0);
    CHECK(look(placement, now, 2, 0, 0) == 0);
  }
}

TEST_CASE("placement: comes back when no client is there any more") {
  Placement placement;
  TimeNs now = 0;
  REQUIRE(look(placement, now, 4, 0, 0) == 1);
  CHECK(look(placement, now, 8, 1, 0) == 0);  // as it should be
  CHECK(look(placement, now, 3, 1, 2) == 0);
  CHECK(look(placement, now, 1, 1, 2) == 1);
  CHECK(placement.avoided() == std::nullopt);
}

TEST_CASE("placement: looks seldom while they are apart, and every millisecond after a move") {
  Placement placement;
  TimeNs now = 0;
  look(placement, now, 40, 0, 1);
  const TimeNs before = now;
  look(placement, now, 1, 0, 1);
  CHECK(now - before == Placement::kLongestNs);
  look(placement, now, 3 + 4, 0, 0);
  const TimeNs moved = now;
  look(placement, now, 1, 1, 0);
  CHECK(now - moved == Placement::kShortestNs);
}

TEST_CASE("placement: where there is no other CPU it looks once a second") {
  Placement placement;
  TimeNs now = 0;
  REQUIRE(look(placement, now, 4, 0, 0) == 1);
  placement.refused(now);
  CHECK(placement.avoided() == std::nullopt);
  const TimeNs refused = now;
  look(placement, now, 1, 0, 0);
  CHECK(now - refused == Placement::kRefusedNs);
}

TEST_CASE(
    "placement: looks at nobody twice for one request, and at nobody of whom it has not heard") {
  Placement placement;
  CHECK(placement.due(0) == 0);
  placement.heard(kClient);
  CHECK(placement.due(0) == kClient);
  CHECK(placement.due(0) == 0);
}
