// SPDX-License-Identifier: MIT
#include "simulation/fair_queue/worlds.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace blkio::simulation {

using bfq_weights::Anticipation;
using bfq_weights::DirectionMask;
using bfq_weights::Head;
using bfq_weights::kGraceNs;
using bfq_weights::Scheduler;

namespace {

constexpr std::array kEachDirection{Direction::kRead, Direction::kWrite};

std::size_t index_of(Direction direction) {
  return static_cast<std::size_t>(direction);
}

/// Random numbers of one seed, and the way to say what went wrong.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed), random_(seed) {}
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  std::uint32_t weight() {
    static constexpr std::array<std::uint32_t, 6> kUsual{100, 100, 200, 500, 1, 1000};
    if (one_in(2)) return kUsual[below(kUsual.size())];
    return static_cast<std::uint32_t>(1 + below(1000));
  }
  [[noreturn]] void fail(const std::string& what, TimeNs now) const {
    throw std::logic_error("seed " + std::to_string(seed_) + ", " + std::to_string(now) +
                           " ns: " + what);
  }

 private:
  std::uint64_t seed_;
  std::mt19937_64 random_;
};

// ---- the random world --------------------------------------------------------------------------

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
    while (living_ < wanted) add(some_living());
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
    std::uint64_t stamp = 0;  ///< changes when a comparison must start anew
    TimeNs left_ns = kLongAgo;
    bool left_for_a_gate = false;
    bool has_credit = false;  ///< it came back so soon that it kept its tag
  };
  struct Pair {
    Rival a = kNobody;
    Rival b = kNobody;
    std::uint64_t stamp_a = 0;
    std::uint64_t stamp_b = 0;
    long double ahead = 0;  ///< a's cost per weight less b's, since they are compared
    long double most = 0;
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
    std::array<Pair, 2> pairs;
    bool had_credit = false;  ///< somebody of its level came back with some
  };

  Standing& standing(Rival rival) {
    Group& group = groups_[rival / 2];
    return rival % 2 == 0 ? group.as_child : group.own;
  }

  // -- the tree

  std::uint32_t some_living() {
    for (;;) {
      const auto g = static_cast<std::uint32_t>(dice_.below(groups_.size()));
      if (groups_[g].alive && groups_[g].depth < deepest_) return g;
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
      ++rival.stamp;
      rival.left_ns = now_;
      rival.left_for_a_gate = gate;
    }
    if (rival.mask == 0 && mask != 0) {
      // Long gone, or unplugged by a gate: without credit. Requests at the disk count as presence.
      rival.has_credit = !rival.left_for_a_gate && now_ < rival.left_ns + kGraceNs + longest_stay_;
      level.had_credit = level.had_credit || rival.has_credit;
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
    ++group.as_child.stamp;
    ++group.own.stamp;
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
          add(some_living());
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
    compare(g, pick->direction, cost);
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

  // -- fairness between two

  // From the root down: which directions could go at each level decides who competed there.
  void compare(std::uint32_t g, Direction, std::uint64_t cost) {
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

  bool stands_still(const Pair& pair) {
    return pair.a == kNobody || standing(pair.a).stamp != pair.stamp_a ||
           standing(pair.b).stamp != pair.stamp_b;
  }

  void follow(Pair& pair, Group& level, Rival served, std::uint8_t may, std::uint64_t cost) {
    if (stands_still(pair) || dice_.one_in(5000)) {
      begin(pair, level, served, may);
      if (pair.a == kNobody) return;
    }
    const Standing& a = standing(pair.a);
    const Standing& b = standing(pair.b);
    if (((a.mask & may) != 0) != ((b.mask & may) != 0)) {
      pair = {};
      return;
    }
    if (served == pair.a) pair.ahead += static_cast<long double>(cost) / a.weight;
    if (served == pair.b) pair.ahead -= static_cast<long double>(cost) / b.weight;
    pair.most = std::max(pair.most, pair.ahead);
    pair.least = std::min(pair.least, pair.ahead);
    // Each start tag is within one largest request of the level's time, to either side; so between
    // any two moments the difference of two tags changes by two of each at most. One more for what
    // the coming and going of others does to the mean, and eight where somebody came back with
    // credit: who joined meanwhile joined at a mean that was held back by it.
    const long double requests = level.had_credit ? 11 : 3;
    const long double bound = requests * kLargestCost * (1.0L / a.weight + 1.0L / b.weight);
    if (pair.most - pair.least > bound * 1.000001L) {
      dice_.fail(
          "rivals " + std::to_string(pair.a) + " and " + std::to_string(pair.b) + " are apart by " +
              std::to_string(static_cast<double>((pair.most - pair.least) / bound)) +
              " of the bound (weights " + std::to_string(a.weight) + " and " +
              std::to_string(b.weight) + ", " +
              std::to_string(static_cast<double>(pair.least * a.weight / kLargestCost)) + " to " +
              std::to_string(static_cast<double>(pair.most * a.weight / kLargestCost)) +
              " requests of the first)",
          now_);
    }
  }

  void begin(Pair& pair, Group& level, Rival served, std::uint8_t may) {
    pair = {};
    const auto at = static_cast<std::uint32_t>(&level - groups_.data());
    const auto n = dice_.below(level.children.size() + 1);
    const Rival other = n == level.children.size() ? 2 * at + 1 : 2 * level.children[n];
    const Standing& a = standing(served);
    const Standing& b = standing(other);
    if (other == served || (b.mask & may) == 0 || a.has_credit || b.has_credit) return;
    pair.a = served;
    pair.b = other;
    pair.stamp_a = a.stamp;
    pair.stamp_b = b.stamp;
  }

  Dice dice_;
  std::unique_ptr<Scheduler> queue_;
  std::vector<Group> groups_;
  std::deque<std::uint32_t> at_disk_;
  std::vector<Rival> path_;
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

// ---- the fluid world ---------------------------------------------------------------------------

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
    serve(group, group.own, cost, true);
    for (; groups_[g].parent != kNobody; g = groups_[g].parent) {
      serve(groups_[groups_[g].parent], groups_[g].as_child, cost, groups_[g].children.empty());
    }
  }

  void serve(Group& level, Rival& rival, std::uint64_t cost, bool exact) {
    level.served += cost;
    rival.served += cost;
    check(level, rival, exact);
    if (level.children.empty()) return;
    Group& other = groups_[level.children[dice_.below(level.children.size())]];
    check(level, other.as_child, other.children.empty());
    check(level, level.own, true);
  }

  void check(const Group& level, const Rival& rival, bool exact) {
    const long double share = static_cast<long double>(rival.weight) / level.weights;
    const long double ahead = rival.served - share * level.served;
    const long double most = (1 - share) * kLargestCost;
    const long double behind = ((exact ? 1 : 2) + share) * kLargestCost;
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

// ---- the world of clients ----------------------------------------------------------------------

class ClientWorld {
 public:
  ClientWorld(const MakeScheduler& make, std::uint64_t seed)
      : dice_(seed), queue_(make(Anticipation::kOn)) {
    root_ = &queue_->add(nullptr, nullptr);
    disk_depth_ = 1 + dice_.below(8);
    service_ns_ = 50'000 + static_cast<TimeNs>(dice_.below(400'000));
    cost_ = 4096;
    const std::uint64_t n = 2 + dice_.below(5);
    for (std::uint64_t i = 0; i < n; ++i) {
      Client& client = clients_.emplace_back();
      client.weight = dice_.weight();
      client.depth = 1U << dice_.below(6);
      client.think_ns = static_cast<TimeNs>(dice_.below(60'000));
      client.place = &queue_->add(root_, &client);
      queue_->set_weights(*client.place, client.weight, 100, 0);
      weights_ += client.weight;
    }
  }

  std::uint64_t run(std::uint64_t events) {
    for (Client& client : clients_) {
      for (unsigned i = 0; i < client.depth; ++i) arrive(client);
    }
    while (events_ < events) step();
    check_shares();
    return events_ + sleeper();
  }

 private:
  struct Client {
    std::uint32_t weight = 100;
    unsigned depth = 1;
    TimeNs think_ns = 0;
    Scheduler::Node* place = nullptr;
    unsigned waiting = 0;
    unsigned at_disk = 0;
    TimeNs idle_since = 0;
    std::uint64_t served = 0;
    std::deque<TimeNs> returns;  ///< when its thinking requests come, in order
  };

  void tell(Client& client) {
    const auto head = client.waiting > 0 ? std::optional(Head{now_, cost_}) : std::nullopt;
    queue_->set_head(*client.place, Direction::kRead, head, now_);
  }

  void arrive(Client& client) {
    take_held();
    if (++client.waiting == 1) tell(client);
  }

  void take_held() {
    const Scheduler::Held held = queue_->take_held(now_);
    if (held.node == nullptr) return;
    const auto& client = *static_cast<Client*>(held.node->owner());
    if (client.at_disk > 0) dice_.fail("idle for one whose requests are at the device", now_);
    if (now_ > client.idle_since + kGraceNs) dice_.fail("kept free for too long", now_);
    held_ns_ += held.duration_ns;
  }

  void step() {
    ++events_;
    take_held();
    if (at_disk_.size() < disk_depth_ && dispatch()) return;
    TimeNs next = at_disk_.empty() ? kNever : disk_free_ns_;
    Client* comes = nullptr;
    for (Client& client : clients_) {
      if (!client.returns.empty() && client.returns.front() < next) {
        next = client.returns.front();
        comes = &client;
      }
    }
    const Scheduler::Hold hold = queue_->hold();
    if (hold.node != nullptr && hold.until_ns < next) {
      now_ = std::max(now_, hold.until_ns);
      return;
    }
    if (next == kNever) dice_.fail("nothing will ever happen again", now_);
    now_ = std::max(now_, next);
    if (comes != nullptr) {
      comes->returns.pop_front();
      arrive(*comes);
    } else {
      complete();
    }
  }

  bool dispatch() {
    const bool some = !queue_->servable().empty();
    const auto pick = queue_->pick(DirectionMask::both(), now_);
    const Scheduler::Hold hold = queue_->hold();
    if (pick && hold.node != nullptr) dice_.fail("picked and held at once", now_);
    if (!pick && (hold.node != nullptr) != some) {
      dice_.fail(some ? "nothing picked, nobody waited for" : "held though nobody waits", now_);
    }
    if (hold.node != nullptr) check_hold(*static_cast<Client*>(hold.node->owner()), hold);
    if (!pick) return false;
    auto& client = *static_cast<Client*>(pick->node->owner());
    --client.waiting;
    ++client.at_disk;
    client.served += cost_;
    served_ += cost_;
    tell(client);
    queue_->charge(*client.place, pick->direction, cost_, now_);
    if (at_disk_.empty()) disk_free_ns_ = now_ + service_ns_;
    at_disk_.push_back(&client);
    return true;
  }

  void check_hold(const Client& client, const Scheduler::Hold& hold) {
    if (client.waiting > 0) dice_.fail("waiting for one who is there", now_);
    if (client.at_disk > 0) return;
    if (hold.until_ns > client.idle_since + kGraceNs || hold.until_ns <= now_) {
      dice_.fail("waiting for one who left long ago", now_);
    }
  }

  void complete() {
    take_held();
    Client& client = *at_disk_.front();
    at_disk_.pop_front();
    --client.at_disk;
    client.idle_since = now_;
    queue_->completed(*client.place, now_);
    client.returns.push_back(now_ + client.think_ns);
    disk_free_ns_ = now_ + service_ns_;
  }

  // A serial disk can give each his share however few requests he has, for it is kept free. Each is
  // off by the requests under way and one turn of the order, at most.
  void check_shares() {
    for (const Client& client : clients_) {
      const double ideal = double(client.weight) / static_cast<double>(weights_);
      const double has = double(client.served) / static_cast<double>(served_);
      const double slack =
          0.003 + 2.0 * static_cast<double>(disk_depth_ + 1) * double(cost_) / double(served_);
      if (std::abs(has - ideal) > slack) {
        dice_.fail("weight " + std::to_string(client.weight) + " of " + std::to_string(weights_) +
                       " with " + std::to_string(client.depth) + " requests has " +
                       std::to_string(has) + " instead of " + std::to_string(ideal),
                   now_);
      }
    }
  }

  // One that comes for a single request every 1.9 ms, and is never gone for the grace, beside one
  // that always waits. When it wants everything, what it did not want before must not be its.
  std::uint64_t sleeper() {
    Scheduler::Node& level = queue_->add(root_, nullptr);
    Scheduler::Node& sleeper = queue_->add(&level, &clients_[0]);
    Scheduler::Node& other = queue_->add(&level, &clients_[1]);
    for (Client& client : clients_) {
      queue_->set_head(*client.place, Direction::kRead, std::nullopt, now_);
    }
    while (!at_disk_.empty()) complete();
    now_ += 3 * kGraceNs;
    const auto turn = [&](bool more_of_sleeper) {
      const auto pick = queue_->pick(DirectionMask::both(), now_);
      if (!pick) now_ += 1000;  // kept free for the other one
      if (!pick) return false;
      const bool of_sleeper = pick->node == &sleeper;
      const bool more = !of_sleeper || more_of_sleeper;
      queue_->set_head(*pick->node, Direction::kRead,
                       more ? std::optional(Head{now_, cost_}) : std::nullopt, now_);
      queue_->charge(*pick->node, Direction::kRead, cost_, now_);
      queue_->completed(*pick->node, now_);
      ++events_;
      return of_sleeper;
    };
    queue_->set_head(other, Direction::kRead, Head{now_, cost_}, now_);
    for (int round = 0; round < 60; ++round) {
      queue_->set_head(sleeper, Direction::kRead, Head{now_, cost_}, now_);
      while (!turn(false)) {
      }
      now_ += 200'000;  // more than the short hold
      for (int i = 0; i < 40; ++i) {
        turn(false);
        now_ += 42'000;
      }
    }
    queue_->set_head(sleeper, Direction::kRead, Head{now_, cost_}, now_);
    int turns = 0;
    for (int i = 0; i < 400; ++i) turns += turn(true) ? 1 : 0;
    // At most what passed in the last absence (40) and 8 more ahead, then every other one.
    if (turns > 40 + 8 + (400 - 48) / 2 + 2) {
      dice_.fail("short absences added up: " + std::to_string(turns) + " turns of 400", now_);
    }
    return 0;
  }

  Dice dice_;
  std::unique_ptr<Scheduler> queue_;
  Scheduler::Node* root_ = nullptr;
  std::deque<Client> clients_;
  std::deque<Client*> at_disk_;
  TimeNs now_ = 0;
  TimeNs disk_free_ns_ = 0;
  TimeNs service_ns_ = 0;
  TimeNs held_ns_ = 0;
  std::uint64_t disk_depth_ = 1;
  std::uint64_t cost_ = 4096;
  std::uint64_t weights_ = 0;
  std::uint64_t served_ = 0;
  std::uint64_t events_ = 0;
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

std::uint64_t run_fluid_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events) {
  return FluidWorld(make, seed).run(events);
}

std::uint64_t run_client_world(const MakeScheduler& make, std::uint64_t seed,
                               std::uint64_t events) {
  return ClientWorld(make, seed).run(events);
}

std::uint64_t run_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events) {
  switch (seed % 4) {
    case 0:
      return run_fluid_world(make, seed, events);
    case 1:
      return run_client_world(make, seed, events);
    default:
      return run_random_world(make, seed, events);
  }
}

}  // namespace blkio::simulation
