// SPDX-License-Identifier: MIT
#include "data_plane/spinner.hpp"

#include <catch2/catch.hpp>

using namespace blkio;
using data_plane::Spinner;

namespace {

constexpr TimeNs kLongest = 20'000;

/// Sleeps until the next one that is preceded by a look.
int sleeps_without(Spinner& spinner) {
  int sleeps = 0;
  while (spinner.budget(false) == 0) ++sleeps;
  return sleeps;
}

}  // namespace

TEST_CASE("spinner: looks at first, and not while much is under way") {
  Spinner spinner(kLongest);
  CHECK(spinner.budget(true) == 0);
  CHECK(spinner.budget(false) == kLongest);
  CHECK(spinner.budget(false) == kLongest);
}

TEST_CASE("spinner: of no length never looks") {
  Spinner spinner(0);
  CHECK(spinner.budget(false) == 0);
}

TEST_CASE(
    "spinner: the fourth look in vain ends it for 16 sleeps, each further one for twice as many") {
  Spinner spinner(kLongest);
  for (int i = 0; i < 3; ++i) {
    spinner.in_vain();
    CHECK(spinner.budget(false) == 5 * kLongest);  // more patient than at first
  }
  spinner.in_vain();
  CHECK(sleeps_without(spinner) == 16);
  spinner.in_vain();
  CHECK(sleeps_without(spinner) == 32);
  for (int pause = 64; pause <= 1024; pause *= 2) {
    spinner.in_vain();
    CHECK(sleeps_without(spinner) == pause);
  }
  spinner.in_vain();
  CHECK(sleeps_without(spinner) == 1024);  // no longer than that
}

TEST_CASE("spinner: one look that finds something makes it trust again") {
  Spinner spinner(kLongest);
  for (int i = 0; i < 6; ++i) spinner.in_vain();
  (void)sleeps_without(spinner);
  spinner.found();
  for (int i = 0; i < 3; ++i) {
    spinner.in_vain();
    CHECK(spinner.budget(false) == 5 * kLongest);  // more patient than at first
  }
  spinner.in_vain();
  CHECK(sleeps_without(spinner) == 16);
}
