// SPDX-License-Identifier: MIT
/// The waiting requests of one device, and which of them goes next: where limits, turns and
/// statistics meet.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bfq_weights/depth.hpp"
#include "bfq_weights/scheduler.hpp"
#include "blkio/device_rules.hpp"
#include "blkio/throttle_report.hpp"
#include "blkio/types.hpp"
#include "group_map.hpp"
#include "stats/device_time.hpp"
#include "stats/group_stats.hpp"
#include "throttle/deadlines.hpp"
#include "throttle/gate.hpp"

namespace blkio::data_plane {

struct GroupNode;

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

/// One group on this device.
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
    Deadlines::Hook overdue;      ///< armed: the first one's time to be held is bounded
    GroupNode* holder = nullptr;  ///< while the deadline is armed: who has made it so late
    TimeNs held_ns = 0;           ///< how long limits have held whoever was first
    TimeNs settled_ns = 0;        ///< up to here that has been counted
    bool closed = false;  ///< as the scheduler was told; may be out of date while nobody waits
  };

  GroupNode(GroupId id, GroupNode* parent_node, stats::DeviceStats& counted)
      : group(id), parent(parent_node), stats(counted) {}
  Side& side(Direction direction) { return sides[static_cast<std::size_t>(direction)]; }

  GroupId group;
  GroupNode* parent;
  stats::DeviceStats& stats;
  bfq_weights::Scheduler::Node* place = nullptr;
  throttle::Gate gate;
  std::array<Side, kDirections> sides{{{*this, Direction::kRead}, {*this, Direction::kWrite}}};
  IoList at_device;
  bool busy = false;      ///< something of its own waits or is at the device
  bool competes = false;  ///< something of its own waits behind its own open gate

  // Whether its limits hold somebody: queues, its own and below, that wait for its gate last.
  std::uint64_t holding_changes = 0;
  std::uint32_t holds = 0;
  bool holding = false;  ///< as was told
  bool touched = false;  ///< holds is to be looked at
};

using WaitingSides = boost::intrusive::list<
    GroupNode::Side,
    boost::intrusive::member_hook<GroupNode::Side, boost::intrusive::list_member_hook<>,
                                  &GroupNode::Side::link>,
    boost::intrusive::constant_time_size<false>>;

/// The queue in front of one device.
///
/// A request arrives, waits until every limit on its path is open and its turn has come, and is
/// charged to every group of the path at the moment it goes. (Hierarchy::kFlat: limits on the path
/// are those of its own group alone.) Within one group and direction: first in, first out. A gate
/// that closes is unplugged from the scheduler, and plugged back at its planned time; deadline() is
/// the earliest planned time at which a waiting request can go, so at every deadline one does.
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
  /// The whole set binds at once, in place of the last one: whoever waits is looked at again. The
  /// group lives.
  void set_rules(GroupId group, const DeviceRules& rules, Levels levels, TimeNs now);
  /// One limit of the set; nullopt removes it, 0 lets nothing pass.
  void set_limit(GroupId group, Limit limit, std::optional<std::uint64_t> per_second, TimeNs now);
  /// What the group's limits have done so far, and whom they hold now. O(groups that wait).
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
  QueuedIo* overdue(TimeNs now);

  /// When next() or overdue() may have something again; kNever if no request waits for a limit to
  /// open, nor for somebody else's absence to end.
  TimeNs deadline();
  /// The groups whose limits have begun to hold somebody, or hold nobody any more, since the last
  /// call. Costs nothing while nobody is held; to be asked after deadline().
  const std::vector<GroupId>& holders_changed();
  /// How many wait.
  std::size_t waiting() const { return waiting_; }
  /// Calls f(QueuedIo&) for each that waits, in no particular order; f may cancel the one it is
  /// given and must change nothing else.
  template <class F>
  void for_each_waiting(F&& f);
  /// When the limits on the group's path let its next request go: not in the future if they are
  /// open, kNever under a limit of 0.
  TimeNs opens_at(GroupId group, Direction direction) const;

 private:
  GroupNode& node_of(GroupId group);
  GroupNode& living_node(GroupId group);
  GroupNode* limited_above(const GroupNode& node) const;
  TimeNs path_opens_at(const GroupNode& node, Direction direction) const;
  /// The gate of a path that opens last, and when.
  struct LastToOpen {
    GroupNode* node = nullptr;  ///< nullptr: no limits
    TimeNs at = kLongAgo;
  };
  LastToOpen last_to_open(GroupNode& node, Direction direction) const;
  bool has_ready(GroupNode& node, Direction direction) const;

  void place(GroupNode& node);
  bool is_full() const;
  void note_held();
  void note_busy(GroupNode& node);

  void advance(TimeNs now);
  void enqueue(GroupNode& node, QueuedIo& io);
  void dequeue(GroupNode& node, QueuedIo& io);
  void begin_waiting(GroupNode::Side& side);
  void find_waiting();
  void first_in(GroupNode& node, Direction direction);
  void settle_passing();
  void dispatch(GroupNode& node, QueuedIo& io);

  void publish_head(GroupNode& node, Direction direction);
  void plug(GroupNode& node, Direction direction);
  void open(GroupNode& node, Direction direction);
  void close(GroupNode& node, Direction direction);
  void follow_gate(GroupNode& node, Direction direction);
  void rearm(GroupNode* node, Direction direction);
  void replan();
  void arm(GroupNode::Deadlines::Hook& hook);
  void disarm(GroupNode::Deadlines::Hook& hook);
  void note_holder(GroupNode::Side& side, GroupNode* holder);
  void touch(GroupNode& node);
  LastToOpen settle(GroupNode::Side& side, const QueuedIo* leaving = nullptr);
  void settle_all();
  void count_rules(const DeviceRules& before, const DeviceRules& after);
  TimeNs hold_bound(const GroupNode& node) const;
  TimeNs overdue_at(GroupNode::Side& side);
  void watch(GroupNode::Side& side);
  void note_competing(GroupNode& node);
  void count_passed(GroupNode& node);
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
  GroupNode::Deadlines overdue_;
  WaitingSides waiting_sides_;
  std::size_t nodes_with_rules_ = 0;
  std::size_t nodes_with_bound_ = 0;  ///< of them, those with a max_hold_ms
  std::vector<GroupNode*> touched_;
  std::vector<GroupId> holders_changed_;
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
