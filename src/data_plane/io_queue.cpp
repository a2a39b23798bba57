// SPDX-License-Identifier: MIT
#include "io_queue.hpp"

#include <algorithm>
#include <cassert>

#include "bfq_weights/fair_queue.hpp"
#include "bfq_weights/round_robin.hpp"

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
  if (alone && path_opens_at(node, direction_of(io.op)) <= now_) {
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
  IoList& fifo = node.side(pick->direction).waiting;
  QueuedIo& io = fifo.front();
  fifo.pop_front();
  publish_head(node, pick->direction);
  dispatch(node, io);
  return &io;
}

// From the leaf up: whether something is left to wait for behind a gate depends on those below.
void IoQueue::dispatch(GroupNode& node, QueuedIo& io) {
  const Direction direction = direction_of(io.op);
  const Charge charge = charge_of(io.op, io.bytes);
  --waiting_;
  io.stage = IoStage::kAtDevice;
  io.dispatched_ns = now_;
  node.at_device.push_back(io);
  ++at_device_;
  device_time_.enter(now_);
  node.stats.counters.count_dispatch(io.op, io.bytes, now_ - io.arrived_ns);
  node.stats.scheduling.dispatched(now_, device_time_.per_request());
  scheduler_->charge(*node.place, direction, cost_of(io), now_);
  for (GroupNode* payer = &node; payer != nullptr; payer = limited_above(*payer)) {
    const bool held = std::exchange(payer->side(direction).held, false);
    payer->gate.charge(direction, charge, now_, held);
    follow_gate(*payer, direction);
    if (payer->gate.has_total()) follow_gate(*payer, opposite(direction));
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
  IoList& fifo = node.side(direction).waiting;
  const bool was_head = &fifo.front() == &io;
  fifo.erase(fifo.iterator_to(io));
  if (was_head) {
    publish_head(node, direction);
    rearm(&node, direction);
  }
  note_busy(node);
  return true;
}

void IoQueue::enqueue(GroupNode& node, QueuedIo& io) {
  const Direction direction = direction_of(io.op);
  IoList& fifo = node.side(direction).waiting;
  fifo.push_back(io);
  if (fifo.size() == 1) first_in(node, direction);
}

// The queue has become non-empty. Gates nobody was waiting at may have opened unnoticed.
void IoQueue::first_in(GroupNode& node, Direction direction) {
  for (GroupNode* above = &node; above != nullptr; above = limited_above(*above)) {
    if (above->side(direction).closed) follow_gate(*above, direction);
  }
  publish_head(node, direction);
  rearm(&node, direction);
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
    if (const TimeNs at = path_opens_at(due.node(), direction); at > now_) {
      deadlines_.update(due, at);
      continue;
    }
    for (GroupNode* node = &due.node(); node != nullptr; node = limited_above(*node)) {
      if (!node->side(direction).closed) continue;
      node->side(direction).held = true;
      open(*node, direction);
    }
  }
}

TimeNs IoQueue::deadline() {
  const TimeNs held = holding_ ? scheduler_->hold().until_ns : kNever;
  while (!deadlines_.empty()) {
    GroupNode::Deadlines::Hook& first = deadlines_.top();
    const TimeNs at = path_opens_at(first.node(), first.direction());
    if (at == deadlines_.earliest()) return std::min(at, held);
    deadlines_.update(first, at);
  }
  return held;
}

// An entry that is too early is found out when it comes up; one that is too late would not be.
void IoQueue::replan() {
  deadlines_.replan([this](const GroupNode::Deadlines::Hook& hook) {
    return path_opens_at(hook.node(), hook.direction());
  });
}

// ---- gates -------------------------------------------------------------------------------------

GroupNode* IoQueue::limited_above(const GroupNode& node) const {
  return hierarchy_ == Hierarchy::kTree ? node.parent : nullptr;
}

TimeNs IoQueue::path_opens_at(const GroupNode& node, Direction direction) const {
  TimeNs at = kLongAgo;
  for (const GroupNode* above = &node; above != nullptr; above = limited_above(*above)) {
    at = std::max(at, above->gate.opens_at(direction));
  }
  return at;
}

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

bool IoQueue::has_ready(GroupNode& node, Direction direction) const {
  if (hierarchy_ == Hierarchy::kFlat) return !node.side(direction).waiting.empty();
  return scheduler_->waiting_behind(*node.place).has(direction);
}

void IoQueue::open(GroupNode& node, Direction direction) {
  GroupNode::Side& side = node.side(direction);
  side.closed = false;
  if (side.deadline.armed()) deadlines_.erase(side.deadline);
  plug(node, direction);
}

void IoQueue::close(GroupNode& node, Direction direction) {
  node.side(direction).closed = true;
  plug(node, direction);
  rearm(&node, direction);
}

void IoQueue::follow_gate(GroupNode& node, Direction direction) {
  const bool closed = node.gate.opens_at(direction) > now_;
  if (closed == node.side(direction).closed) return;
  closed ? close(node, direction) : open(node, direction);
  // What is ready here has come to wait at, or has gone from, the next closed gate above.
  rearm(limited_above(node), direction);
}

// The nearest closed gate, from here upwards, has a deadline if and only if something is ready
// right behind it. Others have none: when they open, nothing could go.
void IoQueue::rearm(GroupNode* node, Direction direction) {
  while (node != nullptr && !node->side(direction).closed) node = limited_above(*node);
  if (node == nullptr) return;
  GroupNode::Deadlines::Hook& hook = node->side(direction).deadline;
  const bool wanted = has_ready(*node, direction);
  if (wanted == hook.armed()) return;
  if (wanted) {
    deadlines_.insert(hook, path_opens_at(*node, direction));
  } else {
    deadlines_.erase(hook);
  }
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
  for (auto& [group, node] : nodes_) {
    for (GroupNode::Side& side : node->sides) side.waiting.clear();
    node->at_device.clear();
  }
}

GroupNode& IoQueue::node_of(GroupId group) {
  const auto found = nodes_.find(group);
  if (found != nodes_.end()) return *found->second;
  GroupNode* parent = group == GroupId::kRoot ? nullptr : &node_of(groups_.parent(group));
  auto node = std::make_unique<GroupNode>(group, parent, groups_.stats(group).meet(device_));
  place(*node);
  deadlines_.reserve(kDirections * (nodes_.size() + 1));
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
    if (found != nodes_.end()) return path_opens_at(*found->second, direction);
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
  DeviceRules rules = found == nodes_.end() ? DeviceRules{} : found->second->gate.rules();
  rules.of(limit).per_second = per_second;
  set_rules(group, rules, Levels::kKept, now);
}

void IoQueue::set_rules(GroupId group, const DeviceRules& rules, Levels levels, TimeNs now) {
  advance(now);
  settle_passing();
  if (rules.empty() && nodes_.find(group) == nodes_.end()) return;
  GroupNode& node = node_of(group);
  const std::array before{node.gate.opens_at(Direction::kRead),
                          node.gate.opens_at(Direction::kWrite)};
  node.gate.set_rules(rules, levels, now_);
  bool earlier = false;
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    follow_gate(node, direction);
    earlier |= node.gate.opens_at(direction) < before[static_cast<std::size_t>(direction)];
  }
  if (earlier) replan();
}

void IoQueue::group_removed(GroupId group, GroupId parent, TimeNs now) {
  advance(now);
  settle_passing();
  device_time_.advance(now_);
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
  nodes_.erase(found);
}

void IoQueue::move_requests(GroupNode& node, GroupNode& heir) {
  const auto move = [&heir](IoList& from, IoList& to) {
    for (QueuedIo& io : from) {
      io.node = &heir;
      io.group = heir.group;
      heir.stats.counters.enter_queue(io.op);
    }
    to.splice(to.end(), from);
  };
  move(node.at_device, heir.at_device);
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    GroupNode::Side& side = node.side(direction);
    IoList moving;
    moving.swap(side.waiting);
    publish_head(node, direction);
    if (side.deadline.armed()) deadlines_.erase(side.deadline);
    IoList& waiting = heir.side(direction).waiting;
    const bool was_empty = waiting.empty();
    move(moving, waiting);
    if (was_empty && !waiting.empty()) first_in(heir, direction);
  }
}

}  // namespace blkio::data_plane
