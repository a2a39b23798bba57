// SPDX-License-Identifier: MIT
/// The weighted scheduler in many random worlds:
///
///   fair_queue_soak [SEEDS [EVENTS_EACH [FIRST_SEED]]]     1,000 seeds of 100,000 events from 1
///
/// Every fiftieth seed is a tree of 100,000 groups. A failure names its seed: run that one alone,
/// with `fair_queue_soak 1 EVENTS_EACH SEED`.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "simulation/fair_queue/worlds.hpp"

using namespace blkio;

int main(int argc, char** argv) {
  const auto argument = [&](int i, std::uint64_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const std::uint64_t seeds = argument(1, 1000);
  const std::uint64_t events_each = argument(2, 100'000);
  const std::uint64_t first = argument(3, 1);
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t events = 0;
  int failures = 0;
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  for (std::uint64_t seed = first; seed < first + seeds; ++seed) {
    try {
      events += seed % 50 == 0
                    ? simulation::run_random_world_of(simulation::make_fair_queue, seed,
                                                      events_each, 100'000)
                    : simulation::run_world(simulation::make_fair_queue, seed, events_each);
    } catch (const std::exception& broken) {
      ++failures;
      std::printf("FAILED: %s\n", broken.what());
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%llu events over %llu seeds in %.1f s, %.2f million a second, %d failures\n",
              static_cast<unsigned long long>(events), static_cast<unsigned long long>(seeds),
              took.count(), static_cast<double>(events) / took.count() / 1e6, failures);
  return failures == 0 ? 0 : 1;
}
