// SPDX-License-Identifier: MIT
/// Root of the machine, or only of a user namespace?
#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace blkio::control_plane {

/// False for root of a user namespace that is not the machine's: directories of the system are not
/// his, limits on locked memory bind him.
inline bool is_machine_root() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  map >> inside >> outside >> count;
  return geteuid() == 0 && outside == 0 && count == UINT32_MAX;
}

}  // namespace blkio::control_plane
