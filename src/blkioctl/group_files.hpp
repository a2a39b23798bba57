// SPDX-License-Identifier: MIT
/// The files of the groups, as any program sees them.
#pragma once

#include <string>
#include <vector>

#include "blkio/result.hpp"

namespace blkio::blkioctl {

/// The group's path as the daemon knows it: "/" or "/a/b". EINVAL: it leads out of the mount.
Result<std::string> group_name(const std::string& group);

/// GROUP is a path below the mount; "/", "" and "." are the root group. EINVAL: it leads out of the
/// mount.
Result<std::string> group_path(const std::string& mount, const std::string& group);

/// The whole file. The error names it.
Result<std::string> read_file(const std::string& path);

/// In one write(2), as these files want it. The error names file and value.
Result<void> write_file(const std::string& path, const std::string& value);

/// All groups below the group, as paths relative to it, sorted: parents before their children.
Result<std::vector<std::string>> groups_below(const std::string& group_directory);

}  // namespace blkio::blkioctl
