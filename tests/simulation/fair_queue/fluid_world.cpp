// SPDX-License-Identifier: MIT
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "simulation/fair_queue/dice.hpp"
#include "simulation/fair_queue/worlds.hpp"

namespace blkio::simulation {

using bfq_weights::Anticipation;
using bfq_weights::DirectionMask;
using bfq_weights::Head;
using bfq_weights::Scheduler;

namespace {

class FluidWorld {
 public:
  FluidWorld(const MakeScheduler& make, std::uint64_t seed)
      : dice_(seed), queue_(make(Anticipation::kOff)) {
    const std::uint64_t wanted = 2 + dice_.below(dice_.one_in(8) ? 998 : 30);
    const bool flat = dice_.one_in(2);
    smallest_cost_ = dice_.one_in(3) ? kLargestCost : 4096;
    groups_.reserve(wanted);
    for (std::uint32_t g = 0; g < wanted; ++g) {
      const auto parent = static_cast<std::uint32_t>(g == 0 || flat ? 0 : dice_.below(g));
      add(g == 0 ? kNobody : parent);
    }
  }

  std::uint64_t run(std::uint64_t events) {
    for (std::uint64_t i = 0; i < events; ++i) turn();
    return events;
  }

 private:
  static constexpr std::uint32_t kNobody = ~0U;
  static constexpr std::uint64_t kLargestCost = 1 << 20;

  struct Rival {
    std::uint32_t weight = 0;
    std::uint64_t served = 0;
  };
  struct Group {
    std::uint32_t parent = kNobody;
    Scheduler::Node* place = nullptr;
    Rival as_child;
    Rival own;
    std::uint64_t weights = 0;
    std::uint64_t served = 0;
    std::array<std::uint64_t, 2> costs{};
    std::vector<std::uint32_t> children;
  };

  void add(std::uint32_t parent) {
    const auto g = static_cast<std::uint32_t>(groups_.size());
    Group& group = groups_.emplace_back();
    group.parent = parent;
    Scheduler::Node* above = parent == kNobody ? nullptr : groups_[parent].place;
    group.place = &queue_->add(above, reinterpret_cast<void*>(std::uintptr_t{g} + 1));
    group.as_child.weight = dice_.weight();
    group.own.weight = dice_.weight();
    queue_->set_weights(*group.place, group.as_child.weight, group.own.weight, 0);
    group.weights += group.own.weight;
    if (parent != kNobody) {
      groups_[parent].weights += group.as_child.weight;
      groups_[parent].children.push_back(g);
    }
    for (const Direction direction : kEachDirection) new_head(group, direction);
  }

  void new_head(Group& group, Direction direction) {
    const std::uint64_t cost = smallest_cost_ + dice_.below(kLargestCost - smallest_cost_ + 1);
    group.costs[index_of(direction)] = cost;
    queue_->set_head(*group.place, direction, Head{++arrivals_, cost}, now_);
  }

  void turn() {
    const auto pick = queue_->pick(DirectionMask::both(), ++now_);
    if (!pick) dice_.fail("nothing picked though everybody waits", now_);
    auto g = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(pick->node->owner()) - 1);
    Group& group = groups_[g];
    const std::uint64_t cost = group.costs[index_of(pick->direction)];
    new_head(group, pick->direction);
    queue_->charge(*pick->node, pick->direction, cost, now_);
    serve(group, group.own, cost);
    for (; groups_[g].parent != kNobody; g = groups_[g].parent) {
      serve(groups_[groups_[g].parent], groups_[g].as_child, cost);
    }
  }

  void serve(Group& level, Rival& rival, std::uint64_t cost) {
    level.served += cost;
    rival.served += cost;
    check(level, rival);
    if (level.children.empty()) return;
    Group& other = groups_[level.children[dice_.below(level.children.size())]];
    check(level, other.as_child);
    check(level, level.own);
  }

  void check(const Group& level, const Rival& rival) {
    const long double share = static_cast<long double>(rival.weight) / level.weights;
    const long double ahead = rival.served - share * level.served;
    const long double most = (1 - share) * kLargestCost;
    const long double behind = (1 + share) * kLargestCost;
    if (ahead > most + 1) {
      dice_.fail("ahead of the fluid by " + std::to_string(static_cast<double>(ahead)), now_);
    }
    if (-ahead > behind + 1) {
      dice_.fail("behind the fluid by " + std::to_string(static_cast<double>(-ahead)), now_);
    }
  }

  Dice dice_;
  std::unique_ptr<Scheduler> queue_;
  std::vector<Group> groups_;
  TimeNs now_ = 0;
  TimeNs arrivals_ = 0;
  std::uint64_t smallest_cost_ = 4096;
};

}  // namespace

std::uint64_t run_fluid_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events) {
  return FluidWorld(make, seed).run(events);
}

}  // namespace blkio::simulation
