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

/// An adversary who chooses before each pick which two of a level's groups may go: they read, all
/// others write, and writes are closed. He takes two that have had nearly the same and are among
/// those who have had least of what was theirs, so one of them falls back further.
class SplittingWorld {
 public:
  SplittingWorld(const MakeScheduler& make, std::uint64_t seed)
      : dice_(seed), queue_(make(Anticipation::kOff)) {
    Scheduler::Node& root = queue_->add(nullptr, nullptr);
    queue_->set_gate(root, Direction::kWrite, false, 0);
    groups_.resize(8 + dice_.below(60));
    order_.reserve(groups_.size());
    for (Group& group : groups_) {
      group.place = &queue_->add(&root, &group);
      tell(group, Direction::kWrite, true);
      order_.push_back(&group);
    }
  }

  std::uint64_t run(std::uint64_t events) {
    constexpr std::uint64_t kDuel = 60;
    for (std::uint64_t event = 0; event < events; event += kDuel) {
      for (std::uint64_t i = 0; i < kDuel; ++i) {
        const auto [a, b] = two_alike();
        serve_one_of(a, b);
      }
      std::sort(order_.begin(), order_.end(), has_less);
      duel(*order_.front(), *order_[dice_.below(order_.size() - 1) + 1]);
    }
    return events;
  }

 private:
  struct Group {
    Scheduler::Node* place = nullptr;
    double had = 0;  ///< more than half of what it shared, in requests
  };

  static bool has_less(const Group* a, const Group* b) { return a->had < b->had; }

  void tell(Group& group, Direction direction, bool waits) {
    queue_->set_head(*group.place, direction, waits ? std::optional(Head{0, 4096}) : std::nullopt,
                     0);
  }
  void let(Group& group, bool reads) {
    tell(group, reads ? Direction::kRead : Direction::kWrite, true);
    tell(group, reads ? Direction::kWrite : Direction::kRead, false);
  }

  std::pair<Group*, Group*> two_alike() {
    std::sort(order_.begin(), order_.end(), has_less);
    for (std::size_t i = dice_.below(3); i + 1 < order_.size(); ++i) {
      if (order_[i + 1]->had - order_[i]->had < 0.4) return {order_[i], order_[i + 1]};
    }
    return {order_[0], order_[1]};
  }

  Group& serve_one_of(Group* a, Group* b) {
    let(*a, true);
    let(*b, true);
    Group& served = serve();
    a->had -= 0.5;
    b->had -= 0.5;
    served.had += 1;
    let(*a, false);
    let(*b, false);
    return served;
  }

  Group& serve() {
    const auto pick = queue_->pick(DirectionMask::both(), 0);
    if (!pick) dice_.fail("nothing picked though two may go", 0);
    Group& group = *static_cast<Group*>(pick->node->owner());
    queue_->charge(*pick->node, pick->direction, 4096, 0);
    return group;
  }

  // Of equal weight: one may gain 3 + 2 requests on the other.
  void duel(Group& a, Group& b) {
    int gain = 0;
    int least = 0;
    int most = 0;
    for (int i = 0; i < 40; ++i) {
      gain += &serve_one_of(&a, &b) == &a ? 1 : -1;
      least = std::min(least, gain);
      most = std::max(most, gain);
      if (gain - least > 5 || most - gain > 5) {
        dice_.fail("of two of a kind one gained " + std::to_string(gain) + " requests", 0);
      }
    }
  }

  Dice dice_;
  std::unique_ptr<Scheduler> queue_;
  std::vector<Group> groups_;
  std::vector<Group*> order_;
};

}  // namespace

std::uint64_t run_splitting_world(const MakeScheduler& make, std::uint64_t seed,
                                  std::uint64_t events) {
  return SplittingWorld(make, seed).run(events);
}

}  // namespace blkio::simulation
