// SPDX-License-Identifier: MIT
/// Where the control socket of a mount is: the one rule for the daemon and for blkioctl.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "blkio/result.hpp"
#include "control_plane/privilege.hpp"

namespace blkio::control_plane {

/// /run/blkio for root; blkio in the user's runtime directory (XDG_RUNTIME_DIR) for others. ENOENT
/// if a user has none.
inline Result<std::string> control_directory(bool machine_root, const char* runtime_directory) {
  if (machine_root) return "/run/blkio";
  if (runtime_directory == nullptr || *runtime_directory == '\0') {
    return failure(ENOENT, "XDG_RUNTIME_DIR");
  }
  return std::string(runtime_directory) + "/blkio";
}

/// mountpoint: absolute, without symbolic links. /sys/fs/cgroup/blkio -> sys-fs-cgroup-blkio.sock
inline std::string control_name(std::string mountpoint) {
  std::replace(mountpoint.begin(), mountpoint.end(), '/', '-');
  const auto first = std::min(mountpoint.find_first_not_of('-'), mountpoint.size());
  return mountpoint.substr(first) + ".sock";
}

/// The socket of the mount, as this process would make or look for it.
inline Result<std::string> control_path(const std::string& mountpoint) {
  BLKIO_TRY(const auto directory,
            control_directory(is_machine_root(), std::getenv("XDG_RUNTIME_DIR")));
  return directory + "/" + control_name(mountpoint);
}

}  // namespace blkio::control_plane
