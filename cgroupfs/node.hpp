// SPDX-License-Identifier: MIT
/// A file or directory of the mount: its inode number, and what stat(2) and getxattr(2) say of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "blkio/result.hpp"
#include "cgroupfs/file_row.hpp"
#include "cgroupfs/group.hpp"

namespace blkio::cgroupfs {

/// Inode number and FUSE node id in one: the group in the low half, the file in the high half. It
/// means the same to every process that serves the mount, so nothing must be kept per lookup.
/// The root directory is 1, as FUSE wants it.
enum class NodeId : std::uint64_t {};

constexpr NodeId node_id(GroupId group, FileNumber file = FileNumber::kDirectory) {
  return NodeId{static_cast<std::uint64_t>(file) << 32U | static_cast<std::uint32_t>(group)};
}
constexpr GroupId group_of(NodeId node) {
  return GroupId{static_cast<std::uint32_t>(static_cast<std::uint64_t>(node))};
}
constexpr FileNumber file_of(NodeId node) {
  return FileNumber{static_cast<std::uint32_t>(static_cast<std::uint64_t>(node) >> 32U)};
}

/// Attributes nobody has changed: the row's mode, the ids and time of the group's making.
Attributes initial_attributes(const Group& group, const FileRow& file);

/// The node's attributes; `file` is nullptr for the directory itself.
Attributes attributes(const Group& group, const FileRow* file);
/// The same to be changed; from here on the node has a copy of its own.
Attributes& own_attributes(Group& group, const FileRow* file);

/// Extended attributes, bounded per node as fs/kernfs/inode.c bounds user.*.
inline constexpr std::size_t kMaxXattrs = 128;
inline constexpr std::size_t kMaxXattrBytes = 128 * 1024;

enum class XattrMode : std::uint8_t { kAny, kCreate, kReplace };

/// EOPNOTSUPP: not user.*, trusted.* or security.*, EINVAL: nothing behind the dot; EEXIST, ENODATA
/// by the mode; ENOSPC: a bound.
Result<void> set_xattr(Attributes& attributes, std::string_view name, std::string_view value,
                       XattrMode mode);
/// EOPNOTSUPP as above; ENODATA: not set.
Result<std::string> get_xattr(const Attributes& attributes, std::string_view name);
Result<void> remove_xattr(Attributes& attributes, std::string_view name);
/// The names, each ended by a NUL; trusted.* only for the privileged.
std::string list_xattrs(const Attributes& attributes, bool privileged);

}  // namespace blkio::cgroupfs
