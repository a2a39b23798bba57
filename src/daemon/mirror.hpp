// SPDX-License-Identifier: MIT
/// Which of the kernel's hierarchies is to mirror our groups.
#pragma once

#include <optional>

#include "control_plane/cgroup_hierarchy.hpp"
#include "options.hpp"

namespace blkio::daemon {

/// The one that `options.mirror` asks for, or the next best; nullopt: none, or none can be had. A
/// fall-back is told to the log. To be called before the tree is mounted: it may cover the
/// hierarchy.
std::optional<control_plane::CgroupHierarchy> open_mirror(const Options& options);

/// At the end: removes our groups, lets their tasks go up, and closes the hierarchy.
void close_mirror(const control_plane::CgroupHierarchy& hierarchy);

}  // namespace blkio::daemon
