// SPDX-License-Identifier: MIT
/// The kernel's cgroup-v1 hierarchies that can mirror our groups.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "blkio/result.hpp"

namespace blkio::control_plane {

/// One that can be written to. The descriptor bears a lock, so that no two daemons use the same; it
/// is the holder's.
struct CgroupHierarchy {
  int root = -1;       ///< its top directory, as far as we see it; readable, not O_PATH
  std::string label;   ///< in /proc/PID/cgroup: "name=blkio-..." or a controller, "blkio"
  std::string prefix;  ///< what /proc/PID/cgroup shows in front of our paths; mostly empty
  bool named = true;   ///< only ours; else the kernel's, with other people's groups
};

/// The path a task has in the hierarchy by the text of its /proc/TID/cgroup; nullopt: no such line.
std::optional<std::string_view> path_in_hierarchy(std::string_view text, std::string_view label);

/// A named hierarchy: always the same for a mount point in a mount namespace, so that a new daemon
/// finds what a killed one left. It is mounted nowhere, and goes when its last group and the last
/// descriptor do. EPERM: not root of the machine; EBUSY: another daemon uses it; EINVAL, ENOENT:
/// the kernel has no cgroup v1, or forbids it (cgroup_no_v1=named).
Result<CgroupHierarchy> open_named_hierarchy(const std::string& mountpoint);

/// The kernel's blkio hierarchy, where it is mounted; at best on `mountpoint` itself. ENOENT: it is
/// not, or covered; EROFS: read-only; EBUSY as above.
Result<CgroupHierarchy> open_real_hierarchy(const std::string& mountpoint);

/// At the end: closes the descriptor, and sees that a named hierarchy without groups goes with it,
/// if that takes no longer than a moment.
void close_hierarchy(const CgroupHierarchy& hierarchy);

/// Takes away named hierarchies of daemons, this or others, that have no groups and no user any
/// more. They stay behind because a group goes some time after its rmdir(2), zombies hold on to it,
/// and a hierarchy that is closed before that stays for good: it has to be opened and closed once
/// more.
void sweep_hierarchies();

/// Readable, and unlike any other mount point's: "blkio-", a hash, "-", the end of its path.
std::string hierarchy_name(const std::string& mountpoint, std::uint64_t mount_namespace);

}  // namespace blkio::control_plane
