// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstdint>
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
using bfq_weights::Scheduler;

namespace {

/// Groups of one level, all of which always wait; of some the gate closes and opens again between
/// two picks, each time they were served. It must not be to their advantage.
class GateWorld {
 public:
  GateWorld(const MakeScheduler& make, std::uint64_t seed)
      : dice_(seed), queue_(make(Anticipation::kOff)) {
    Scheduler::Node& root = queue_->add(nullptr, nullptr);
    groups_.resize(2 + dice_.below(20));
    const bool alike = dice_.one_in(2);
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      group.weight = alike ? 100 : dice_.weight();
      group.goes = dice_.one_in(2);
      group.place = &queue_->add(&root, &group);
      group.least.resize(groups_.size());
      queue_->set_weights(*group.place, group.weight, 100, 0);
      new_head(group);
    }
  }

  std::uint64_t run(std::uint64_t events) {
    for (std::uint64_t event = 0; event < events; ++event) turn();
    return events;
  }

 private:
  static constexpr std::uint64_t kLargestCost = 1 << 20;

  struct Group {
    std::uint32_t weight = 100;
    bool goes = false;
    Scheduler::Node* place = nullptr;
    std::uint64_t cost = 0;
    long double served = 0;          ///< per weight
    std::vector<long double> least;  ///< that it was ahead of each other, so far
  };

  void new_head(Group& group) {
    group.cost = 4096 + dice_.below(kLargestCost - 4096 + 1);
    queue_->set_head(*group.place, Direction::kRead, Head{now_, group.cost}, now_);
  }

  void turn() {
    const auto pick = queue_->pick(DirectionMask::both(), ++now_);
    if (!pick) dice_.fail("nothing picked though everybody waits", now_);
    Group& group = *static_cast<Group*>(pick->node->owner());
    const std::uint64_t cost = group.cost;
    new_head(group);
    queue_->charge(*group.place, pick->direction, cost, now_);
    group.served += static_cast<long double>(cost) / group.weight;
    for (std::size_t other = 0; other < groups_.size(); ++other) check(group, other);
    if (!group.goes) return;
    queue_->set_gate(*group.place, Direction::kRead, false, now_);
    queue_->set_gate(*group.place, Direction::kRead, true, now_);
  }

  void check(Group& served, std::size_t other) {
    Group& rival = groups_[other];
    if (&rival == &served) return;
    const long double ahead = served.served - rival.served;
    long double& of_rival = rival.least[static_cast<std::size_t>(&served - groups_.data())];
    of_rival = std::min(of_rival, -ahead);
    if (rival.goes) return;  // he loses what he was owed, and others gain it
    const long double gain = ahead - served.least[other];
    const long double most = kLargestCost * (3.0L / served.weight + 2.0L / rival.weight);
    if (gain > most * 1.000001L) {
      dice_.fail(
          "its gate gave one " + std::to_string(static_cast<double>(gain / most)) + " of the bound",
          now_);
    }
  }

  Dice dice_;
  std::unique_ptr<Scheduler> queue_;
  std::vector<Group> groups_;
  TimeNs now_ = 0;
};

/// One that comes for a single request every 1.9 ms, and is never gone for the grace, beside one
/// that always waits. When it wants everything, what it did not want before must not be its.
class SleeperWorld {
 public:
  SleeperWorld(const MakeScheduler& make, std::uint64_t seed)
      : dice_(seed), queue_(make(Anticipation::kOff)) {
    Scheduler::Node& root = queue_->add(nullptr, nullptr);
    sleeper_ = &queue_->add(&root, nullptr);
    other_ = &queue_->add(&root, nullptr);
    meanwhile_ = 10 + static_cast<int>(dice_.below(60));
  }

  std::uint64_t run(std::uint64_t events) {
    tell(*other_, true);
    const std::uint64_t rounds = events / static_cast<std::uint64_t>(meanwhile_);
    for (std::uint64_t round = 0; round < rounds; ++round) {
      tell(*sleeper_, true);
      while (!turn(false)) {
      }
      for (int i = 0; i < meanwhile_; ++i) {
        turn(false);
        now_ += 1'900'000 / meanwhile_;
      }
    }
    tell(*sleeper_, true);
    int turns = 0;
    for (int i = 0; i < 400; ++i) turns += turn(true) ? 1 : 0;
    // At most what passed in the last absence and 8 more ahead, then every other one.
    const int lead = meanwhile_ + 8;
    if (turns > lead + (400 - lead) / 2 + 2) {
      dice_.fail("short absences added up: " + std::to_string(turns) + " turns of 400", now_);
    }
    return events;
  }

 private:
  void tell(Scheduler::Node& node, bool waits) {
    queue_->set_head(node, Direction::kRead, waits ? std::optional(Head{now_, 4096}) : std::nullopt,
                     now_);
  }

  /// Was it the sleeper's?
  bool turn(bool more_of_sleeper) {
    const auto pick = queue_->pick(DirectionMask::both(), now_);
    if (!pick) dice_.fail("nothing picked though one waits", now_);
    const bool of_sleeper = pick->node == sleeper_;
    tell(*pick->node, !of_sleeper || more_of_sleeper);
    queue_->charge(*pick->node, Direction::kRead, 4096, now_);
    queue_->completed(*pick->node, now_);
    return of_sleeper;
  }

  Dice dice_;
  std::unique_ptr<Scheduler> queue_;
  Scheduler::Node* sleeper_ = nullptr;
  Scheduler::Node* other_ = nullptr;
  TimeNs now_ = 0;
  int meanwhile_ = 40;
};

}  // namespace

std::uint64_t run_goers_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events) {
  if (seed % 4 == 0) return SleeperWorld(make, seed).run(events);
  return GateWorld(make, seed).run(events);
}

}  // namespace blkio::simulation
