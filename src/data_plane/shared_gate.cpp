// SPDX-License-Identifier: MIT
#include "shared_gate.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "io_queue.hpp"

namespace blkio::data_plane {

namespace {

std::size_t index(Direction direction) {
  return static_cast<std::size_t>(direction);
}

}  // namespace

void SharedGate::add(IoQueue& queue, GroupNode& node) {
  node.sharer = free_number();
  members_.push_back({&queue, &node, {turns_, turns_}});
  std::uint32_t numbers = 0;
  for (const Member& each : members_) numbers = std::max(numbers, each.node->sharer + 1);
  gate.set_sharers(numbers);
  gate.reset_report(node.sharer);
}

void SharedGate::remove(const GroupNode& node) {
  std::erase_if(members_, [&](const Member& member) { return member.node == &node; });
}

// Numbers stay, and one that is free again is taken first.
std::uint32_t SharedGate::free_number() const {
  for (std::uint32_t number = 0;; ++number) {
    const bool taken = std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
      return member.node->sharer == number;
    });
    if (!taken) return number;
  }
}

const SharedGate::Member& SharedGate::member(const GroupNode& node) const {
  const auto found = std::find_if(members_.begin(), members_.end(),
                                  [&](const Member& each) { return each.node == &node; });
  assert(found != members_.end());
  return *found;
}

SharedGate::Member& SharedGate::member(const GroupNode& node) {
  return const_cast<Member&>(std::as_const(*this).member(node));
}

void SharedGate::went(const GroupNode& node, Direction direction) {
  member(node).went[index(direction)] = ++turns_;
}

// What counts both directions is one thing to wait for.
std::uint64_t SharedGate::last_turn(const Member& member, Direction direction) const {
  return gate.has_total() ? std::max(member.went[0], member.went[1])
                          : member.went[index(direction)];
}

// Just behind `now`: as soon as its queue looks; kNever: not so soon that it is waited for.
TimeNs SharedGate::goes_at(const Member& other, Direction direction, std::optional<TimeNs> since,
                           TimeNs now) const {
  if (other.node->side(direction).has_turn) return kNever;
  const TimeNs at = other.node->path_opens_at(direction);
  if (at <= now) {
    const bool waits = other.node->side(direction).holds != 0;
    const bool is_there = !since || other.looked_ns >= *since;
    return waits && is_there ? now + 1 : kNever;
  }
  const bool soon = at <= since.value_or(now) + kPatienceNs;
  return soon && other.queue->has_ready(*other.node, direction) ? at : kNever;
}

TimeNs SharedGate::gives_way_until(const GroupNode& node, Direction direction,
                                   std::optional<TimeNs> since, TimeNs now) const {
  const std::uint64_t own_turn = last_turn(member(node), direction);
  TimeNs until = kNever;
  for (const Member& other : members_) {
    if (other.node == &node || last_turn(other, direction) >= own_turn) continue;
    for (const Direction each : {Direction::kRead, Direction::kWrite}) {
      if (each != direction && !gate.has_total()) continue;
      until = std::min(until, goes_at(other, each, since, now));
    }
  }
  return until == kNever ? now : until;
}

}  // namespace blkio::data_plane
