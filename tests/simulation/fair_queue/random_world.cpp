// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "simulation/fair_queue/dice.hpp"
#include "simulation/fair_queue/worlds.hpp"

namespace blkio::simulation {

using bfq_weights::Anticipation;
using bfq_weights::DirectionMask;
using bfq_weights::Head;
using bfq_weights::kGraceNs;
using bfq_weights::Scheduler;

namespace {

class RandomWorld {
 public:
  RandomWorld(const MakeScheduler& make, std::uint64_t seed, std::uint32_t groups)
      : dice_(seed), queue_(make(Anticipation::kOff)) {
    const std::uint64_t wanted = groups > 0 ? groups : 2 + dice_.below(40) * dice_.below(8);
    deepest_ = 1 + static_cast<int>(dice_.below(8));
    disk_depth_ = 1 + dice_.below(16);
    mischief_in_ = 2 + dice_.below(60);
    most_groups_ = wanted + 10;
    smallest_cost_ = dice_.one_in(2) ? 4096 : 1 << 20;
    add(kNobody);
    while (living_ < wanted) add(some_parent());
    for (std::uint32_t g = 0; g < groups_.size(); ++g) toggle_load(g);
  }

  std::uint64_t run(std::uint64_t events) {
    while (events_ < events) {
      ++events_;
      if (dice_.one_in(mischief_in_)) {
        do_mischief();
      } else if (at_disk_.size() < disk_depth_ && dispatch()) {
      } else if (!at_disk_.empty()) {
        complete();
      } else {
        now_ += 1000;
        do_mischief();
      }
    }
    return events_;
  }

 private:
  static constexpr std::uint32_t kNobody = ~0U;
  static constexpr std::uint64_t kLargestCost = 1 << 20;

  /// Who competes at a level: group g as a child (2g), or the tasks of the level's own (2g + 1).
  using Rival = std::uint32_t;
  struct Standing {
    std::uint8_t mask = 0;
    std::uint32_t weight = 100;
    std::uint64_t weighings = 0;
    std::uint64_t departures = 0;
    TimeNs left_ns = kLongAgo;
    bool left_for_a_gate = false;
    bool has_credit = false;  ///< it came back so soon that it kept its tag
  };
  /// What a gains on b.
  struct Pair {
    Rival a = kNobody;
    Rival b = kNobody;
    std::uint64_t weighings = 0;
    std::uint64_t departures = 0;  ///< of b's
    long double gain = 0;          ///< a's cost per weight less b's, since they are compared
    long double least = 0;
  };
  struct Group {
    std::uint32_t parent = kNobody;
    int depth = 0;
    bool alive = true;
    Scheduler::Node* place = nullptr;
    std::array<bool, 2> open{true, true};
    std::array<std::optional<Head>, 2> heads;
    std::array<std::uint32_t, 2> can_serve{};  ///< rivals of its level, by direction
    std::uint32_t at_disk = 0;
    Standing as_child;
    Standing own;
    std::vector<std::uint32_t> children;
    std::array<Pair, 4> pairs;
  };

  Standing& standing(Rival rival) {
    Group& group = groups_[rival / 2];
    return rival % 2 == 0 ? group.as_child : group.own;
  }

  // -- the tree

  std::uint32_t some_parent() {
    for (;;) {
      const std::uint32_t g = may_have_children_[dice_.below(may_have_children_.size())];
      if (groups_[g].alive) return g;
    }
  }

  void add(std::uint32_t parent) {
    const auto g = static_cast<std::uint32_t>(groups_.size());
    Group& group = groups_.emplace_back();
    group.parent = parent;
    Scheduler::Node* above = nullptr;
    if (parent != kNobody) {
      group.depth = groups_[parent].depth + 1;
      groups_[parent].children.push_back(g);
      above = groups_[parent].place;
    }
    group.place = &queue_->add(above, reinterpret_cast<void*>(std::uintptr_t{g} + 1));
    if (group.depth < deepest_) may_have_children_.push_back(g);
    ++living_;
    set_weights(g);
  }

  void remove(std::uint32_t g) {
    Group& group = groups_[g];
    if (g == 0 || !group.alive || !group.children.empty() || living_ <= 2) return;
    for (const Direction direction : kEachDirection) set_head(g, direction, std::nullopt);
    queue_->remove(*group.place);
    group.alive = false;
    --living_;
    auto& siblings = groups_[group.parent].children;
    siblings.erase(std::find(siblings.begin(), siblings.end(), g));
    for (Pair& pair : groups_[group.parent].pairs) pair = {};
    for (std::uint32_t& owner : at_disk_) {
      if (owner == g) owner = group.parent;
    }
    groups_[group.parent].at_disk += group.at_disk;
  }

  // -- what the tree can serve, counted by hand

  std::uint8_t mask_of_level(const Group& group) const {
    return static_cast<std::uint8_t>((group.can_serve[0] > 0 ? 1 : 0) |
                                     (group.can_serve[1] > 0 ? 2 : 0));
  }
  static std::uint8_t gates(const Group& group) {
    return static_cast<std::uint8_t>((group.open[0] ? 1 : 0) | (group.open[1] ? 2 : 0));
  }

  void stand(Group& level, Standing& rival, std::uint8_t mask, bool gate) {
    for (std::size_t d = 0; d < 2; ++d) {
      const bool before = (rival.mask >> d & 1) != 0;
      const bool after = (mask >> d & 1) != 0;
      if (before && !after) --level.can_serve[d];
      if (after && !before) ++level.can_serve[d];
    }
    if (rival.mask != 0 && mask == 0) {
      ++rival.departures;
      rival.left_ns = now_;
      rival.left_for_a_gate = gate;
    }
    if (rival.mask == 0 && mask != 0) {
      // Long gone, or unplugged by a gate: without credit. Requests at the disk count as presence.
      rival.has_credit = !rival.left_for_a_gate && now_ < rival.left_ns + kGraceNs + longest_stay_;
    }
    rival.mask = mask;
  }

  void refresh(std::uint32_t g, bool gate) {
    for (; groups_[g].parent != kNobody; g = groups_[g].parent) {
      Group& group = groups_[g];
      stand(groups_[group.parent], group.as_child,
            static_cast<std::uint8_t>(gates(group) & mask_of_level(group)), gate);
    }
  }

  void set_head(std::uint32_t g, Direction direction, std::optional<Head> head) {
    Group& group = groups_[g];
    group.heads[index_of(direction)] = head;
    queue_->set_head(*group.place, direction, head, now_);
    stand(group, group.own,
          static_cast<std::uint8_t>((group.heads[0] ? 1 : 0) | (group.heads[1] ? 2 : 0)), false);
    refresh(g, false);
  }

  Head new_head() {
    const std::uint64_t cost = smallest_cost_ + dice_.below(kLargestCost - smallest_cost_ + 1);
    return {now_ - static_cast<TimeNs>(dice_.below(3)), cost};
  }

  void set_weights(std::uint32_t g) {
    Group& group = groups_[g];
    group.as_child.weight = dice_.weight();
    group.own.weight = dice_.weight();
    ++group.as_child.weighings;
    ++group.own.weighings;
    queue_->set_weights(*group.place, group.as_child.weight, group.own.weight, now_);
  }

  void toggle_load(std::uint32_t g) {
    const auto direction = static_cast<Direction>(dice_.below(2));
    const bool has = groups_[g].heads[index_of(direction)].has_value();
    if (has && dice_.one_in(2)) return;
    set_head(g, direction, has ? std::nullopt : std::optional(new_head()));
  }

  void do_mischief() {
    const auto g = static_cast<std::uint32_t>(dice_.below(groups_.size()));
    if (!groups_[g].alive) return;
    switch (dice_.below(12)) {
      case 0:
        set_weights(g);
        break;
      case 1:
        if (living_ < most_groups_ && groups_.size() < 3 * most_groups_) {
          const auto child = static_cast<std::uint32_t>(groups_.size());
          add(some_parent());
          toggle_load(child);
        }
        break;
      case 2:
        if (dice_.one_in(4)) remove(g);
        break;
      case 3:
        while (!at_disk_.empty()) complete();
        now_ += static_cast<TimeNs>(dice_.below(3 * kGraceNs));
        break;
      case 4:
      case 5:
      case 6:
      case 7: {
        const auto d = dice_.below(2);
        const bool open = !groups_[g].open[d] || dice_.one_in(3);
        groups_[g].open[d] = open;
        queue_->set_gate(*groups_[g].place, static_cast<Direction>(d), open, now_);
        refresh(g, true);
        break;
      }
      default:
        toggle_load(g);
    }
    check_masks(g);
  }

  void check_masks(std::uint32_t g) {
    const Group& group = groups_[g];
    if (!group.alive) return;
    if (queue_->waiting_behind(*group.place).bits() != mask_of_level(group)) {
      dice_.fail("group " + std::to_string(g) + " is said to have other directions", now_);
    }
    const Group& root = groups_[0];
    if (queue_->servable().bits() != (gates(root) & mask_of_level(root))) {
      dice_.fail("the root is said to serve other directions", now_);
    }
  }

  // -- requests

  bool dispatch() {
    const Group& root = groups_[0];
    const auto may = static_cast<std::uint8_t>(gates(root) & mask_of_level(root));
    const auto pick = queue_->pick(DirectionMask::both(), now_);
    if (pick.has_value() != (may != 0)) {
      dice_.fail(pick ? "picked where nothing may go" : "nothing picked though something may go",
                 now_);
    }
    if (!pick) return false;
    const auto g =
        static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(pick->node->owner()) - 1);
    check_pick(g, pick->direction);
    Group& group = groups_[g];
    const std::uint64_t cost = group.heads[index_of(pick->direction)]->cost;
    compare(g, cost);
    const bool more = !dice_.one_in(50);
    set_head(g, pick->direction, more ? std::optional(new_head()) : std::nullopt);
    queue_->charge(*group.place, pick->direction, cost, now_);
    at_disk_.push_back(g);
    ++group.at_disk;
    return true;
  }

  void check_pick(std::uint32_t g, Direction direction) {
    const std::size_t d = index_of(direction);
    if (!groups_[g].heads[d]) dice_.fail("picked an empty queue", now_);
    std::uint8_t may = 3;
    for (std::uint32_t up = g; up != kNobody; up = groups_[up].parent) {
      if (!groups_[up].open[d]) dice_.fail("picked behind a closed gate", now_);
      may = static_cast<std::uint8_t>(may & gates(groups_[up]));
    }
    const auto& other = groups_[g].heads[1 - d];
    if (other && (may >> (1 - d) & 1) != 0 && other->arrived_ns < groups_[g].heads[d]->arrived_ns) {
      dice_.fail("the younger head was picked", now_);
    }
  }

  void complete() {
    const std::uint32_t g = at_disk_.front();
    at_disk_.pop_front();
    now_ += 1000 + static_cast<TimeNs>(dice_.below(2 * 20'000));
    longest_stay_ = static_cast<TimeNs>(disk_depth_) * 41'000 + 6 * kGraceNs;
    --groups_[g].at_disk;
    queue_->completed(*groups_[g].place, now_);
  }

  // -- what one gains on another

  // From the root down: which directions could go at each level decides who competed there.
  void compare(std::uint32_t g, std::uint64_t cost) {
    path_.clear();
    path_.push_back(2 * g + 1);
    for (std::uint32_t up = g; groups_[up].parent != kNobody; up = groups_[up].parent) {
      path_.push_back(2 * up);
    }
    std::uint8_t may = 3;
    for (auto rival = path_.rbegin(); rival != path_.rend(); ++rival) {
      const std::uint32_t at = *rival % 2 == 1 ? *rival / 2 : groups_[*rival / 2].parent;
      Group& level = groups_[at];
      may = static_cast<std::uint8_t>(may & gates(level));
      for (Pair& pair : level.pairs) follow(pair, level, *rival, may, cost);
    }
  }

  void follow(Pair& pair, Group& level, Rival served, std::uint8_t may, std::uint64_t cost) {
    if (is_over(pair, may) || dice_.one_in(5000)) begin(pair, level, served, may);
    if (pair.a == kNobody) return;
    const Standing& a = standing(pair.a);
    const Standing& b = standing(pair.b);
    if (served == pair.a) pair.gain += static_cast<long double>(cost) / a.weight;
    if (served == pair.b) pair.gain -= static_cast<long double>(cost) / b.weight;
    pair.least = std::min(pair.least, pair.gain);
    // The promise of fair_queue.hpp. Finish tags have 24 bits and more: a millionth of it.
    const long double most = kLargestCost * (3.0L / a.weight + 2.0L / b.weight) * 1.000001L;
    if (pair.gain - pair.least > most) fail_of(pair, (pair.gain - pair.least) / most);
  }

  // b must wait all the time, and be able to go when a is, whether a is behind a gate or not. Where
  // a, too, is there but cannot go, the clocks of both stand.
  bool is_over(const Pair& pair, std::uint8_t may) {
    if (pair.a == kNobody) return true;
    const Standing& a = standing(pair.a);
    const Standing& b = standing(pair.b);
    if (a.weighings + b.weighings != pair.weighings || b.departures != pair.departures) return true;
    if (a.mask != 0 && a.has_credit) return true;
    const bool a_stands = a.mask != 0 && (a.mask & may) == 0;
    return (b.mask & may) == 0 && !a_stands;
  }

  void begin(Pair& pair, Group& level, Rival served, std::uint8_t may) {
    pair = {};
    const auto at = static_cast<std::uint32_t>(&level - groups_.data());
    const auto n = dice_.below(level.children.size() + 1);
    const Rival other = n == level.children.size() ? 2 * at + 1 : 2 * level.children[n];
    if (other == served) return;
    const bool gains = dice_.one_in(2);
    pair.a = gains ? served : other;
    pair.b = gains ? other : served;
    pair.weighings = standing(served).weighings + standing(other).weighings;
    pair.departures = standing(pair.b).departures;
    if (standing(pair.a).mask == 0 || is_over(pair, may)) pair = {};
  }

  [[noreturn]] void fail_of(const Pair& pair, long double ratio) {
    dice_.fail("rival " + std::to_string(pair.a) + " of weight " +
                   std::to_string(standing(pair.a).weight) + " gained " +
                   std::to_string(static_cast<double>(ratio)) + " of the bound on rival " +
                   std::to_string(pair.b) + " of weight " + std::to_string(standing(pair.b).weight),
               now_);
  }

  Dice dice_;
  std::unique_ptr<Scheduler> queue_;
  std::vector<Group> groups_;
  std::deque<std::uint32_t> at_disk_;
  std::vector<Rival> path_;
  std::vector<std::uint32_t> may_have_children_;  ///< some of them gone
  TimeNs now_ = 0;
  TimeNs longest_stay_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t living_ = 0;
  std::uint64_t most_groups_ = 0;
  std::uint64_t mischief_in_ = 10;
  std::uint64_t disk_depth_ = 1;
  std::uint64_t smallest_cost_ = 4096;
  int deepest_ = 1;
};

}  // namespace

std::uint64_t run_random_world_of(const MakeScheduler& make, std::uint64_t seed,
                                  std::uint64_t events, std::uint32_t groups) {
  return RandomWorld(make, seed, groups).run(events);
}

std::uint64_t run_random_world(const MakeScheduler& make, std::uint64_t seed,
                               std::uint64_t events) {
  return RandomWorld(make, seed, 0).run(events);
}

}  // namespace blkio::simulation
