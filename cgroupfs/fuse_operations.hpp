// SPDX-License-Identifier: MIT
/// The FUSE operations of the cgroup mount; private to the edge.
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 14)
#include <fuse_lowlevel.h>

#include "cgroupfs/fuse_session.hpp"
#include "cgroupfs/snapshots.hpp"

namespace blkio::cgroupfs {

/// What the operations, and libfuse's reads and writes, work on: the session's user data.
struct FuseMount {
  FileServices services;
  FuseSession::WallClock now;
  Snapshots snapshots;
  std::uint64_t next_handle = 0;

  FuseSession::InitRequest init_request;
  bool muted = false;  ///< replies go nowhere: the kernel has had them
};

const fuse_lowlevel_ops& fuse_operations();

}  // namespace blkio::cgroupfs
