// SPDX-License-Identifier: MIT
/// A mirror in cgroup v1: a named hierarchy of our own, or the kernel's blkio hierarchy.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cgroup_hierarchy.hpp"
#include "group_mirror.hpp"
#include "proc_files.hpp"

namespace blkio::control_plane {

/// Directories of ours bear their group's name in the attribute trusted.blkio: a later daemon knows
/// them by it, and it is the true name where the kernel would not have it for a directory.
class CgroupMirror final : public GroupMirror {
 public:
  static Result<std::unique_ptr<CgroupMirror>> open(const CgroupHierarchy& hierarchy);
  ~CgroupMirror() override;
  CgroupMirror(const CgroupMirror&) = delete;
  CgroupMirror& operator=(const CgroupMirror&) = delete;

  const char* name() const override { return named_ ? "mirror-named" : "mirror-real"; }
  Result<void> add(GroupId group, GroupId parent, std::string_view name) override;
  Result<void> remove(GroupId group) override;
  Result<void> rename(GroupId group, std::string_view name) override;
  Result<void> attach(pid_t id, TaskScope scope, GroupId group) override;
  Result<std::vector<pid_t>> members(GroupId group, TaskScope scope) override;
  Result<GroupId> group_of(pid_t tid) override;

  /// Names of the groups below `group` that an earlier daemon left; add() takes them over.
  std::vector<std::string> left_behind(GroupId group) const;

  /// Removes all directories of ours; their tasks go up to where no directory is ours. Gives up
  /// after `seconds`: false.
  static bool remove_all(const CgroupHierarchy& hierarchy, int seconds = 5);

 private:
  struct Node {
    GroupId parent = GroupId::kRoot;
    std::string directory;  ///< its name in the kernel's hierarchy
    std::unordered_map<std::string, GroupId> children;
  };

  CgroupMirror(const CgroupHierarchy& hierarchy, int root, KernelProcFiles proc);

  Result<int> open_directory(GroupId group) const;
  Result<int> open_file(GroupId group, const char* name, int flags) const;
  Result<std::string> make_directory(int parent, GroupId group, std::string_view name) const;
  GroupId group_at(std::string_view path) const;

  int root_;
  std::string label_;
  std::string prefix_;
  bool named_;
  KernelProcFiles proc_;
  mutable std::mutex mutex_;                 // group_of() comes from other threads
  std::unordered_map<GroupId, Node> nodes_;  // under mutex_
};

}  // namespace blkio::control_plane
