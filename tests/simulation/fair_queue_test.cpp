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

// May fail: in about one world of fifty, rivals of different directions drift apart slowly while
// gates open and close at random; see the known weaknesses in bfq_weights/README.md.
TEST_CASE("fair queue: random trees keep every promise", "[!mayfail]") {
  CHECK(broken(run_random_world, make_fair_queue, 50, 20'000) == "");
}

// Only worlds in which the whole scheduler keeps its promises count.
TEST_CASE("fair queue: the worlds notice a missing rule") {
  const auto keeps = [](World world, const MakeScheduler& make, std::uint64_t seed) {
    try {
      world(make, seed, 5'000);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  };
  std::size_t unnoticed = 0;
  for (const Mutation& mutation : mutations()) {
    bool noticed = false;
    for (const World world : {run_fluid_world, run_client_world, run_random_world}) {
      for (std::uint64_t seed = 1; seed <= 20 && !noticed; ++seed) {
        noticed = keeps(world, make_fair_queue, seed) && !keeps(world, mutation.make, seed);
      }
    }
    if (!noticed) WARN("nobody noticed that this was missing: " << mutation.missing);
    unnoticed += noticed ? 0 : 1;
  }
  CHECK(mutations().size() - unnoticed >= 12);
}
