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
  for (GroupNode* payer = &node; payer != nullptr; payer = limited_above(*payer)) {
    payer->gate.charge(io.op, io.bytes, now_);
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
    begin_waiting(side);
  } else if (nodes_with_rules_ != 0) {
    settle(side);
  }
  io.held_before_ns = side.held_ns;
  side.waiting.push_back(io);
  if (side.waiting.size() == 1) first_in(node, direction);
}

// Out of its queue, in whatever way; what has held it last is told.
void IoQueue::dequeue(GroupNode& node, QueuedIo& io) {
  const Direction direction = direction_of(io.op);
  GroupNode::Side& side = node.side(direction);
  if (nodes_with_rules_ != 0) settle(side, &io);
  side.waiting.erase(side.waiting.iterator_to(io));
  if (!side.waiting.empty()) return;
  if (side.link.is_linked()) waiting_sides_.erase(waiting_sides_.iterator_to(side));
  if (side.overdue.armed()) overdue_.erase(side.overdue);
}

// Of a queue that was empty. Where nobody has rules nobody asks who waits.
void IoQueue::begin_waiting(GroupNode::Side& side) {
  side.settled_ns = now_;
  if (nodes_with_rules_ != 0) waiting_sides_.push_back(side);
}

// The queue has become non-empty. Gates nobody was waiting at may have opened unnoticed.
void IoQueue::first_in(GroupNode& node, Direction direction) {
  for (GroupNode* above = &node; above != nullptr; above = limited_above(*above)) {
    if (above->side(direction).closed) follow_gate(*above, direction);
  }
  publish_head(node, direction);
  rearm(&node, direction);
  if (nodes_with_bound_ != 0) watch(node.side(direction));
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
    if (path_opens_at(due.node(), direction) > now_) {
      arm(due);
      continue;
    }
    for (GroupNode* node = &due.node(); node != nullptr; node = limited_above(*node)) {
      if (!node->side(direction).closed) continue;
      node->gate.note_waited(direction);
      open(*node, direction);
    }
  }
}

TimeNs IoQueue::deadline() {
  while (!deadlines_.empty()) {
    GroupNode::Deadlines::Hook& first = deadlines_.top();
    if (path_opens_at(first.node(), first.direction()) == deadlines_.earliest()) break;
    arm(first);
  }
  while (!overdue_.empty()) {
    GroupNode::Deadlines::Hook& first = overdue_.top();
    const TimeNs at = overdue_at(first.node().side(first.direction()));
    if (at <= overdue_.earliest()) break;
    overdue_.update(first, at);
  }
  const TimeNs free = holding_ ? scheduler_->hold().until_ns : kNever;
  return std::min({deadlines_.earliest(), overdue_.earliest(), free});
}

// An entry that is too early is found out when it comes up; one that is too late would not be.
void IoQueue::replan() {
  deadlines_.replan([this](const GroupNode::Deadlines::Hook& hook) {
    const LastToOpen last = last_to_open(hook.node(), hook.direction());
    note_holder(hook.node().side(hook.direction()), last.node);
    return last.at;
  });
}

void IoQueue::arm(GroupNode::Deadlines::Hook& hook) {
  const LastToOpen last = last_to_open(hook.node(), hook.direction());
  hook.armed() ? deadlines_.update(hook, last.at) : deadlines_.insert(hook, last.at);
  note_holder(hook.node().side(hook.direction()), last.node);
}

void IoQueue::disarm(GroupNode::Deadlines::Hook& hook) {
  deadlines_.erase(hook);
  note_holder(hook.node().side(hook.direction()), nullptr);
}

// ---- who holds whom, and for how long ----------------------------------------------------------

IoQueue::LastToOpen IoQueue::last_to_open(GroupNode& node, Direction direction) const {
  LastToOpen last;
  for (GroupNode* above = &node; above != nullptr; above = limited_above(*above)) {
    const TimeNs at = above->gate.opens_at(direction);
    if (at > last.at) last = {above, at};
  }
  return last;
}

// To be called before the queue, or a gate above it, changes. What waits beyond the time the last
// gate opens waits for its turn.
IoQueue::LastToOpen IoQueue::settle(GroupNode::Side& side, const QueuedIo* leaving) {
  const LastToOpen last = last_to_open(side.node(), side.direction());
  const TimeNs held = std::max<TimeNs>(std::min(now_, last.at) - side.settled_ns, 0);
  const bool delayed = leaving != nullptr && last.at > leaving->arrived_ns;
  side.settled_ns = now_;
  side.held_ns += held;
  if (held != 0 || delayed) {
    const std::uint64_t sum_ns = static_cast<std::uint64_t>(held) * side.waiting.size();
    last.node->gate.count_held(side.direction(), sum_ns, delayed ? 1 : 0);
  }
  return last;
}

void IoQueue::settle_all() {
  for (GroupNode::Side& side : waiting_sides_) settle(side);
}

void IoQueue::note_holder(GroupNode::Side& side, GroupNode* holder) {
  if (side.holder == holder) return;
  if (side.holder != nullptr) {
    --side.holder->holds;
    touch(*side.holder);
  }
  side.holder = holder;
  if (holder == nullptr) return;
  ++holder->holds;
  touch(*holder);
}

void IoQueue::touch(GroupNode& node) {
  if (node.touched) return;
  node.touched = true;
  touched_.push_back(&node);
}

const std::vector<GroupId>& IoQueue::holders_changed() {
  holders_changed_.clear();
  for (GroupNode* node : touched_) {
    node->touched = false;
    if ((node->holds != 0) == node->holding) continue;
    node->holding = node->holds != 0;
    ++node->holding_changes;
    holders_changed_.push_back(node->group);
  }
  touched_.clear();
  return holders_changed_;
}

// The least of the path; kNever: no bound.
TimeNs IoQueue::hold_bound(const GroupNode& node) const {
  TimeNs bound = kNever;
  for (const GroupNode* above = &node; above != nullptr; above = limited_above(*above)) {
    const DeviceRules& rules = above->gate.rules();
    if (rules.max_hold_ms == 0 || rules.dry_run) continue;
    constexpr std::uint64_t kMostMs = kNever / kMillisecondNs;
    if (rules.max_hold_ms < kMostMs) {
      bound = std::min(bound, static_cast<TimeNs>(rules.max_hold_ms) * kMillisecondNs);
    }
  }
  return bound;
}

// No sooner than then can the first one of a queue have been held for too long. Where the path is
// open nobody is held, and a look each millisecond is enough.
TimeNs IoQueue::overdue_at(GroupNode::Side& side) {
  const TimeNs bound = hold_bound(side.node());
  if (bound == kNever) return kNever;
  const LastToOpen last = settle(side);
  const TimeNs left = bound - (side.held_ns - side.waiting.front().held_before_ns);
  const TimeNs soonest = last.at > now_ ? 0 : kMillisecondNs;
  return now_ + std::max(left, soonest);
}

void IoQueue::watch(GroupNode::Side& side) {
  const TimeNs at = overdue_at(side);
  if (side.overdue.armed()) {
    overdue_.update(side.overdue, at);
  } else {
    overdue_.insert(side.overdue, at);
  }
}

QueuedIo* IoQueue::overdue(TimeNs now) {
  advance(now);
  while (overdue_.earliest() <= now_) {
    GroupNode::Side& side = overdue_.top().node().side(overdue_.top().direction());
    const TimeNs at = overdue_at(side);
    if (at <= now_) return &side.waiting.front();
    overdue_.update(side.overdue, at);
  }
  return nullptr;
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
  if (side.deadline.armed()) disarm(side.deadline);
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
  wanted ? arm(hook) : disarm(hook);
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
  waiting_sides_.clear();
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
  touched_.reserve(nodes_.size() + 1);
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
  if (nodes_with_rules_ == 0) find_waiting();
  settle_all();
  const DeviceRules old = node.gate.rules();
  const std::array before{node.gate.opens_at(Direction::kRead),
                          node.gate.opens_at(Direction::kWrite)};
  node.gate.set_rules(rules, levels, now_);
  count_rules(old, rules);
  bool earlier = false;
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    follow_gate(node, direction);
    earlier |= node.gate.opens_at(direction) < before[static_cast<std::size_t>(direction)];
  }
  if (earlier) replan();
  if (nodes_with_bound_ == 0 && overdue_.empty()) return;
  for (GroupNode::Side& side : waiting_sides_) watch(side);
}

void IoQueue::find_waiting() {
  for (auto& [group, node] : nodes_) {
    for (GroupNode::Side& side : node->sides) {
      if (!side.waiting.empty() && !side.link.is_linked()) waiting_sides_.push_back(side);
    }
  }
}

void IoQueue::count_rules(const DeviceRules& before, const DeviceRules& after) {
  nodes_with_rules_ = nodes_with_rules_ - !before.empty() + !after.empty();
  nodes_with_bound_ = nodes_with_bound_ - (before.max_hold_ms != 0) + (after.max_hold_ms != 0);
  if (nodes_with_bound_ != 0) overdue_.reserve(kDirections * nodes_.size());
}

ThrottleReport IoQueue::throttle_report(GroupId group, TimeNs now) {
  const auto found = nodes_.find(group);
  if (found == nodes_.end()) return {};
  now_ = std::max(now_, now);
  std::array<bool, kDirections> holds{};
  for (GroupNode::Side& side : waiting_sides_) {
    const LastToOpen last = settle(side);
    if (last.node == found->second.get() && last.at > now_) {
      holds[static_cast<std::size_t>(side.direction())] = true;
    }
  }
  ThrottleReport report = found->second->gate.report(holds, now_);
  report.changes = found->second->holding_changes;
  return report;
}

void IoQueue::reset_throttle_report(GroupId group) {
  if (const auto found = nodes_.find(group); found != nodes_.end()) {
    settle_all();
    found->second->gate.reset_report();
  }
}

std::optional<TokenStatus> IoQueue::token_status(GroupId group, TimeNs now) {
  const auto found = nodes_.find(group);
  if (found == nodes_.end()) return std::nullopt;
  now_ = std::max(now_, now);
  return found->second->gate.token_status(now_);
}

void IoQueue::group_removed(GroupId group, GroupId parent, TimeNs now) {
  advance(now);
  settle_passing();
  device_time_.advance(now_);
  if (nodes_with_rules_ != 0) settle_all();
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
  count_rules(node.gate.rules(), {});
  std::erase(touched_, &node);
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
    if (side.overdue.armed()) overdue_.erase(side.overdue);
    if (side.link.is_linked()) waiting_sides_.erase(waiting_sides_.iterator_to(side));
    const bool was_empty = to.waiting.empty();
    move(moving, to.waiting);
    if (!was_empty || to.waiting.empty()) continue;
    begin_waiting(to);
    first_in(heir, direction);
  }
}

}  // namespace blkio::data_plane
