// SPDX-License-Identifier: MIT
/// Shares by weight, in cost, at every level; and the order of turns.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <deque>

#include "unit/bfq_weights/fair_queue_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

TEST_CASE("fair queue: nobody waiting, nobody picked") {
  Tree tree;
  tree.add("a");
  CHECK(tree.turn() == "-");
  CHECK(tree.queue().servable().empty());
  tree.arrive("a", kWrite);
  CHECK(tree.queue().servable() == DirectionMask(kWrite));
  CHECK(tree.turn(DirectionMask(kRead)) == "-");
  CHECK(tree.turns(2) == "aW -");
}

TEST_CASE("fair queue: 1:2 in the smoothest order there is") {
  // Cost 100: a's tags are 1 apart, b's 1/2; time passes by 1/3 a turn. b finishes first (1/2 < 1);
  // at 1/3 b has not started (1/2) and a goes; at 2/3 b goes; at 1 both stand at 1: as before.
  Tree tree;
  tree.add("a", "/", 100);
  tree.add("b", "/", 200);
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  CHECK(tree.turns(9) == "bR aR bR bR aR bR bR aR bR");
}

TEST_CASE("fair queue: 1:1000 exactly, and the light one in the middle of each thousand") {
  // 10 rounds of 1001 requests. The light one starts each with the heavy one and finishes last of
  // all (1 against 1/1000), so it goes once the heavy one is ahead: within the first few turns.
  Tree tree;
  tree.add("a", "/", 1);
  tree.add("b", "/", 1000);
  tree.backlog("a", kRead, 4096);
  tree.backlog("b", kRead, 4096);
  for (int round = 0; round < 10; ++round) {
    INFO("round " << round);
    CHECK(tree.shares(1001) == Shares{{"aR", 1}, {"bR", 1000}});
  }
}

TEST_CASE("fair queue: three levels multiply") {
  // /                     P:q = 300:100; in P: own tasks 100 (leaf weight), c 200, Q 300; in Q d
  // |- P 300              100, e 400. Of 2400 turns: q 600, P 1800: tasks 300, c 600, Q 900: d 180,
  // |  |- c 200           e 720.
  // |  `- Q 300
  // |     |- d 100
  // |     `- e 400
  // `- q 100
  Tree tree;
  tree.add("P", "/", 300);
  tree.add("q", "/", 100);
  tree.add("c", "P", 200);
  tree.add("Q", "P", 300);
  tree.add("d", "Q", 100);
  tree.add("e", "Q", 400);
  for (const char* name : {"P", "q", "c", "d", "e"}) tree.backlog(name, kRead);
  CHECK(tree.shares(2400) ==
        Shares{{"PR", 300}, {"qR", 600}, {"cR", 600}, {"dR", 180}, {"eR", 720}});
}

TEST_CASE("fair queue: the root's own tasks compete by leaf weight, its weight means nothing") {
  Tree tree;
  tree.weigh("/", 1000, 50);
  tree.add("a", "/", 150);
  tree.backlog("/", kWrite);
  tree.backlog("a", kWrite);
  CHECK(tree.shares(400) == Shares{{"/W", 100}, {"aW", 300}});
}

TEST_CASE(
    "fair queue: tasks that were alone in their node have a competitor from its first child") {
  Tree tree;
  tree.add("P");
  tree.backlog("P", kRead);
  CHECK(tree.turns(3) == "PR PR PR");
  tree.add("c", "P", 300);
  tree.backlog("c", kRead);
  CHECK(tree.shares(400) == Shares{{"PR", 100}, {"cR", 300}});
  tree.dry("c", kRead);
  tree.remove("c");
  CHECK(tree.turns(2) == "PR PR");
}

TEST_CASE("fair queue: shares are of cost, whatever the sizes") {
  // At any moment the two are apart by one request of each at most: 1 MiB + 4 KiB.
  Tree tree;
  tree.add("small");
  tree.add("large");
  tree.backlog("small", kRead, 4096);
  tree.backlog("large", kWrite, 1 << 20);
  for (int i = 0; i < 10'000; ++i) {
    tree.turn();
    const auto apart = static_cast<std::int64_t>(tree.served["smallR"] - tree.served["largeW"]);
    REQUIRE(std::abs(apart) <= (1 << 20) + 4096);
  }
  CHECK(tree.served["largeW"] > 30 << 20);
}

TEST_CASE("fair queue: of equals the node's own tasks first, then in the order they were added") {
  Tree tree;
  for (const char* name : {"c", "a", "b"}) tree.add(name);
  for (const char* name : {"a", "b", "/", "c"}) tree.backlog(name, kRead);
  CHECK(tree.turns(8) == "/R cR aR bR /R cR aR bR");
}

TEST_CASE("fair queue: everybody of 100,000 has his turn in a round, the heavy ones theirs") {
  // 100 groups of weight 1000 and 99,900 of weight 1: a round is 199,900 turns.
  FairQueue queue(Anticipation::kOff);
  struct Group {
    Scheduler::Node* place;
    int turns = 0;
  };
  std::deque<Group> groups;
  Scheduler::Node& root = queue.add(nullptr, nullptr);
  for (int i = 0; i < 100'000; ++i) {
    Group& group = groups.emplace_back();
    group.place = &queue.add(&root, &group);
    queue.set_weights(*group.place, i % 1000 == 0 ? 1000 : 1, 100, 0);
    queue.set_head(*group.place, kRead, Head{0, 4096}, 0);
  }
  for (int i = 0; i < 2 * 199'900; ++i) {
    const auto pick = queue.pick(DirectionMask::both(), 0);
    ++static_cast<Group*>(pick->node->owner())->turns;
    queue.charge(*pick->node, pick->direction, 4096, 0);
  }
  int wrong = 0;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const int ideal = i % 1000 == 0 ? 2000 : 2;
    wrong += std::abs(groups[i].turns - ideal) > 1 ? 1 : 0;
  }
  CHECK(wrong == 0);
}

TEST_CASE("fair queue: the largest costs and weights stay in range") {
  Tree tree;
  tree.add("a", "/", 1);
  tree.add("b", "/", 1000);
  tree.backlog("a", kRead, bfq_weights::kMostCost);
  tree.backlog("b", kRead, bfq_weights::kMostCost);
  CHECK(tree.shares(10'010) == Shares{{"aR", 10}, {"bR", 10'000}});
}
