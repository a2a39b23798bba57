// SPDX-License-Identifier: MIT
#include "data_plane/affinity.hpp"

#include <catch2/catch.hpp>

using blkio::data_plane::Affinity;

TEST_CASE("affinity: takes one CPU away and gives it back, and never the last one") {
  cpu_set_t before;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  unsigned first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t now;
  Affinity affinity;
  const bool several = CPU_COUNT(&before) > 1;
  CHECK(affinity.avoid(first) == several);
  REQUIRE(sched_getaffinity(0, sizeof now, &now) == 0);
  CHECK(CPU_ISSET(first, &now) == !several);
  CHECK(CPU_COUNT(&now) == (several ? CPU_COUNT(&before) - 1 : 1));

  SECTION("all that it was given") {
    CHECK(affinity.avoid({}));
    REQUIRE(sched_getaffinity(0, sizeof now, &now) == 0);
    CHECK(CPU_EQUAL(&now, &before));
  }
  SECTION("what somebody else has set meanwhile holds") {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK_FALSE(affinity.avoid(first));
    CHECK(affinity.avoid({}));
    REQUIRE(sched_getaffinity(0, sizeof now, &now) == 0);
    CHECK(CPU_EQUAL(&now, &one));
  }
  sched_setaffinity(0, sizeof before, &before);
}
