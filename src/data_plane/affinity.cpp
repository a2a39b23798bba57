// SPDX-License-Identifier: MIT
#include "affinity.hpp"

namespace blkio::data_plane {

bool Affinity::avoid(std::optional<unsigned> cpu) {
  cpu_set_t current;
  if (sched_getaffinity(0, sizeof current, &current) != 0) return false;  // more than 1024 CPUs
  if (!is_set_ || !CPU_EQUAL(&current, &own_)) given_ = current;
  cpu_set_t wanted = given_;
  if (cpu && *cpu < CPU_SETSIZE) CPU_CLR(*cpu, &wanted);
  if (CPU_COUNT(&wanted) == 0) return false;
  is_set_ = true;
  own_ = wanted;
  return CPU_EQUAL(&current, &wanted) || sched_setaffinity(0, sizeof wanted, &wanted) == 0;
}

}  // namespace blkio::data_plane
