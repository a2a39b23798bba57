// SPDX-License-Identifier: MIT
#include "bfq_weights/round_robin.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <map>
#include <random>
#include <string>

using namespace blkio;
using bfq_weights::DirectionMask;
using bfq_weights::RoundRobin;
using bfq_weights::Scheduler;

namespace {

constexpr Direction kRead = Direction::kRead;
constexpr Direction kWrite = Direction::kWrite;

/// A tree of named groups whose queues never run dry, unless said.
class Tree {
 public:
  Tree() { add("/", nullptr); }

  void add(const std::string& name, const char* parent = "/") {
    Group& group = groups_[name];
    group.name = name;
    group.place = &robin_.add(parent == nullptr ? nullptr : groups_.at(parent).place, &group);
  }
  void remove(const std::string& name) {
    robin_.remove(*groups_.at(name).place);
    groups_.erase(name);
  }
  void backlog(const std::string& name, Direction direction, bool some = true) {
    const auto head = some ? std::optional(bfq_weights::Head{}) : std::nullopt;
    robin_.set_head(*groups_.at(name).place, direction, head, 0);
  }
  void gate(const std::string& name, Direction direction, bool open) {
    robin_.set_gate(*groups_.at(name).place, direction, open, 0);
  }

  /// The next n turns: "aR bW ..."; "-" where nobody can go.
  std::string turns(int n, DirectionMask allowed = DirectionMask::both()) {
    std::string all;
    for (int i = 0; i < n; ++i) all += (i > 0 ? " " : "") + turn(allowed);
    return all;
  }
  std::string turn(DirectionMask allowed = DirectionMask::both()) {
    const auto pick = robin_.pick(allowed, 0);
    if (!pick) return "-";
    return static_cast<Group*>(pick->node->owner())->name + (pick->direction == kRead ? "R" : "W");
  }
  std::map<std::string, int> shares(int turns) {
    std::map<std::string, int> count;
    for (int i = 0; i < turns; ++i) ++count[turn()];
    return count;
  }
  RoundRobin& robin() { return robin_; }
  Scheduler::Node& place(const std::string& name) { return *groups_.at(name).place; }

 private:
  struct Group {
    std::string name;
    Scheduler::Node* place = nullptr;
  };
  RoundRobin robin_;
  std::map<std::string, Group> groups_;
};

}  // namespace

TEST_CASE("groups take turns, the root's own tasks as one of them") {
  Tree tree;
  tree.add("a");
  tree.add("b");
  for (const char* name : {"a", "b", "/"}) tree.backlog(name, kRead);
  CHECK(tree.turns(6) == "aR bR /R aR bR /R");
}

TEST_CASE("nobody waiting, nobody picked") {
  Tree tree;
  tree.add("a");
  CHECK(tree.turn() == "-");
  CHECK(tree.robin().servable().empty());
  tree.backlog("a", kWrite);
  CHECK(tree.robin().servable() == DirectionMask(kWrite));
  CHECK(tree.turn(DirectionMask(kRead)) == "-");
  CHECK(tree.turn(DirectionMask(kWrite)) == "aW");
  tree.backlog("a", kWrite, false);
  CHECK(tree.turn() == "-");
}

TEST_CASE("each level divides equally") {
  // /          P competes with q: half each. In P its own tasks, c1 and c2 have a third of that:
  // |- P       of 60 turns q 30, P itself 10, c1 10, c2 10.
  // |  |- c1
  // |  `- c2
  // `- q
  Tree tree;
  tree.add("P");
  tree.add("q");
  tree.add("c1", "P");
  tree.add("c2", "P");
  for (const char* name : {"P", "q", "c1", "c2"}) tree.backlog(name, kRead);
  CHECK(tree.shares(60) ==
        std::map<std::string, int>{{"PR", 10}, {"qR", 30}, {"c1R", 10}, {"c2R", 10}});
}

TEST_CASE("reads and writes of one group alternate, and are one turn of the group's") {
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  tree.backlog("b", kWrite);
  CHECK(tree.turns(6) == "aR bR aR bW aR bR");
}

TEST_CASE("a closed gate takes the group out in that direction only") {
  Tree tree;
  tree.add("a");
  tree.add("b");
  for (const char* name : {"a", "b"}) {
    tree.backlog(name, kRead);
    tree.backlog(name, kWrite);
  }
  tree.gate("a", kRead, false);
  CHECK(tree.turns(4) == "aW bR aW bW");
  tree.gate("a", kWrite, false);
  CHECK(tree.turns(3) == "bR bW bR");
  CHECK(tree.robin().waiting_behind(tree.place("a")) == DirectionMask::both());
  tree.gate("a", kRead, true);
  CHECK(tree.turns(3) == "bW aR bR");
}

TEST_CASE("an inner gate covers everything below and nothing beside it") {
  Tree tree;
  tree.add("P");
  tree.add("c", "P");
  tree.add("q");
  tree.backlog("P", kWrite);
  tree.backlog("c", kWrite);
  tree.gate("P", kWrite, false);
  CHECK(tree.turn() == "-");
  tree.backlog("q", kWrite);
  CHECK(tree.turns(2) == "qW qW");
  tree.gate("P", kWrite, true);
  CHECK(tree.turns(4) == "qW PW qW cW");
}

TEST_CASE("turns within a closed subtree are kept for when it opens") {
  // P opens for one request at a time, as a limit does it: its children must still alternate.
  Tree tree;
  tree.add("P");
  tree.add("c1", "P");
  tree.add("c2", "P");
  tree.backlog("c1", kRead);
  tree.backlog("c2", kRead);
  std::string all;
  for (int i = 0; i < 4; ++i) {
    tree.gate("P", kRead, true);
    all += tree.turn() + " ";
    tree.gate("P", kRead, false);
  }
  CHECK(all == "c1R c2R c1R c2R ");
}

TEST_CASE("turns in one direction cost none in another that was closed") {
  // P's reads open rarely, its writes always. x does both, y only reads. x's many writes must not
  // leave every read to y, nor y's reads be crowded out by x.
  Tree tree;
  tree.add("P");
  tree.add("x", "P");
  tree.add("y", "P");
  tree.backlog("x", kRead);
  tree.backlog("x", kWrite);
  tree.backlog("y", kRead);
  std::map<std::string, int> reads;
  for (int i = 0; i < 100; ++i) {
    tree.gate("P", kRead, false);
    CHECK(tree.turns(5) == "xW xW xW xW xW");
    tree.gate("P", kRead, true);
    std::string who = tree.turn();
    if (who == "xW") who = tree.turn();
    ++reads[who];
  }
  CHECK(reads["xR"] == 50);
  CHECK(reads["yR"] == 50);
}

TEST_CASE("a node can go when nothing waits in it, and its siblings go on") {
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  CHECK(tree.turn() == "aR");
  tree.backlog("a", kRead, false);
  tree.gate("b", kRead, false);
  tree.remove("a");
  CHECK(tree.turn() == "-");
  tree.gate("b", kRead, true);
  CHECK(tree.turns(2) == "bR bR");
}

TEST_CASE("random trees: picks are servable, and everyone servable is picked within a bound") {
  // With b contenders at the widest level and depth d a node waits at most for all the others at
  // each of its levels: below (b+1)^d turns; with two directions at most twice that.
  std::mt19937_64 random(11);
  for (int round = 0; round < 20; ++round) {
    RoundRobin robin;
    struct Group {
      Group* parent;
      Scheduler::Node* place;
      std::array<bool, 2> waiting{};
      std::array<bool, 2> open{true, true};
      std::array<int, 2> passed_over{};
      bool can_go(std::size_t d) const {
        for (const Group* g = this; g != nullptr; g = g->parent) {
          if (!g->open[d]) return false;
        }
        return waiting[d];
      }
    };
    std::deque<Group> groups;
    for (int i = 0; i < 13; ++i) {  // three children each: depth 2 below the root
      Group* parent = i == 0 ? nullptr : &groups[static_cast<std::size_t>((i - 1) / 3)];
      Group& group = groups.emplace_back(Group{parent, nullptr});
      group.place = &robin.add(parent == nullptr ? nullptr : parent->place, &group);
    }
    for (int step = 0; step < 3000; ++step) {
      Group& group = groups[random() % groups.size()];
      const std::size_t d = random() % 2;
      if (step % 400 < 100) {  // change things for a while, then let them run
        if (random() % 2 == 0) {
          group.waiting[d] = !group.waiting[d];
          const auto head = group.waiting[d] ? std::optional(bfq_weights::Head{}) : std::nullopt;
          robin.set_head(*group.place, static_cast<Direction>(d), head, 0);
        } else {
          group.open[d] = !group.open[d];
          robin.set_gate(*group.place, static_cast<Direction>(d), group.open[d], 0);
        }
        for (Group& g : groups) g.passed_over = {};
      }
      const auto pick = robin.pick(DirectionMask::both(), 0);
      bool somebody = false;
      for (Group& g : groups) somebody = somebody || g.can_go(0) || g.can_go(1);
      REQUIRE(pick.has_value() == somebody);
      if (!pick) continue;
      auto& picked = *static_cast<Group*>(pick->node->owner());
      const auto direction = static_cast<std::size_t>(pick->direction);
      REQUIRE(picked.can_go(direction));
      for (Group& g : groups) {
        for (std::size_t i = 0; i < 2; ++i) {
          if (g.can_go(i)) REQUIRE(++g.passed_over[i] <= 2 * 4 * 4 * 4);
        }
      }
      picked.passed_over[direction] = 0;
    }
  }
}
