// SPDX-License-Identifier: MIT
/// FUSE mounts: made by the holder, which keeps their descriptors for as long as they live.
#pragma once

#include <cstdint>
#include <string>

#include "blkio/result.hpp"

namespace blkio::daemon {

/// Type names in /proc/mounts: the cgroup tree, and the directory of one device.
inline constexpr const char* kTreeType = "fuse.blkio";
inline constexpr const char* kDeviceType = "fuse.blkiodev";

struct Mount {
  std::string path;  ///< absolute, without symbolic links
  int fuse_fd = -1;
  std::uint64_t id = 0;  ///< of /proc/self/mountinfo; tells ours from one that is put in its place
};

/// /dev/fuse can be opened and is one. Errors: ENOENT, EACCES, EPERM, ENODEV.
Result<int> open_fuse();

/// Mounts on the directory `path`. `root_mode` is the mode of its root until INIT is answered.
/// Errors name path and reason: ENOENT, ENOTDIR, EPERM, EBUSY.
Result<Mount> mount_fuse(const std::string& path, const char* type, const std::string& source,
                         unsigned root_mode);

/// Detaches the mount unless somebody else did so, or mounted over it, before.
void detach(const Mount& mount);

/// Ends all requests of the connection with an error, even those the daemon does not answer.
void abort_connection(const Mount& mount);

/// Removes a mount whose daemon is gone (ENOTCONN) from `path`. False if what is there lives.
bool remove_dead_mount(const std::string& path);

/// True if the topmost mount on exactly this path is a live one of ours.
bool is_blkio_mount(const std::string& path);

}  // namespace blkio::daemon
