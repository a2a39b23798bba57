// SPDX-License-Identifier: MIT
#include "mirror.hpp"

#include <spdlog/spdlog.h>

#include "control_plane/cgroup_mirror.hpp"

namespace blkio::daemon {

using control_plane::CgroupHierarchy;

std::optional<CgroupHierarchy> open_mirror(const Options& options) {
  if (options.mirror == Mirror::kNone) return std::nullopt;
  if (options.mirror == Mirror::kReal) {
    auto real = control_plane::open_real_hierarchy(options.mountpoint);
    if (real) return real.value();
    spdlog::warn("mirror=real: {}; trying mirror=named", real.error().to_string());
  }
  control_plane::sweep_hierarchies();
  auto named = control_plane::open_named_hierarchy(options.mountpoint);
  if (named) return named.value();
  spdlog::info("no mirror: {}", named.error().to_string());
  return std::nullopt;
}

void close_mirror(const CgroupHierarchy& hierarchy) {
  const bool removed = control_plane::CgroupMirror::remove_all(hierarchy);
  if (!removed) spdlog::warn("{}: some groups stay, they are busy", hierarchy.label);
  control_plane::close_hierarchy(hierarchy);
}

}  // namespace blkio::daemon
