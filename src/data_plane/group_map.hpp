// SPDX-License-Identifier: MIT
/// The hierarchy of groups as an engine thread sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>

#include "blkio/types.hpp"
#include "blkio/weights.hpp"
#include "stats/group_stats.hpp"

namespace blkio::data_plane {

/// Who is whose parent, where to count, and which living group answers for a removed one.
///
/// An open file remembers its opener's group. When that group is removed while the file is open,
/// the map keeps a tombstone: the nearest living ancestor stands in for it until the last such file
/// is closed. One per engine thread, shared by its devices; no locks. Allocates when groups come,
/// never per request.
class GroupMap {
 public:
  /// The root group is there from the start. The statistics outlive the map.
  explicit GroupMap(stats::GroupStats& root_stats);

  /// The parent lives. The statistics must live until group_removed() has returned.
  void group_added(GroupId group, GroupId parent, stats::GroupStats& stats);
  /// The group has no living children; not the root. Tell every IoQueue first.
  void group_removed(GroupId group);

  /// A file was opened by a task of the group. One the map does not know (its removal overtook the
  /// open) stands for the root from then on.
  void handle_opened(GroupId group);
  /// One for each handle_opened().
  void handle_closed(GroupId group);

  /// The group itself, else its nearest living ancestor; the root for one the map does not know
  /// (any more).
  GroupId living(GroupId group) const;
  /// Of a living group other than the root.
  GroupId parent(GroupId group) const { return entries_.at(group).parent; }
  /// Of a living group.
  stats::GroupStats& stats(GroupId group) const { return *entries_.at(group).stats; }

  /// Of a living group. Tell every IoQueue afterwards.
  void set_weights(GroupId group, const Weights& weights, const Weights& leaf_weights);
  /// Of a living group on a device: against its siblings, and of its own tasks.
  std::uint32_t weight(GroupId group, DeviceNumber device) const;
  std::uint32_t leaf_weight(GroupId group, DeviceNumber device) const;

  /// Tombstones included, the root too.
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    GroupId parent = GroupId::kRoot;
    stats::GroupStats* stats = nullptr;  ///< nullptr: a tombstone
    std::uint32_t handles = 0;
    std::uint32_t children = 0;  ///< tombstones among them
    /// Against the siblings, and of the own tasks; nullptr: nobody has set any.
    std::unique_ptr<std::pair<Weights, Weights>> weights;
  };

  void drop_if_unused(GroupId group);

  std::unordered_map<GroupId, Entry> entries_;
};

}  // namespace blkio::data_plane
