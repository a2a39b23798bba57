// SPDX-License-Identifier: MIT
/// The groups and their names: mkdir, rmdir and rename as the v1 hierarchy has them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "blkio/controller.hpp"
#include "blkio/result.hpp"
#include "blkio/types.hpp"
#include "cgroupfs/group.hpp"

namespace blkio::cgroupfs {

/// Owns every living group. Control thread only.
///
/// A removed group is forgotten at once; its id is never given again, so whoever still holds the id
/// (an open file, a request on its way) finds nothing and says so.
class GroupTree {
 public:
  /// True if a file has this name in the root directory or in the others.
  using IsFileName = std::function<bool(std::string_view name, bool in_root)>;

  /// The tree tells `controller` of the groups that come and go; `membership` hears of them first
  /// and may object. Both outlive it. `root` is the mount's own mode, owner and time.
  GroupTree(Controller& controller, Membership& membership, IsFileName is_file_name,
            const Creator& root);

  Group& root() { return *find(GroupId::kRoot); }
  /// nullptr if the group has been removed. The pointer holds until the group's removal.
  Group* find(GroupId id);
  const Group* find(GroupId id) const;
  /// nullptr if there is no such group.
  Group* child(const Group& parent, std::string_view name);
  /// The group a path like "a/b" or "/a/b" leads to; "" and "/" are the root.
  Group* resolve(std::string_view path);
  /// "/" for the root, "/a/b" otherwise: as /proc/PID/cgroup shows it.
  std::string path(const Group& group) const;
  std::size_t size() const { return groups_.size(); }

  /// The hierarchy's release_agent; kept and shown, run by who watches the tasks.
  std::string release_agent;
  /// Called with the parent after each rmdir.
  std::function<void(GroupId)> on_child_removed;
  /// True if the release agent is to be run for the group once it has no tasks either.
  bool wants_release(GroupId id) const;

  /// Calls visit(const Group&) for the group and all below it, parents before children.
  template <class Visit>
  void for_each_in_subtree(const Group& top, Visit visit) const;

  /// ENOENT: the parent is gone; EINVAL: a name no group may have (\n would break
  /// /proc/PID/cgroup); EEXIST: a group or file has it. notify_on_release and clone_children are
  /// the parent's of this moment, all else is fresh (as kernel/cgroup/cgroup.c, cgroup_mkdir).
  Result<GroupId> mkdir(GroupId parent, std::string_view name, const Creator& creator);

  /// ENOENT, ENOTDIR (a file); EBUSY: the group has tasks or children.
  Result<void> rmdir(GroupId parent, std::string_view name, WallTimeNs now);

  /// A group keeps its tasks, rules, counters and open files. In the order of the checks:
  /// EINVAL: the new name; ENOTDIR: a file; EIO: another parent; EEXIST: the name is taken
  /// (as kernel/cgroup/cgroup-v1.c, cgroup1_rename).
  Result<void> rename(GroupId parent, std::string_view name, GroupId new_parent,
                      std::string_view new_name, WallTimeNs now);

 private:
  bool is_taken(const Group& parent, std::string_view name) const;
  Group& add(GroupId id, Group* parent, std::string_view name, const Creator& creator);

  Controller& controller_;
  Membership& membership_;
  IsFileName is_file_name_;
  std::unordered_map<GroupId, Group> groups_;
  std::uint32_t next_id_;
};

template <class Visit>
void GroupTree::for_each_in_subtree(const Group& top, Visit visit) const {
  // No recursion: a hierarchy may be deeper than a stack.
  std::vector<const Group*> pending{&top};
  while (!pending.empty()) {
    const Group* group = pending.back();
    pending.pop_back();
    visit(*group);
    for (const GroupId child : group->children) pending.push_back(find(child));
  }
}

}  // namespace blkio::cgroupfs
