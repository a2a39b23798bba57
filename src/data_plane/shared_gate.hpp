// SPDX-License-Identifier: MIT
/// The limits of a group that several devices of an engine share.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "group_node.hpp"
#include "throttle/gate.hpp"

namespace blkio::data_plane {

class IoQueue;

/// How long those who could go give way to a device that has its turn, but another limit to wait
/// for. A plan may lag by kCatchUpNs, so it costs no rate.
inline constexpr TimeNs kPatienceNs = kMillisecondNs;

/// One account for all its members, which are the group's nodes on the devices; and whose turn it
/// is. Each queue opens its gate itself when it looks at the time. One that finds a member waiting
/// that has gone less recently leaves the gate shut and looks again, a moment later; until then the
/// other's queue has looked too. So the members take turns, a request each or what goes at once, as
/// in a throttle group of QEMU; and who cannot use his turn costs the others no more than that.
///
/// Where a member has to wait for another limit as well, those who have not would always be there
/// first: so they also give way, for a while, to one that could go soon. And one whose turn has
/// come keeps it: when the others go on, because its device is busy, the gate stays open for its
/// next request, which goes into debt. So up to one request a member may pass too early.
///
/// One thread: that of the engine.
class SharedGate {
 public:
  struct Member {
    IoQueue* queue;
    GroupNode* node;
    /// When it went last, in requests of all members, by direction.
    std::array<std::uint64_t, kDirections> went{};
    TimeNs looked_ns = kLongAgo;  ///< when its queue has last looked whether it may go
  };

  /// Of what has been the node's own gate.
  SharedGate(throttle::Gate own, IoQueue& queue, GroupNode& node)
      : gate(std::move(own)), members_{{&queue, &node, {}}} {}

  void add(IoQueue& queue, GroupNode& node);
  void remove(const GroupNode& node);
  const std::vector<Member>& members() const { return members_; }

  /// A request of the member has gone.
  void went(const GroupNode& node, Direction direction);
  /// The member's queue looks whether it may go.
  void looks(const GroupNode& node, TimeNs now) { member(node).looked_ns = now; }
  /// When the member is to look again, because it is another's turn; `now`: it may go. `since`: it
  /// has looked, and given way; an other that has not looked since then does not wait for its turn.
  TimeNs gives_way_until(const GroupNode& node, Direction direction, std::optional<TimeNs> since,
                         TimeNs now) const;

  throttle::Gate gate;

 private:
  Member& member(const GroupNode& node);
  const Member& member(const GroupNode& node) const;
  std::uint64_t last_turn(const Member& member, Direction direction) const;
  TimeNs goes_at(const Member& other, Direction direction, std::optional<TimeNs> since,
                 TimeNs now) const;
  std::uint32_t free_number() const;

  std::vector<Member> members_;
  std::uint64_t turns_ = 0;
};

}  // namespace blkio::data_plane
