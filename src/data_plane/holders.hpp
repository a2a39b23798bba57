// SPDX-License-Identifier: MIT
/// Which queues of a device are held, by whose limits, and for how long.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <vector>

#include "blkio/device_rules.hpp"
#include "group_node.hpp"

namespace blkio::data_plane {

/// At any moment a queue is held by the gate of its path that opens last. What that comes to is
/// added up whenever one comes or goes, or a rule changes; and whoever is held for longer than his
/// rules allow is found. Does next to nothing while nobody has rules.
///
/// For one IoQueue, which says when; no clock, `now` does not run backwards. One thread.
class Holders {
 public:
  using Side = GroupNode::Side;

  /// Before the queues go.
  void clear() { waiting_sides_.clear(); }

  /// Somebody has rules.
  bool used() const { return nodes_with_rules_ != 0; }
  /// A group has other rules than before. `groups`: how many there are. Before the first rule all
  /// queues that are not empty are to be enlisted.
  void rules_changed(const DeviceRules& before, const DeviceRules& after, std::size_t groups);
  void reserve(std::size_t groups) { touched_.reserve(groups); }

  /// The queue was empty, and is not any more.
  void begin(Side& side, TimeNs now) {
    side.settled_ns = now;
    if (used()) enlist(side);
  }
  void enlist(Side& side) {
    if (!side.link.is_linked()) waiting_sides_.push_back(side);
  }
  /// It is empty again.
  void end(Side& side) {
    if (side.link.is_linked()) waiting_sides_.erase(waiting_sides_.iterator_to(side));
    if (side.overdue.armed()) overdue_.erase(side.overdue);
  }
  /// To be called before the queue, or a gate above it, changes. What waits beyond the time the
  /// last gate opens waits for its turn. `leaving`: out of the queue, now.
  LastToOpen settle(Side& side, TimeNs now, const QueuedIo* leaving = nullptr);
  void settle_all(TimeNs now) {
    for (Side& side : waiting_sides_) settle(side, now);
  }

  /// Who holds what waits behind the side's gate; nullptr: nobody.
  void set_holder(Side& side, GroupNode* holder);
  /// Those who have begun to hold somebody, or hold nobody any more, since the last call.
  const std::vector<GroupId>& changed();
  /// Whom the node's gate holds now, by direction.
  std::array<bool, kDirections> held_by(const GroupNode& node, TimeNs now);
  /// The node is about to go; its queues are empty.
  void forget(GroupNode& node) { std::erase(touched_, &node); }

  /// The queue has another first one, or other bounds.
  void watch(Side& side, TimeNs now);
  void watch_all(TimeNs now);
  bool has_bounds() const { return nodes_with_bound_ != 0; }
  /// One that has been held for too long, until it is taken out; nullptr: none.
  QueuedIo* overdue(TimeNs now);
  /// When there may be one.
  TimeNs deadline(TimeNs now);

 private:
  using WaitingSides = boost::intrusive::list<
      Side, boost::intrusive::member_hook<Side, boost::intrusive::list_member_hook<>, &Side::link>,
      boost::intrusive::constant_time_size<false>>;

  TimeNs overdue_at(Side& side, TimeNs now);
  void touch(GroupNode& node);

  WaitingSides waiting_sides_;
  GroupNode::Deadlines overdue_;
  std::size_t nodes_with_rules_ = 0;
  std::size_t nodes_with_bound_ = 0;  ///< of them, those with a max_hold_ms
  std::vector<GroupNode*> touched_;
  std::vector<GroupId> changed_;
};

}  // namespace blkio::data_plane
