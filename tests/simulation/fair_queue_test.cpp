// SPDX-License-Identifier: MIT
/// The weighted scheduler in random worlds, and whether these would notice if a rule were missing.
/// A failure names its seed: BLKIO_SEED=N runs that one alone.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <exception>
#include <string>

#include "simulation/fair_queue/worlds.hpp"

using namespace blkio::simulation;

namespace {

using World = std::uint64_t (*)(const MakeScheduler&, std::uint64_t, std::uint64_t);

/// The first broken promise in so many worlds; empty if all were kept.
std::string broken(World world, const MakeScheduler& make, std::uint64_t seeds,
                   std::uint64_t events) {
  const char* asked = std::getenv("BLKIO_SEED");
  const std::uint64_t first = asked == nullptr ? 1 : std::strtoull(asked, nullptr, 10);
  for (std::uint64_t seed = first; seed < first + (asked == nullptr ? seeds : 1); ++seed) {
    try {
      world(make, seed, events);
    } catch (const std::exception& promise) {
      return promise.what();
    }
  }
  return "";
}

}  // namespace

TEST_CASE("fair queue: never far from the fluid") {
  CHECK(broken(run_fluid_world, make_fair_queue, 100, 20'000) == "");
}

TEST_CASE("fair queue: clients with few requests have their share") {
  CHECK(broken(run_client_world, make_fair_queue, 100, 20'000) == "");
}

TEST_CASE("fair queue: random trees keep every promise") {
  CHECK(broken(run_random_world, make_fair_queue, 50, 20'000) == "");
}

TEST_CASE("fair queue: coming and going gains nothing") {
  CHECK(broken(run_goers_world, make_fair_queue, 100, 5'000) == "");
}

TEST_CASE("fair queue: nobody can be made to fall back") {
  CHECK(broken(run_splitting_world, make_fair_queue, 50, 5'000) == "");
}

TEST_CASE("fair queue: the worlds notice a missing rule") {
  for (const Mutation& mutation : mutations()) {
    INFO("missing: " << mutation.missing);
    bool noticed = false;
    for (const World world : {run_splitting_world, run_goers_world, run_fluid_world,
                              run_client_world, run_random_world}) {
      noticed = noticed || !broken(world, mutation.make, 20, 5'000).empty();
    }
    CHECK(noticed);
  }
}
