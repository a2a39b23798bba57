// SPDX-License-Identifier: MIT
/// What an I/O queue knows of a request, and of a group on its device.
#pragma once

#include <algorithm>
#include <array>
#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "bfq_weights/scheduler.hpp"
#include "blkio/types.hpp"
#include "stats/group_stats.hpp"
#include "throttle/deadlines.hpp"
#include "throttle/gate.hpp"

namespace blkio::data_plane {

struct GroupNode;
class SharedGate;

enum class IoStage : std::uint8_t { kNone, kWaiting, kAtDevice };

/// What the policies see of a request. Embedded in the engine's, which sets `op` and `bytes`; the
/// rest belongs to the queue. Must not move or die between arrive() and complete() or cancel().
struct QueuedIo {
  std::uint64_t bytes = 0;
  TimeNs arrived_ns = 0;
  TimeNs dispatched_ns = 0;
  TimeNs held_before_ns = 0;  ///< how long the queue it waits in had been held when it joined
  GroupNode* node = nullptr;  ///< while it waits or is at the device
  boost::intrusive::list_member_hook<> link;
  GroupId group = GroupId::kRoot;  ///< who pays; the parent once the group is gone
  Op op = Op::kRead;
  IoStage stage = IoStage::kNone;
};

using IoList = boost::intrusive::list<
    QueuedIo, boost::intrusive::member_hook<QueuedIo, decltype(QueuedIo::link), &QueuedIo::link>>;

/// The gate of a path that opens last, and when.
struct LastToOpen {
  GroupNode* node = nullptr;  ///< nullptr: no limits
  TimeNs at = kLongAgo;
};

/// One group on one device.
struct GroupNode {
  using Deadlines = throttle::Deadlines<GroupNode>;

  /// What there is of it per direction.
  struct Side {
    Side(GroupNode& node, Direction direction)
        : deadline(node, direction), overdue(node, direction) {}
    GroupNode& node() const { return deadline.node(); }
    Direction direction() const { return deadline.direction(); }

    IoList waiting;                             ///< of the group's own tasks
    boost::intrusive::list_member_hook<> link;  ///< linked: something waits, and there are rules
    Deadlines::Hook deadline;     ///< armed: the gate is closed and something behind it could go
    GroupNode* holder = nullptr;  ///< while the deadline is armed: who has made it so late
    TimeNs held_ns = 0;           ///< how long limits have held whoever was first
    TimeNs settled_ns = 0;        ///< up to here that has been counted
    std::uint32_t holds = 0;      ///< queues, its own and below, that wait for its gate last
    std::uint16_t gave_way = 0;   ///< how often to other devices, since the gate has opened
    bool closed = false;    ///< as the scheduler was told; may be out of date while nobody waits
    bool has_turn = false;  ///< of a shared gate: opened when its turn had come, and not gone since
    TimeNs gave_way_ns = 0;   ///< when first
    Deadlines::Hook overdue;  ///< armed: the first one's time to be held is bounded
  };

  GroupNode(GroupId id, GroupNode* parent_node, Hierarchy hierarchy, stats::DeviceStats& counted)
      : limited_above(hierarchy == Hierarchy::kTree ? parent_node : nullptr),
        parent(parent_node),
        stats(counted),
        group(id) {}
  Side& side(Direction direction) { return sides[static_cast<std::size_t>(direction)]; }
  const Side& side(Direction direction) const { return sides[static_cast<std::size_t>(direction)]; }

  /// When all gates of the path are open.
  TimeNs path_opens_at(Direction direction) const {
    TimeNs at = kLongAgo;
    for (const GroupNode* above = this; above != nullptr; above = above->limited_above) {
      at = std::max(at, above->gate->opens_at(direction));
    }
    return at;
  }
  LastToOpen last_to_open(Direction direction) {
    LastToOpen last;
    for (GroupNode* above = this; above != nullptr; above = above->limited_above) {
      const TimeNs at = above->gate->opens_at(direction);
      if (at > last.at) last = {above, at};
    }
    return last;
  }

  // What every request asks of all on its path comes first, in one cache line.
  throttle::Gate* gate = &own_gate;  ///< its own, or that of `shared`
  GroupNode* limited_above;          ///< whose limits hold it too; Hierarchy::kFlat: nobody's
  throttle::Gate own_gate;
  std::shared_ptr<SharedGate> shared;  ///< nullptr: its limits are of this device alone
  GroupNode* parent;
  stats::DeviceStats& stats;
  bfq_weights::Scheduler::Node* place = nullptr;
  GroupId group;
  std::uint32_t sharer = 0;  ///< its number at the gate
  std::array<Side, kDirections> sides{{{*this, Direction::kRead}, {*this, Direction::kWrite}}};
  IoList at_device;
  bool busy = false;      ///< something of its own waits or is at the device
  bool competes = false;  ///< something of its own waits behind its own open gate

  // Whether its limits hold somebody.
  bool holding = false;  ///< as was told
  bool touched = false;  ///< the sides' `holds` are to be looked at
  std::uint64_t holding_changes = 0;
};

}  // namespace blkio::data_plane
