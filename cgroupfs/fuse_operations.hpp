// SPDX-License-Identifier: MIT
/// The FUSE operations of the cgroup mount; private to the edge.
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 14)
#include <fuse_lowlevel.h>

#include <memory>
#include <unordered_map>

#include "cgroupfs/fuse_session.hpp"
#include "cgroupfs/snapshots.hpp"

namespace blkio::cgroupfs {

/// What the operations, and libfuse's reads and writes, work on: the session's user data.
struct FuseMount {
  FileServices services;
  FuseSession::WallClock now;
  Snapshots snapshots;
  std::uint64_t first_handle = 0;  ///< of this process; older ones are another's
  std::uint64_t next_handle = 0;
  /// Handles whose openers see tasks by other ids than we do.
  std::unordered_map<std::uint64_t, std::shared_ptr<Membership>> views;

  FuseSession::InitRequest init_request;
  bool muted = false;  ///< replies go nowhere: the kernel has had them
};

const fuse_lowlevel_ops& fuse_operations();

}  // namespace blkio::cgroupfs
