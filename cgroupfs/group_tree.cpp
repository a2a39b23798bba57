// SPDX-License-Identifier: MIT
#include "cgroupfs/group_tree.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <limits>
#include <vector>

namespace blkio::cgroupfs {
namespace {

bool is_possible_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("\n/\0", 3)) == std::string_view::npos;
}

/// The set-group-id bit of a directory hands down itself and the directory's group.
Creator heir(const Attributes& parent, Creator creator) {
  if ((parent.mode & S_ISGID) == 0) return creator;
  creator.mode |= S_ISGID;
  creator.gid = parent.gid;
  return creator;
}

void touch(Attributes& directory, WallTimeNs now) {
  directory.modified = directory.changed = now;
}

}  // namespace

GroupTree::GroupTree(Controller& controller, Membership& membership, IsFileName is_file_name,
                     const Creator& root)
    : controller_(controller),
      membership_(membership),
      is_file_name_(std::move(is_file_name)),
      next_id_(static_cast<std::uint32_t>(GroupId::kRoot) + 1) {
  add(GroupId::kRoot, nullptr, "", root);
}

Group* GroupTree::find(GroupId id) {
  const auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : &found->second;
}

const Group* GroupTree::find(GroupId id) const {
  const auto found = groups_.find(id);
  return found == groups_.end() ? nullptr : &found->second;
}

Group* GroupTree::child(const Group& parent, std::string_view name) {
  const auto found = parent.child_by_name.find(name);
  return found == parent.child_by_name.end() ? nullptr : find(found->second);
}

Group* GroupTree::resolve(std::string_view path) {
  Group* group = &root();
  while (group != nullptr && !path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (!name.empty()) group = child(*group, name);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  return group;
}

std::string GroupTree::path(const Group& group) const {
  if (group.is_root()) return "/";
  std::vector<const Group*> upwards;
  for (const Group* at = &group; !at->is_root(); at = find(at->parent)) upwards.push_back(at);
  std::string path;
  for (auto at = upwards.rbegin(); at != upwards.rend(); ++at) path += "/" + (*at)->name;
  return path;
}

Result<GroupId> GroupTree::mkdir(GroupId parent_id, std::string_view name, const Creator& creator) {
  Group* const parent = find(parent_id);
  if (parent == nullptr) return failure(ENOENT);
  if (!is_possible_name(name)) return failure(EINVAL);
  if (is_taken(*parent, name)) return failure(EEXIST);
  if (next_id_ == std::numeric_limits<std::uint32_t>::max()) return failure(ENOSPC);
  BLKIO_TRY(membership_.add_group(GroupId{next_id_}, parent_id, name));
  const Group& group = add(GroupId{next_id_++}, parent, name, heir(parent->directory, creator));
  touch(parent->directory, creator.now);
  controller_.group_added(group.id, parent_id);
  return group.id;
}

Result<void> GroupTree::rmdir(GroupId parent_id, std::string_view name, WallTimeNs now) {
  Group* const parent = find(parent_id);
  if (parent == nullptr) return failure(ENOENT);
  const Group* const group = child(*parent, name);
  if (group == nullptr) return failure(is_taken(*parent, name) ? ENOTDIR : ENOENT);
  if (!group->children.empty()) return failure(EBUSY);
  const GroupId id = group->id;
  BLKIO_TRY(membership_.remove_group(id));
  parent->children.erase(id);
  parent->child_by_name.erase(group->name);
  groups_.erase(id);
  touch(parent->directory, now);
  controller_.group_removed(id, parent_id);
  if (on_child_removed) on_child_removed(parent_id);
  return success();
}

bool GroupTree::wants_release(GroupId id) const {
  const Group* const group = find(id);
  return group != nullptr && !group->is_root() && group->notify_on_release &&
         group->children.empty();
}

Result<void> GroupTree::rename(GroupId parent_id, std::string_view name, GroupId new_parent_id,
                               std::string_view new_name, WallTimeNs now) {
  Group* const parent = find(parent_id);
  if (parent == nullptr || find(new_parent_id) == nullptr) return failure(ENOENT);
  if (!is_possible_name(new_name)) return failure(EINVAL);
  Group* const group = child(*parent, name);
  if (group == nullptr) return failure(is_taken(*parent, name) ? ENOTDIR : ENOENT);
  if (parent_id != new_parent_id) return failure(EIO);
  if (name == new_name) return success();
  if (is_taken(*parent, new_name)) return failure(EEXIST);
  BLKIO_TRY(membership_.rename_group(group->id, new_name));
  auto node = parent->child_by_name.extract(group->name);
  node.key() = new_name;
  parent->child_by_name.insert(std::move(node));
  group->name = new_name;
  touch(parent->directory, now);
  return success();
}

bool GroupTree::is_taken(const Group& parent, std::string_view name) const {
  return parent.child_by_name.contains(name) || is_file_name_(name, parent.is_root());
}

Group& GroupTree::add(GroupId id, Group* parent, std::string_view name, const Creator& creator) {
  Group& group = groups_[id];
  group.id = id;
  group.parent = parent == nullptr ? id : parent->id;
  group.name = name;
  group.creator = creator;
  group.directory = {creator.mode, creator.uid, creator.gid, creator.now, creator.now, creator.now};
  if (parent == nullptr) return group;
  group.notify_on_release = parent->notify_on_release;
  group.clone_children = parent->clone_children;
  parent->children.insert(id);
  parent->child_by_name.emplace(name, id);
  return group;
}

}  // namespace blkio::cgroupfs
