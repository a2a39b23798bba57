// SPDX-License-Identifier: MIT
#include "throttle/deadlines.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <random>
#include <set>

using namespace blkio;

namespace {

struct Node;
using Deadlines = throttle::Deadlines<Node>;

struct Node {
  explicit Node(int number) : id(number) {}
  int id;
  Deadlines::Hook hook{*this, Direction::kWrite};
};

}  // namespace

TEST_CASE("an empty heap has no deadline") {
  Deadlines deadlines;
  CHECK(deadlines.empty());
  CHECK(deadlines.earliest() == kNever);
}

TEST_CASE("the earliest is on top, and says whose it is") {
  Deadlines deadlines;
  Node a(1);
  Node b(2);
  deadlines.insert(a.hook, 20);
  deadlines.insert(b.hook, 10);
  CHECK(deadlines.earliest() == 10);
  CHECK(deadlines.top().node().id == 2);
  CHECK(deadlines.top().direction() == Direction::kWrite);
  deadlines.update(b.hook, 30);
  CHECK(deadlines.top().node().id == 1);
  CHECK(deadlines.at(b.hook) == 30);
  deadlines.erase(a.hook);
  CHECK_FALSE(a.hook.armed());
  CHECK(deadlines.top().node().id == 2);
}

TEST_CASE("all can be moved at once") {
  // Numbers 0..99 at those times, moved to 100 - number: the last comes first.
  std::deque<Node> nodes;
  Deadlines deadlines;
  for (int i = 0; i < 100; ++i) deadlines.insert(nodes.emplace_back(i).hook, i);
  deadlines.replan([](const Deadlines::Hook& hook) { return 100 - hook.node().id; });
  for (int i = 99; i >= 0; --i) {
    REQUIRE(deadlines.top().node().id == i);
    REQUIRE(deadlines.earliest() == 100 - i);
    deadlines.erase(deadlines.top());
  }
}

TEST_CASE("it agrees with an ordered set over random operations") {
  // The reference is a std::set of (time, id): the heap must have the same least time and the same
  // members after each of 20,000 operations.
  std::mt19937_64 random(3);
  std::deque<Node> nodes;
  for (int i = 0; i < 100; ++i) nodes.emplace_back(i);
  Deadlines deadlines;
  std::set<std::pair<TimeNs, int>> reference;
  for (int step = 0; step < 20'000; ++step) {
    Node& node = nodes[random() % nodes.size()];
    const auto at = static_cast<TimeNs>(random() % 1000);
    if (!node.hook.armed()) {
      deadlines.insert(node.hook, at);
      reference.insert({at, node.id});
    } else {
      reference.erase({deadlines.at(node.hook), node.id});
      if (random() % 2 == 0) {
        deadlines.erase(node.hook);
      } else {
        deadlines.update(node.hook, at);
        reference.insert({at, node.id});
      }
    }
    REQUIRE(deadlines.size() == reference.size());
    REQUIRE(deadlines.earliest() == (reference.empty() ? kNever : reference.begin()->first));
    if (!deadlines.empty()) {
      REQUIRE(reference.count({deadlines.earliest(), deadlines.top().node().id}) == 1);
    }
  }
}
