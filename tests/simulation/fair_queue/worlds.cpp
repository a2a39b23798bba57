// SPDX-License-Identifier: MIT
#include "simulation/fair_queue/worlds.hpp"

namespace blkio::simulation {

std::uint64_t run_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events) {
  switch (seed % 8) {
    case 0:
    case 4:
      return run_fluid_world(make, seed, events);
    case 1:
      return run_client_world(make, seed, events);
    case 3:
      return run_goers_world(make, seed / 8, events);
    case 5:
      return run_splitting_world(make, seed, events);
    default:
      return run_random_world(make, seed, events);
  }
}

}  // namespace blkio::simulation
