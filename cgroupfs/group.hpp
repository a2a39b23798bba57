// SPDX-License-Identifier: MIT
/// One group of the hierarchy: what a directory of the mount stands for.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "blkio/device_rules.hpp"
#include "blkio/types.hpp"
#include "blkio/weights.hpp"

namespace blkio::cgroupfs {

/// Nanoseconds since 1970 on the wall clock; only shown, never computed with.
using WallTimeNs = std::int64_t;

/// A file inside its group, whatever the group; 0 is the directory itself. See file_table.hpp.
enum class FileNumber : std::uint32_t { kDirectory = 0 };

/// Who makes a group, and how.
struct Creator {
  mode_t mode = 0755;  ///< permission bits, the umask applied
  uid_t uid = 0;
  gid_t gid = 0;
  WallTimeNs now = 0;
};

/// What chmod, chown, utime and setxattr change.
struct Attributes {
  mode_t mode = 0;  ///< permission bits, no file type
  uid_t uid = 0;
  gid_t gid = 0;
  WallTimeNs accessed = 0;
  WallTimeNs modified = 0;
  WallTimeNs changed = 0;
  std::map<std::string, std::string, std::less<>> xattrs{};
};

/// Plain data, owned by GroupTree. Only what somebody set takes memory.
struct Group {
  GroupId id{};
  GroupId parent{};  ///< of the root: itself
  std::string name;  ///< of the root: empty

  std::set<GroupId> children;  ///< in the order they were made
  std::map<std::string, GroupId, std::less<>> child_by_name;

  Creator creator;  ///< the files start with its ids and time
  Attributes directory;
  std::map<FileNumber, Attributes> files;  ///< those that differ from their start

  bool notify_on_release = false;
  bool clone_children = false;
  std::map<DeviceNumber, DeviceRules> rules;  ///< none of them empty
  Weights weights;                            ///< among its siblings
  Weights leaf_weights;  ///< of the group's own tasks, against its child groups

  bool is_root() const { return id == GroupId::kRoot; }
};

}  // namespace blkio::cgroupfs
