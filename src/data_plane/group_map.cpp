// SPDX-License-Identifier: MIT
#include "group_map.hpp"

#include <cassert>

namespace blkio::data_plane {

GroupMap::GroupMap(stats::GroupStats& root_stats) {
  entries_[GroupId::kRoot].stats = &root_stats;
}

void GroupMap::group_added(GroupId group, GroupId parent, stats::GroupStats& stats) {
  assert(living(parent) == parent);
  Entry& entry = entries_[group];
  assert(entry.stats == nullptr);
  entry.parent = parent;
  entry.stats = &stats;
  ++entries_.at(parent).children;
}

void GroupMap::group_removed(GroupId group) {
  assert(group != GroupId::kRoot);
  entries_.at(group).stats = nullptr;
  drop_if_unused(group);
}

void GroupMap::handle_opened(GroupId group) {
  if (const auto found = entries_.find(group); found != entries_.end()) ++found->second.handles;
}

// Ids are never used again, so a group not known at the open is not known now.
void GroupMap::handle_closed(GroupId group) {
  const auto found = entries_.find(group);
  if (found == entries_.end()) return;
  assert(found->second.handles > 0);
  --found->second.handles;
  drop_if_unused(group);
}

// A tombstone's ancestors stay in the map for its sake, and may go with it.
void GroupMap::drop_if_unused(GroupId group) {
  for (;;) {
    const auto found = entries_.find(group);
    const Entry& entry = found->second;
    if (entry.stats != nullptr || entry.handles > 0 || entry.children > 0) return;
    group = entry.parent;
    entries_.erase(found);
    --entries_.at(group).children;
  }
}

void GroupMap::set_weights(GroupId group, const Weights& weights, const Weights& leaf_weights) {
  auto& own = entries_.at(group).weights;
  if (own == nullptr) own = std::make_unique<std::pair<Weights, Weights>>();
  *own = {weights, leaf_weights};
}

std::uint32_t GroupMap::weight(GroupId group, DeviceNumber device) const {
  const auto& own = entries_.at(group).weights;
  return own == nullptr ? kDefaultWeight : own->first.on(device);
}

std::uint32_t GroupMap::leaf_weight(GroupId group, DeviceNumber device) const {
  const auto& own = entries_.at(group).weights;
  return own == nullptr ? kDefaultWeight : own->second.on(device);
}

GroupId GroupMap::living(GroupId group) const {
  for (;;) {
    const auto found = entries_.find(group);
    if (found == entries_.end()) return GroupId::kRoot;
    if (found->second.stats != nullptr) return group;
    group = found->second.parent;
  }
}

}  // namespace blkio::data_plane
