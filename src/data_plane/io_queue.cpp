// SPDX-License-Identifier: MIT
#include "io_queue.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "bfq_weights/fair_queue.hpp"
#include "bfq_weights/round_robin.hpp"
#include "shared_gate.hpp"

namespace blkio::data_plane {

using bfq_weights::DirectionMask;
using bfq_weights::Head;
using bfq_weights::Scheduler;

namespace {

std::uint64_t cost_of(const QueuedIo& io) {
  return kRequestCostBytes + charge_of(io.op, io.bytes).bytes;
}

std::unique_ptr<Scheduler> make_scheduler(bool weighted) {
  if (weighted) return std::make_unique<bfq_weights::FairQueue>();
  return std::make_unique<bfq_weights::RoundRobin>();
}

}  // namespace

// ---- the story: arrive, wait, go, complete -----------------------------------------------------

void IoQueue::arrive(QueuedIo& io, GroupId group, TimeNs now) {
  advance(now);
  if (holding_) note_held();
  GroupNode& node = living_node(group);
  io.node = &node;
  io.group = node.group;
  io.arrived_ns = now;
  io.stage = IoStage::kWaiting;
  if (count_arrivals_) node.stats.counters.count_arrival(io.op, io.bytes);
  node.stats.counters.enter_queue(io.op);
  node.stats.scheduling.arrived(now);
  ++waiting_;
  if (!node.busy) {
    node.busy = true;
    ++busy_groups_;
  }

  const bool alone = passing_ == nullptr && scheduler_->servable().empty() &&
                     (busy_groups_ == 1 || !scheduler_->awaits_somebody());
  const Direction direction = direction_of(io.op);
  const bool open = alone && node.path_opens_at(direction) <= now_;
  if (open && (shared_nodes_ == 0 || !path_is_behind(node, direction))) {
    passing_ = &io;
    return;
  }
  settle_passing();
  enqueue(node, io);
}

QueuedIo* IoQueue::next(TimeNs now) {
  advance(now);
  if (holding_) note_held();
  if (is_full()) {
    holding_ = false;
    return nullptr;
  }
  if (passing_ != nullptr) {
    QueuedIo& io = *std::exchange(passing_, nullptr);
    dispatch(*io.node, io);
    count_passed(*io.node);
    return &io;
  }
  const auto pick = scheduler_->pick(DirectionMask::both(), now_);
  holding_ = !pick && scheduler_->hold().node != nullptr;
  if (!pick) return nullptr;
  GroupNode& node = *static_cast<GroupNode*>(pick->node->owner());
  QueuedIo& io = node.side(pick->direction).waiting.front();
  dequeue(node, io);
  publish_head(node, pick->direction);
  dispatch(node, io);
  return &io;
}

// From the leaf up: whether something is left to wait for behind a gate depends on those below.
void IoQueue::dispatch(GroupNode& node, QueuedIo& io) {
  const Direction direction = direction_of(io.op);
  --waiting_;
  io.stage = IoStage::kAtDevice;
  io.dispatched_ns = now_;
  node.at_device.push_back(io);
  ++at_device_;
  device_time_.enter(now_);
  node.stats.counters.count_dispatch(io.op, io.bytes, now_ - io.arrived_ns);
  node.stats.scheduling.dispatched(now_, device_time_.per_request());
  scheduler_->charge(*node.place, direction, cost_of(io), now_);
  for (GroupNode* payer = &node; payer != nullptr; payer = payer->limited_above) {
    payer->gate->charge(io.op, io.bytes, now_, payer->sharer);
    const bool is_shared = payer->shared != nullptr;
    if (is_shared) end_turn(*payer, direction);
    follow_gate(*payer, direction);
    if (payer->gate->has_total()) follow_gate(*payer, opposite(direction));
    if (is_shared) tell_sharers(*payer, direction);
  }
}

void IoQueue::complete(QueuedIo& io, TimeNs now) {
  assert(io.stage == IoStage::kAtDevice);
  if (holding_) note_held();
  if (weighted_) {
    const bool limited = is_full() && !scheduler_->servable().empty();
    depth_.completed(now, cost_of(io), limited);
  }
  --at_device_;
  io.stage = IoStage::kNone;
  GroupNode& node = *std::exchange(io.node, nullptr);
  node.at_device.erase(node.at_device.iterator_to(io));
  const stats::DeviceTime::Parts rest = device_time_.leave(now);
  node.stats.counters.leave_queue(io.op);
  node.stats.counters.count_completion(io.op, now - io.dispatched_ns);
  node.stats.scheduling.completed(now, device_time_.per_request(), rest);
  scheduler_->completed(*node.place, std::max(now_, now));
  note_busy(node);
}

// The limit is for those who compete; one alone may have all the depth there is.
bool IoQueue::is_full() const {
  return weighted_ && busy_groups_ > 1 && at_device_ >= depth_.limit();
}

void IoQueue::note_held() {
  const Scheduler::Held held = scheduler_->take_held(now_);
  if (held.node == nullptr) return;
  static_cast<GroupNode*>(held.node->owner())->stats.scheduling.idled(held.duration_ns);
}

void IoQueue::note_busy(GroupNode& node) {
  const bool waits = std::any_of(node.sides.begin(), node.sides.end(),
                                 [](const GroupNode::Side& side) { return !side.waiting.empty(); });
  const bool passes = passing_ != nullptr && passing_->node == &node;
  const bool busy = waits || passes || !node.at_device.empty();
  if (busy == node.busy) return;
  node.busy = busy;
  busy ? ++busy_groups_ : --busy_groups_;
}

bool IoQueue::cancel(QueuedIo& io, TimeNs now) {
  if (io.stage != IoStage::kWaiting) return false;
  now_ = std::max(now_, now);
  io.stage = IoStage::kNone;
  GroupNode& node = *std::exchange(io.node, nullptr);
  --waiting_;
  node.stats.counters.leave_queue(io.op);
  node.stats.scheduling.cancelled(now);
  if (&io == passing_) {
    passing_ = nullptr;
    count_passed(node);
    note_busy(node);
    return true;
  }
  const Direction direction = direction_of(io.op);
  const bool was_head = &node.side(direction).waiting.front() == &io;
  dequeue(node, io);
  if (was_head) {
    publish_head(node, direction);
    rearm(&node, direction);
  }
  note_busy(node);
  return true;
}

void IoQueue::enqueue(GroupNode& node, QueuedIo& io) {
  const Direction direction = direction_of(io.op);
  GroupNode::Side& side = node.side(direction);
  if (side.waiting.empty()) {
    holders_.begin(side, now_);
  } else if (holders_.used()) {
    holders_.settle(side, now_);
  }
  io.held_before_ns = side.held_ns;
  side.waiting.push_back(io);
  if (side.waiting.size() == 1) first_in(node, direction);
}

// Out of its queue, in whatever way; what has held it last is told.
void IoQueue::dequeue(GroupNode& node, QueuedIo& io) {
  const Direction direction = direction_of(io.op);
  GroupNode::Side& side = node.side(direction);
  if (holders_.used()) holders_.settle(side, now_, &io);
  side.waiting.erase(side.waiting.iterator_to(io));
  if (side.waiting.empty()) holders_.end(side);
}

// The queue has become non-empty. Gates nobody was waiting at may have opened unnoticed.
void IoQueue::first_in(GroupNode& node, Direction direction) {
  for (GroupNode* above = &node; above != nullptr; above = above->limited_above) {
    const GroupNode::Side& side = above->side(direction);
    if (side.closed || side.has_turn) follow_gate(*above, direction);
  }
  publish_head(node, direction);
  rearm(&node, direction);
  if (holders_.has_bounds()) holders_.watch(node.side(direction), now_);
}

void IoQueue::settle_passing() {
  if (passing_ == nullptr) return;
  QueuedIo& io = *std::exchange(passing_, nullptr);
  enqueue(*io.node, io);
}

// ---- time --------------------------------------------------------------------------------------

// A deadline is due when the whole path above it is open too; charges made since it was armed may
// have moved that.
void IoQueue::advance(TimeNs now) {
  now_ = std::max(now_, now);
  while (deadlines_.earliest() <= now_) {
    GroupNode::Deadlines::Hook& due = deadlines_.top();
    const Direction direction = due.direction();
    if (due.node().path_opens_at(direction) > now_) {
      arm(due);
      continue;
    }
    if (shared_nodes_ != 0) {
      const TimeNs until = gives_way_until(due.node().side(direction));
      if (until > now_) {
        deadlines_.update(due, until);
        continue;
      }
    }
    for (GroupNode* node = &due.node(); node != nullptr; node = node->limited_above) {
      if (!node->side(direction).closed) continue;
      node->gate->note_waited(direction);
      open(*node, direction);
      node->side(direction).has_turn = node->shared != nullptr;
    }
  }
}

TimeNs IoQueue::deadline() {
  while (!deadlines_.empty()) {
    GroupNode::Deadlines::Hook& first = deadlines_.top();
    const TimeNs at = first.node().path_opens_at(first.direction());
    const bool looks_again = at <= now_ && first.node().side(first.direction()).gave_way != 0;
    if (at == deadlines_.earliest() || looks_again) break;
    arm(first);
  }
  const TimeNs free = holding_ ? scheduler_->hold().until_ns : kNever;
  return std::min({deadlines_.earliest(), holders_.deadline(now_), free});
}

// An entry that is too early is found out when it comes up; one that is too late would not be.
void IoQueue::replan() {
  deadlines_.replan([this](const GroupNode::Deadlines::Hook& hook) {
    const LastToOpen last = hook.node().last_to_open(hook.direction());
    holders_.set_holder(hook.node().side(hook.direction()), last.node);
    return last.at;
  });
}

void IoQueue::arm(GroupNode::Deadlines::Hook& hook) {
  GroupNode::Side& side = hook.node().side(hook.direction());
  const LastToOpen last = hook.node().last_to_open(hook.direction());
  hook.armed() ? deadlines_.update(hook, last.at) : deadlines_.insert(hook, last.at);
  side.gave_way = 0;
  holders_.set_holder(side, last.node);
}

void IoQueue::disarm(GroupNode::Deadlines::Hook& hook) {
  deadlines_.erase(hook);
  holders_.set_holder(hook.node().side(hook.direction()), nullptr);
}

// ---- gates -------------------------------------------------------------------------------------

// In a flat hierarchy the gate is the own tasks' alone: a closed one hides their head, and the
// groups below compete on.
void IoQueue::publish_head(GroupNode& node, Direction direction) {
  const GroupNode::Side& side = node.side(direction);
  const bool hidden = hierarchy_ == Hierarchy::kFlat && side.closed;
  std::optional<Head> head;
  if (!side.waiting.empty() && !hidden) {
    head = Head{side.waiting.front().arrived_ns, cost_of(side.waiting.front())};
  }
  scheduler_->set_head(*node.place, direction, head, now_);
  note_competing(node);
}

void IoQueue::plug(GroupNode& node, Direction direction) {
  if (hierarchy_ == Hierarchy::kFlat) {
    publish_head(node, direction);
  } else {
    scheduler_->set_gate(*node.place, direction, !node.side(direction).closed, now_);
    note_competing(node);
  }
}

void IoQueue::note_competing(GroupNode& node) {
  const bool competes = std::any_of(
      node.sides.begin(), node.sides.end(),
      [](const GroupNode::Side& side) { return !side.waiting.empty() && !side.closed; });
  if (node.competes && !competes) node.stats.scheduling.dequeued();
  node.competes = competes;
}

// The one that did not touch the scheduler counts as if it had.
void IoQueue::count_passed(GroupNode& node) {
  if (!node.competes) node.stats.scheduling.dequeued();
}

bool IoQueue::has_ready(const GroupNode& node, Direction direction) const {
  if (hierarchy_ == Hierarchy::kFlat) return !node.side(direction).waiting.empty();
  return scheduler_->waiting_behind(*node.place).has(direction);
}

void IoQueue::open(GroupNode& node, Direction direction) {
  GroupNode::Side& side = node.side(direction);
  side.closed = false;
  if (side.deadline.armed()) disarm(side.deadline);
  plug(node, direction);
}

void IoQueue::close(GroupNode& node, Direction direction) {
  node.side(direction).closed = true;
  node.side(direction).has_turn = false;
  plug(node, direction);
  rearm(&node, direction);
}

void IoQueue::follow_gate(GroupNode& node, Direction direction) {
  const bool closed = node.gate->opens_at(direction) > now_;
  if (closed == node.side(direction).closed) return;
  if (!closed && is_behind(node, direction)) return;
  closed ? close(node, direction) : open(node, direction);
  // What is ready here has come to wait at, or has gone from, the next closed gate above.
  rearm(node.limited_above, direction);
}

// The nearest closed gate, from here upwards, has a deadline if and only if something is ready
// right behind it. Others have none: when they open, nothing could go.
void IoQueue::rearm(GroupNode* node, Direction direction) {
  while (node != nullptr && !node->side(direction).closed) node = node->limited_above;
  if (node == nullptr) return;
  GroupNode::Deadlines::Hook& hook = node->side(direction).deadline;
  const bool wanted = has_ready(*node, direction);
  if (wanted == hook.armed()) return;
  wanted ? arm(hook) : disarm(hook);
}

// ---- gates that other devices share ------------------------------------------------------------

bool IoQueue::is_behind(const GroupNode& node, Direction direction) const {
  return node.shared != nullptr &&
         node.shared->gives_way_until(node, direction, std::nullopt, now_) > now_;
}

bool IoQueue::path_is_behind(const GroupNode& node, Direction direction) const {
  for (const GroupNode* above = &node; above != nullptr; above = above->limited_above) {
    if (is_behind(*above, direction)) return true;
  }
  return false;
}

// Each time another one goes, or turns out to wait for something else; so a few times are enough,
// but for circles through the gates of several groups.
TimeNs IoQueue::gives_way_until(GroupNode::Side& side) {
  const auto since = side.gave_way == 0 ? std::nullopt : std::optional(side.gave_way_ns);
  TimeNs until = now_;
  for (const GroupNode* above = &side.node(); above != nullptr; above = above->limited_above) {
    if (above->shared == nullptr) continue;
    above->shared->looks(*above, now_);
    if (side.gave_way >= 2 * above->shared->members().size()) continue;
    until = std::max(until, above->shared->gives_way_until(*above, side.direction(), since, now_));
  }
  if (until > now_ && side.gave_way++ == 0) side.gave_way_ns = now_;
  return until;
}

void IoQueue::end_turn(GroupNode& node, Direction direction) {
  node.side(direction).has_turn = false;
  if (node.gate->has_total()) node.side(opposite(direction)).has_turn = false;
}

void IoQueue::tell_sharers(GroupNode& node, Direction direction) {
  node.shared->went(node, direction);
  for (const SharedGate::Member& member : node.shared->members()) {
    if (member.node == &node) continue;
    member.queue->other_has_gone(*member.node, direction, now_);
    if (!node.gate->has_total()) continue;
    member.queue->other_has_gone(*member.node, opposite(direction), now_);
  }
}

// A gate that is open here may be closed by it. One that opens is found out by its deadline.
void IoQueue::other_has_gone(GroupNode& node, Direction direction, TimeNs now) {
  if (node.side(direction).closed) return;
  now_ = std::max(now_, now);
  if (node.gate->opens_at(direction) <= now_) return;
  if (node.side(direction).has_turn && has_ready(node, direction)) return;
  settle_passing();
  follow_gate(node, direction);
}

// ---- groups and rules --------------------------------------------------------------------------

IoQueue::IoQueue(DeviceNumber device, Hierarchy hierarchy, GroupMap& groups,
                 bool count_throttle_from_start, const Sharing& sharing)
    : device_(device),
      hierarchy_(hierarchy),
      groups_(groups),
      count_arrivals_(count_throttle_from_start),
      weighted_(sharing.weighted),
      depth_(sharing.depth),
      scheduler_(make_scheduler(sharing.weighted)) {}

IoQueue::~IoQueue() {
  holders_.clear();
  for (auto& [group, node] : nodes_) {
    if (node->shared != nullptr) node->shared->remove(*node);
    for (GroupNode::Side& side : node->sides) side.waiting.clear();
    node->at_device.clear();
  }
}

GroupNode& IoQueue::node_of(GroupId group) {
  const auto found = nodes_.find(group);
  if (found != nodes_.end()) return *found->second;
  GroupNode* parent = group == GroupId::kRoot ? nullptr : &node_of(groups_.parent(group));
  auto node =
      std::make_unique<GroupNode>(group, parent, hierarchy_, groups_.stats(group).meet(device_));
  place(*node);
  deadlines_.reserve(kDirections * (nodes_.size() + 1));
  holders_.reserve(nodes_.size() + 1);
  return *(nodes_[group] = std::move(node));
}

// Into the scheduler, above its children.
void IoQueue::place(GroupNode& node) {
  if (node.place != nullptr) return;
  if (node.parent != nullptr) place(*node.parent);
  node.place = &scheduler_->add(node.parent == nullptr ? nullptr : node.parent->place, &node);
  scheduler_->set_weights(*node.place, groups_.weight(node.group, device_),
                          groups_.leaf_weight(node.group, device_), now_);
}

void IoQueue::weights_changed(GroupId group, TimeNs now) {
  const auto found = nodes_.find(group);
  if (found == nodes_.end()) return;
  advance(now);
  scheduler_->set_weights(*found->second->place, groups_.weight(group, device_),
                          groups_.leaf_weight(group, device_), now_);
}

// The new one learns all that the old one knew but who is owed what.
void IoQueue::set_weighted(bool weighted, TimeNs now) {
  if (weighted == weighted_) return;
  advance(now);
  settle_passing();
  if (holding_) note_held();
  holding_ = false;
  weighted_ = weighted;
  for (auto& [group, node] : nodes_) node->place = nullptr;
  scheduler_ = make_scheduler(weighted);
  for (auto& [group, node] : nodes_) place(*node);
  for (auto& [group, node] : nodes_) {
    for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
      if (node->side(direction).closed) plug(*node, direction);
      publish_head(*node, direction);
    }
    for (const QueuedIo& io : node->at_device) {
      scheduler_->charge(*node->place, direction_of(io.op), cost_of(io), now_);
    }
  }
}

// A group with a node lives: removal takes the node away.
GroupNode& IoQueue::living_node(GroupId group) {
  const auto found = nodes_.find(group);
  return found != nodes_.end() ? *found->second : node_of(groups_.living(group));
}

TimeNs IoQueue::opens_at(GroupId group, Direction direction) const {
  for (;;) {
    const auto found = nodes_.find(group);
    if (found != nodes_.end()) return found->second->path_opens_at(direction);
    if (group == GroupId::kRoot || hierarchy_ == Hierarchy::kFlat) return kLongAgo;
    group = groups_.parent(group);
  }
}

void IoQueue::meet(GroupId group) {
  for (; group != GroupId::kRoot; group = groups_.parent(group)) groups_.stats(group).meet(device_);
  groups_.stats(GroupId::kRoot).meet(device_);
}

void IoQueue::set_limit(GroupId group, Limit limit, std::optional<std::uint64_t> per_second,
                        TimeNs now) {
  const auto found = nodes_.find(group);
  DeviceRules rules = found == nodes_.end() ? DeviceRules{} : found->second->gate->rules();
  rules.of(limit).per_second = per_second;
  set_rules(group, rules, Levels::kKept, now);
}

void IoQueue::set_rules(GroupId group, const DeviceRules& rules, Levels levels, TimeNs now) {
  advance(now);
  if (rules.empty() && nodes_.find(group) == nodes_.end()) return;
  GroupNode& node = node_of(group);
  std::vector<SharedGate::Member> members{{this, &node, {}}};
  if (node.shared != nullptr) members = node.shared->members();
  for (const SharedGate::Member& member : members) member.queue->before_change(now_);
  const GateBefore before(*node.gate);
  node.gate->set_rules(rules, levels, now_);
  for (const SharedGate::Member& member : members) member.queue->after_change(*member.node, before);
}

IoQueue::GateBefore::GateBefore(const throttle::Gate& gate)
    : rules(gate.rules()),
      opens_at{gate.opens_at(Direction::kRead), gate.opens_at(Direction::kWrite)} {}

// What has been held so far was held by the old rules. Where nobody had any, nobody asked who
// waits.
void IoQueue::before_change(TimeNs now) {
  now_ = std::max(now_, now);
  settle_passing();
  if (holders_.used()) return holders_.settle_all(now_);
  for (auto& [group, node] : nodes_) {
    for (GroupNode::Side& side : node->sides) {
      if (side.waiting.empty()) continue;
      side.settled_ns = now_;
      holders_.enlist(side);
    }
  }
}

void IoQueue::after_change(GroupNode& node, const GateBefore& before) {
  holders_.rules_changed(before.rules, node.gate->rules(), nodes_.size());
  bool earlier = false;
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    follow_gate(node, direction);
    const TimeNs opened_at = before.opens_at[static_cast<std::size_t>(direction)];
    earlier |= node.gate->opens_at(direction) < opened_at;
  }
  if (earlier) replan();
  holders_.watch_all(now_);
}

void IoQueue::share(GroupId group, IoQueue& other, TimeNs now) {
  advance(now);
  GroupNode& node = node_of(group);
  GroupNode& others = other.node_of(group);
  if (&node == &others || (node.shared != nullptr && node.shared == others.shared)) return;
  if (others.shared == nullptr) {
    others.shared = std::make_shared<SharedGate>(std::exchange(others.own_gate, {}), other, others);
    others.gate = &others.shared->gate;
    ++other.shared_nodes_;
  }
  take_gate(node, others.shared);
}

void IoQueue::unshare(GroupId group, TimeNs now) {
  const auto found = nodes_.find(group);
  if (found == nodes_.end() || found->second->shared == nullptr) return;
  advance(now);
  take_gate(*found->second, nullptr);
}

// Away from the one it has. nullptr: one of its own, without rules.
void IoQueue::take_gate(GroupNode& node, std::shared_ptr<SharedGate> shared) {
  before_change(now_);
  const GateBefore before(*node.gate);
  if (node.shared != nullptr) node.shared->remove(node);
  shared_nodes_ = shared_nodes_ - (node.shared != nullptr) + (shared != nullptr);
  node.own_gate = {};
  node.sharer = 0;
  for (GroupNode::Side& side : node.sides) side.has_turn = false;
  node.gate = shared == nullptr ? &node.own_gate : &shared->gate;
  if (shared != nullptr) shared->add(*this, node);
  node.shared = std::move(shared);
  after_change(node, before);
}

ThrottleReport IoQueue::throttle_report(GroupId group, TimeNs now) {
  const auto found = nodes_.find(group);
  if (found == nodes_.end()) return {};
  now_ = std::max(now_, now);
  const GroupNode& node = *found->second;
  const std::array<bool, kDirections> holds = holders_.held_by(node, now_);
  ThrottleReport report = node.gate->report(holds, now_, node.sharer);
  report.changes = node.holding_changes;
  return report;
}

void IoQueue::reset_throttle_report(GroupId group) {
  const auto found = nodes_.find(group);
  if (found == nodes_.end()) return;
  holders_.settle_all(now_);
  found->second->gate->reset_report(found->second->sharer);
}

std::optional<TokenStatus> IoQueue::token_status(GroupId group, TimeNs now) {
  const auto found = nodes_.find(group);
  if (found == nodes_.end()) return std::nullopt;
  now_ = std::max(now_, now);
  return found->second->gate->token_status(now_);
}

void IoQueue::group_removed(GroupId group, GroupId parent, TimeNs now) {
  advance(now);
  settle_passing();
  device_time_.advance(now_);
  if (holders_.used()) holders_.settle_all(now_);
  if (groups_.stats(group).find(device_) == nullptr) return;
  stats::DeviceStats& left = groups_.stats(group).meet(device_);
  stats::DeviceStats& heir = groups_.stats(parent).meet(device_);
  heir.counters.inherit(left.counters);
  heir.scheduling.inherit(left.scheduling, now_, device_time_.per_request());

  const auto found = nodes_.find(group);
  if (found == nodes_.end()) return;
  GroupNode& node = *found->second;
  assert(node.parent->group == parent);
  move_requests(node, *node.parent);
  if (holding_) note_held();
  scheduler_->remove(*node.place);
  note_busy(node);
  note_busy(*node.parent);
  holders_.rules_changed(node.gate->rules(), {}, nodes_.size());
  holders_.forget(node);
  if (node.shared != nullptr) {
    node.shared->remove(node);
    --shared_nodes_;
  }
  nodes_.erase(found);
}

void IoQueue::move_requests(GroupNode& node, GroupNode& heir) {
  const auto move = [&heir](IoList& from, IoList& to) {
    for (QueuedIo& io : from) {
      io.node = &heir;
      io.group = heir.group;
      heir.stats.counters.enter_queue(io.op);
      // Held anew: a queue stays in the order in which its requests become overdue.
      io.held_before_ns = heir.side(direction_of(io.op)).held_ns;
    }
    to.splice(to.end(), from);
  };
  move(node.at_device, heir.at_device);
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    GroupNode::Side& side = node.side(direction);
    GroupNode::Side& to = heir.side(direction);
    IoList moving;
    moving.swap(side.waiting);
    publish_head(node, direction);
    if (side.deadline.armed()) disarm(side.deadline);
    holders_.end(side);
    const bool was_empty = to.waiting.empty();
    move(moving, to.waiting);
    if (!was_empty || to.waiting.empty()) continue;
    holders_.begin(to, now_);
    first_in(heir, direction);
  }
}

}  // namespace blkio::data_plane
