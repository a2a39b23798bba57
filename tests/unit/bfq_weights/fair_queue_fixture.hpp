// SPDX-License-Identifier: MIT
/// A tree of named groups over the fair queue, for its tests.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "bfq_weights/fair_queue.hpp"

namespace blkio::test {

using bfq_weights::Anticipation;
using bfq_weights::DirectionMask;
using bfq_weights::FairQueue;
using bfq_weights::Head;
using bfq_weights::Scheduler;

inline constexpr Direction kRead = Direction::kRead;
inline constexpr Direction kWrite = Direction::kWrite;
inline constexpr TimeNs kUs = 1000;
inline constexpr TimeNs kMs = 1000 * kUs;

/// A tree of named groups. A backlogged queue never runs dry; one of `depth` requests has each come
/// back when arrive() says so. Requests end at the device as soon as they go, unless said.
class Tree {
 public:
  explicit Tree(Anticipation anticipation = Anticipation::kOff) : queue_(anticipation) {
    add("/", nullptr);
  }

  void add(const std::string& name, const char* parent = "/", std::uint32_t weight = 100) {
    Group& group = groups_[name];
    group.name = name;
    group.place = &queue_.add(parent == nullptr ? nullptr : groups_.at(parent).place, &group);
    weigh(name, weight);
  }
  void remove(const std::string& name) {
    queue_.remove(*groups_.at(name).place);
    groups_.erase(name);
  }
  void weigh(const std::string& name, std::uint32_t weight, std::uint32_t leaf_weight = 100) {
    queue_.set_weights(place(name), weight, leaf_weight, now);
  }
  void backlog(const std::string& name, Direction direction, std::uint64_t cost = 100) {
    Side& side = groups_.at(name).side(direction);
    side = {true, 1, cost};
    tell(name, direction);
  }
  void dry(const std::string& name, Direction direction) {
    groups_.at(name).side(direction) = {};
    tell(name, direction);
  }
  void arrive(const std::string& name, Direction direction = kRead, std::uint64_t cost = 100) {
    Side& side = groups_.at(name).side(direction);
    ++side.waiting;
    side.cost = cost;
    if (side.waiting == 1) tell(name, direction);
  }
  void gate(const std::string& name, Direction direction, bool open) {
    queue_.set_gate(place(name), direction, open, now);
  }

  /// The next n turns: "aR bW ..."; "-" where nobody goes.
  std::string turns(int n, DirectionMask allowed = DirectionMask::both()) {
    std::string all;
    for (int i = 0; i < n; ++i) all += (i > 0 ? " " : "") + turn(allowed);
    return all;
  }
  std::string turn(DirectionMask allowed = DirectionMask::both()) {
    const auto pick = queue_.pick(allowed, now);
    if (!pick) return "-";
    Group& group = *static_cast<Group*>(pick->node->owner());
    Side& side = group.side(pick->direction);
    if (!side.endless) --side.waiting;
    tell(group.name, pick->direction);
    queue_.charge(*pick->node, pick->direction, side.cost, now);
    if (!stays_at_device) queue_.completed(*pick->node, now);
    const std::string who = group.name + (pick->direction == kRead ? "R" : "W");
    served[who] += side.cost;
    return who;
  }
  void complete(const std::string& name) { queue_.completed(place(name), now); }
  std::map<std::string, int> shares(int turns) {
    std::map<std::string, int> count;
    for (int i = 0; i < turns; ++i) ++count[turn()];
    return count;
  }
  std::string held_for() {
    const Scheduler::Hold hold = queue_.hold();
    return hold.node == nullptr ? "-" : static_cast<Group*>(hold.node->owner())->name;
  }
  FairQueue& queue() { return queue_; }
  Scheduler::Node& place(const std::string& name) { return *groups_.at(name).place; }

  TimeNs now = 0;
  bool stays_at_device = false;
  std::map<std::string, std::uint64_t> served;

 private:
  struct Side {
    bool endless = false;
    int waiting = 0;
    std::uint64_t cost = 100;
  };
  struct Group {
    Side& side(Direction direction) { return sides[static_cast<std::size_t>(direction)]; }
    std::string name;
    Scheduler::Node* place = nullptr;
    std::array<Side, 2> sides;
  };
  void tell(const std::string& name, Direction direction) {
    Group& group = groups_.at(name);
    const Side& side = group.side(direction);
    const auto head = side.waiting > 0 ? std::optional(Head{++arrivals_, side.cost}) : std::nullopt;
    queue_.set_head(*group.place, direction, head, now);
  }

  FairQueue queue_;
  std::map<std::string, Group> groups_;
  TimeNs arrivals_ = 0;
};

/// How many turns each had.
using Shares = std::map<std::string, int>;

}  // namespace blkio::test
