// SPDX-License-Identifier: MIT
/// FUSE mounts: made by the holder, which keeps their descriptors for as long as they live.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

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

/// A line of /proc/self/mountinfo.
struct MountInfo {
  std::uint64_t id = 0;
  unsigned minor = 0;  ///< of st_dev; names the connection below /sys/fs/fuse/connections
  std::string path;
  std::string type;
};

/// In the order of the lines: of two mounts on one path the later one is on top.
std::vector<MountInfo> parse_mountinfo(std::istream& lines);

/// /dev/fuse can be opened and is one. Errors: ENOENT, EACCES, EPERM, ENODEV.
Result<int> open_fuse();

/// Mounts on the directory `path`. `root_mode` is the mode of its root until INIT is answered.
/// Errors name path and reason: ENOENT, ENOTDIR, EPERM, EBUSY.
Result<Mount> mount_fuse(const std::string& path, const char* type, const std::string& source,
                         unsigned root_mode);

/// Detaches the mount, wherever a rename of a directory has carried it to, unless somebody else did
/// so, or mounted over it, before.
void detach(const Mount& mount);

/// Ends all requests of the connection with an error, even those the daemon does not answer.
void abort_connection(const Mount& mount);

/// Removes a mount of ours whose daemon is gone (ENOTCONN) from `path`. False with errno set if a
/// dead mount stays: it is somebody else's, or may not be removed.
bool remove_dead_mount(const std::string& path);

/// True if the topmost mount on exactly this path is a live one of ours.
bool is_blkio_mount(const std::string& path);

}  // namespace blkio::daemon
