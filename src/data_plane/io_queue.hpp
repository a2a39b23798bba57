// SPDX-License-Identifier: MIT
/// The waiting requests of one device, and which of them goes next: where limits, turns and
/// statistics meet.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "bfq_weights/depth.hpp"
#include "bfq_weights/scheduler.hpp"
#include "blkio/device_rules.hpp"
#include "blkio/throttle_report.hpp"
#include "blkio/types.hpp"
#include "group_map.hpp"
#include "group_node.hpp"
#include "holders.hpp"
#include "stats/device_time.hpp"

namespace blkio::data_plane {

/// How a device is shared: by weight, or in turns; and how deep.
struct Sharing {
  bool weighted = false;
  std::optional<unsigned>
      depth{};  ///< requests at the device while groups compete; nullopt: adapts
};

/// What a request costs besides its bytes, when shares are measured: as much as these bytes. Bytes
/// alone would give the small ones' sender the device, requests alone the large ones'; fast disks
/// do about one 4 KiB request in the time of 16 KiB more or less, so this is near to device time
/// without its noise.
inline constexpr std::uint64_t kRequestCostBytes = 16 << 10;

/// The queue in front of one device.
///
/// A request arrives, waits until every limit on its path is open and its turn has come, and is
/// charged to every group of the path at the moment it goes. (Hierarchy::kFlat: limits on the path
/// are those of its own group alone.) Within one group and direction: first in, first out. A gate
/// that closes is unplugged from the scheduler, and plugged back at its planned time; deadline() is
/// the earliest planned time at which a waiting request can go, so at every deadline one does; or
/// one of another queue that shares the limit (shared_gate.hpp).
///
/// No clock, thread, system call or log; `now` must not run backwards. Memory is allocated when a
/// group is met for the first time, not per request. One thread: the engine's, or a simulator's.
/// While nothing else could go, a request whose path is open passes without touching the scheduler.
class IoQueue {
 public:
  /// `groups` outlives the queue. `count_throttle_from_start`: else the throttle.* counters stand
  /// still until start_throttle_counters(), as in the kernel.
  IoQueue(DeviceNumber device, Hierarchy hierarchy, GroupMap& groups,
          bool count_throttle_from_start, const Sharing& sharing = {});
  /// Whatever still waits or is at the device is forgotten.
  ~IoQueue();
  IoQueue(const IoQueue&) = delete;
  IoQueue& operator=(const IoQueue&) = delete;

  /// The group and its ancestors have a row for the device from now on. The group lives.
  void meet(GroupId group);
  void start_throttle_counters() { count_arrivals_ = true; }
  /// The whole set binds at once, in place of the last one, on all devices that share it: whoever
  /// waits is looked at again. The group lives.
  void set_rules(GroupId group, const DeviceRules& rules, Levels levels, TimeNs now);
  /// One limit of the set; nullopt removes it, 0 lets nothing pass.
  void set_limit(GroupId group, Limit limit, std::optional<std::uint64_t> per_second, TimeNs now);
  /// From now on the group has one account of limits on this device and the other: that of the
  /// other, with its rules and whoever shares it already. What it had here is forgotten; so is its
  /// share in another account. Both are of one engine; the group lives. Until unshare(), or one of
  /// the group and the queues goes.
  void share(GroupId group, IoQueue& other, TimeNs now);
  /// The group has no rules here any more, if it shared some. The others go on.
  void unshare(GroupId group, TimeNs now);
  /// What the group's limits have done on this device so far, and whom they hold here now. O(groups
  /// that wait).
  ThrottleReport throttle_report(GroupId group, TimeNs now);
  void reset_throttle_report(GroupId group);
  /// nullopt if the group has no tokens that bind.
  std::optional<TokenStatus> token_status(GroupId group, TimeNs now);
  /// The group's weights in the map are others than before. The group lives.
  void weights_changed(GroupId group, TimeNs now);
  /// From now on by weight, or in turns.
  void set_weighted(bool weighted, TimeNs now);
  /// The group has no children. Its waiting requests join the end of the parent's queues, in their
  /// order, and those at the device end in the parent's name; what it counted becomes inherited by
  /// the parent. Call before GroupMap::group_removed().
  void group_removed(GroupId group, GroupId parent, TimeNs now);

  /// `group` may have been removed: see GroupMap::living(). Counts throttle.*.
  void arrive(QueuedIo& io, GroupId group, TimeNs now);
  /// The request that goes to the device now: out of the queue, counted in bfq.*, charged. nullptr:
  /// none may go before deadline() or the next call that changes something: all are held by limits,
  /// the device has as many as it should, or is kept free for a group that is expected back.
  QueuedIo* next(TimeNs now);
  /// A request from next() has ended at the device, in whatever way. Before the reply, so that
  /// whoever has seen a request end sees it counted.
  void complete(QueuedIo& io, TimeNs now);
  /// A waiting request leaves, uncharged. False if it does not wait here (any more).
  bool cancel(QueuedIo& io, TimeNs now);

  /// A waiting request that limits have held for longer than the rules of its path allow; cancel()
  /// it before asking again. nullptr: none.
  QueuedIo* overdue(TimeNs now) {
    advance(now);
    return holders_.overdue(now_);
  }

  /// When next() or overdue() may have something again; kNever if no request waits for a limit to
  /// open, nor for somebody else's absence to end.
  TimeNs deadline();
  /// The groups whose limits have begun to hold somebody, or hold nobody any more, since the last
  /// call. Costs nothing while nobody is held; to be asked after deadline().
  const std::vector<GroupId>& holders_changed() { return holders_.changed(); }
  /// How many wait.
  std::size_t waiting() const { return waiting_; }
  /// Calls f(QueuedIo&) for each that waits, in no particular order; f may cancel the one it is
  /// given and must change nothing else.
  template <class F>
  void for_each_waiting(F&& f);
  /// When the limits on the group's path let its next request go: not in the future if they are
  /// open, kNever under a limit of 0.
  TimeNs opens_at(GroupId group, Direction direction) const;
  /// Something waits right behind the node's gate, whether that is open or not.
  bool has_ready(const GroupNode& node, Direction direction) const;

 private:
  GroupNode& node_of(GroupId group);
  GroupNode& living_node(GroupId group);
  void place(GroupNode& node);
  bool is_full() const;
  void note_held();
  void note_busy(GroupNode& node);

  void advance(TimeNs now);
  void enqueue(GroupNode& node, QueuedIo& io);
  void dequeue(GroupNode& node, QueuedIo& io);
  void first_in(GroupNode& node, Direction direction);
  void settle_passing();
  void dispatch(GroupNode& node, QueuedIo& io);

  void publish_head(GroupNode& node, Direction direction);
  void plug(GroupNode& node, Direction direction);
  void open(GroupNode& node, Direction direction);
  void close(GroupNode& node, Direction direction);
  void follow_gate(GroupNode& node, Direction direction);
  void rearm(GroupNode* node, Direction direction);
  bool is_behind(const GroupNode& node, Direction direction) const;
  bool path_is_behind(const GroupNode& node, Direction direction) const;
  TimeNs gives_way_until(GroupNode::Side& side);
  void end_turn(GroupNode& node, Direction direction);
  void tell_sharers(GroupNode& node, Direction direction);
  void other_has_gone(GroupNode& node, Direction direction, TimeNs now);
  void replan();
  void arm(GroupNode::Deadlines::Hook& hook);
  void disarm(GroupNode::Deadlines::Hook& hook);
  void note_competing(GroupNode& node);
  void count_passed(GroupNode& node);

  /// What a change of rules is compared with.
  struct GateBefore {
    explicit GateBefore(const throttle::Gate& gate);
    DeviceRules rules;
    std::array<TimeNs, kDirections> opens_at;
  };
  void before_change(TimeNs now);
  void after_change(GroupNode& node, const GateBefore& before);
  void take_gate(GroupNode& node, std::shared_ptr<SharedGate> shared);
  void move_requests(GroupNode& node, GroupNode& heir);

  const DeviceNumber device_;
  const Hierarchy hierarchy_;
  GroupMap& groups_;
  bool count_arrivals_;
  TimeNs now_ = kLongAgo;
  std::size_t waiting_ = 0;
  QueuedIo* passing_ = nullptr;  ///< arrived when nothing could go, path open: not in the scheduler
  bool weighted_;
  bool holding_ = false;  ///< the last pick kept the device free
  std::size_t at_device_ = 0;
  std::size_t busy_groups_ = 0;  ///< with requests that wait or are at the device
  bfq_weights::Depth depth_;
  std::unique_ptr<bfq_weights::Scheduler> scheduler_;
  GroupNode::Deadlines deadlines_;
  Holders holders_;
  std::size_t shared_nodes_ = 0;  ///< groups that share limits with other devices
  stats::DeviceTime device_time_;
  std::unordered_map<GroupId, std::unique_ptr<GroupNode>> nodes_;
};

template <class F>
void IoQueue::for_each_waiting(F&& f) {
  if (passing_ != nullptr) f(*passing_);
  for (auto& [group, node] : nodes_) {
    for (GroupNode::Side& side : node->sides) {
      for (auto io = side.waiting.begin(); io != side.waiting.end();) f(*io++);
    }
  }
}

}  // namespace blkio::data_plane
