// SPDX-License-Identifier: MIT
#include "holders.hpp"

#include <algorithm>

namespace blkio::data_plane {

namespace {

/// The least of the path; kNever: no bound.
TimeNs hold_bound(const GroupNode& node) {
  TimeNs bound = kNever;
  for (const GroupNode* above = &node; above != nullptr; above = above->limited_above) {
    const DeviceRules& rules = above->gate->rules();
    if (rules.max_hold_ms == 0 || rules.dry_run) continue;
    constexpr std::uint64_t kMostMs = kNever / kMillisecondNs;
    if (rules.max_hold_ms < kMostMs) {
      bound = std::min(bound, static_cast<TimeNs>(rules.max_hold_ms) * kMillisecondNs);
    }
  }
  return bound;
}

}  // namespace

void Holders::rules_changed(const DeviceRules& before, const DeviceRules& after,
                            std::size_t groups) {
  nodes_with_rules_ = nodes_with_rules_ - !before.empty() + !after.empty();
  nodes_with_bound_ = nodes_with_bound_ - (before.max_hold_ms != 0) + (after.max_hold_ms != 0);
  if (nodes_with_bound_ != 0) overdue_.reserve(kDirections * groups);
}

LastToOpen Holders::settle(Side& side, TimeNs now, const QueuedIo* leaving) {
  const LastToOpen last = side.node().last_to_open(side.direction());
  const TimeNs held = std::max<TimeNs>(std::min(now, last.at) - side.settled_ns, 0);
  const bool delayed = leaving != nullptr && last.at > leaving->arrived_ns;
  side.settled_ns = now;
  side.held_ns += held;
  if (held != 0 || delayed) {
    const std::uint64_t sum_ns = static_cast<std::uint64_t>(held) * side.waiting.size();
    last.node->gate->count_held(side.direction(), sum_ns, delayed ? 1 : 0, last.node->sharer);
  }
  return last;
}

// ---- who holds whom ----------------------------------------------------------------------------

void Holders::set_holder(Side& side, GroupNode* holder) {
  if (side.holder == holder) return;
  if (side.holder != nullptr) {
    --side.holder->side(side.direction()).holds;
    touch(*side.holder);
  }
  side.holder = holder;
  if (holder == nullptr) return;
  ++holder->side(side.direction()).holds;
  touch(*holder);
}

void Holders::touch(GroupNode& node) {
  if (node.touched) return;
  node.touched = true;
  touched_.push_back(&node);
}

const std::vector<GroupId>& Holders::changed() {
  changed_.clear();
  for (GroupNode* node : touched_) {
    node->touched = false;
    const bool holds = std::any_of(node->sides.begin(), node->sides.end(),
                                   [](const Side& side) { return side.holds != 0; });
    if (holds == node->holding) continue;
    node->holding = holds;
    ++node->holding_changes;
    changed_.push_back(node->group);
  }
  touched_.clear();
  return changed_;
}

std::array<bool, kDirections> Holders::held_by(const GroupNode& node, TimeNs now) {
  std::array<bool, kDirections> held{};
  for (Side& side : waiting_sides_) {
    const LastToOpen last = settle(side, now);
    if (last.node == &node && last.at > now)
      held[static_cast<std::size_t>(side.direction())] = true;
  }
  return held;
}

// ---- for too long ------------------------------------------------------------------------------

// No sooner than then can the first one of a queue have been held for too long. Where the path is
// open nobody is held, and a look each millisecond is enough.
TimeNs Holders::overdue_at(Side& side, TimeNs now) {
  const TimeNs bound = hold_bound(side.node());
  if (bound == kNever) return kNever;
  const LastToOpen last = settle(side, now);
  const TimeNs left = bound - (side.held_ns - side.waiting.front().held_before_ns);
  const TimeNs soonest = last.at > now ? 0 : kMillisecondNs;
  return now + std::max(left, soonest);
}

void Holders::watch(Side& side, TimeNs now) {
  const TimeNs at = overdue_at(side, now);
  side.overdue.armed() ? overdue_.update(side.overdue, at) : overdue_.insert(side.overdue, at);
}

void Holders::watch_all(TimeNs now) {
  if (nodes_with_bound_ == 0 && overdue_.empty()) return;
  for (Side& side : waiting_sides_) watch(side, now);
}

QueuedIo* Holders::overdue(TimeNs now) {
  while (overdue_.earliest() <= now) {
    Side& side = overdue_.top().node().side(overdue_.top().direction());
    const TimeNs at = overdue_at(side, now);
    if (at <= now) return &side.waiting.front();
    overdue_.update(side.overdue, at);
  }
  return nullptr;
}

TimeNs Holders::deadline(TimeNs now) {
  while (!overdue_.empty()) {
    GroupNode::Deadlines::Hook& first = overdue_.top();
    const TimeNs at = overdue_at(first.node().side(first.direction()), now);
    if (at <= overdue_.earliest()) break;
    overdue_.update(first, at);
  }
  return overdue_.earliest();
}

}  // namespace blkio::data_plane
