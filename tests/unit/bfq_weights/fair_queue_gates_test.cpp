// SPDX-License-Identifier: MIT
/// Reads and writes on one tag, and gates that open and close.
#include <catch2/catch.hpp>

#include "unit/bfq_weights/fair_queue_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

TEST_CASE("fair queue: both directions are charged to one tag") {
  // b does both and has half, not two thirds; within b the older head goes first.
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  tree.backlog("b", kWrite);
  CHECK(tree.shares(400) == Shares{{"aR", 200}, {"bR", 100}, {"bW", 100}});
}

TEST_CASE("fair queue: the older head first, reads first of the same age") {
  Tree tree;
  tree.add("a");
  const auto head = [&](Direction direction, TimeNs arrived) {
    tree.queue().set_head(tree.place("a"), direction, Head{arrived, 100}, 0);
  };
  const auto next = [&] { return tree.queue().pick(DirectionMask::both(), 0)->direction; };
  head(kRead, 7);
  head(kWrite, 5);
  CHECK(next() == kWrite);
  head(kWrite, 7);
  CHECK(next() == kRead);
}

TEST_CASE(
    "fair queue: while reads are closed, turns in writes cost the readers nothing and give "
    "them nothing") {
  // P's reads open for one turn in six. x reads and writes, y only reads. At the open turns both
  // may go, and these are divided 1:1 (rule 9: y's clock stood while only x could go).
  Tree tree;
  tree.add("P");
  tree.add("x", "P");
  tree.add("y", "P");
  tree.backlog("x", kRead);
  tree.backlog("x", kWrite);
  tree.backlog("y", kRead);
  Shares open;
  for (int i = 0; i < 100; ++i) {
    tree.gate("P", kRead, false);
    REQUIRE(tree.turns(5) == "xW xW xW xW xW");
    tree.gate("P", kRead, true);
    ++open[tree.turn().substr(0, 1)];
  }
  CHECK(open == Shares{{"x", 50}, {"y", 50}});
}

TEST_CASE("fair queue: nor do turns in writes that come one at a time") {
  // The same, but each write is the last one of its queue when it goes: x waits with reads only
  // when it is charged. Inside Q, whose gates are open, P has but reads to wait with, too.
  const bool picked = GENERATE(true, false);
  Tree tree;
  tree.add("Q");
  tree.add("P", "Q");
  tree.add("x", "P", 200);
  tree.add("y", "P", 100);
  tree.backlog("x", kRead);
  tree.backlog("y", kRead);
  const auto write = [&] {
    if (picked) {
      tree.arrive("x", kWrite);
      REQUIRE(tree.turn() == "xW");
    } else {
      tree.queue().charge(tree.place("x"), kWrite, 100, tree.now);
      tree.queue().completed(tree.place("x"), tree.now);
    }
  };
  for (const std::string closed : {"P", "Q"}) {
    Shares open;
    for (int i = 0; i < 300; ++i) {
      tree.gate(closed, kRead, false);
      for (int writes = 0; writes < 5; ++writes) write();
      tree.gate(closed, kRead, true);
      ++open[tree.turn()];
    }
    CHECK(open == Shares{{"xR", 200}, {"yR", 100}});
  }
}

TEST_CASE("fair queue: weights hold among those who may go: 2:1 with and without a closed gate") {
  // x 200 does both, y 100 reads. All open: 2:1. Reads of x closed: x writes, y reads, still 2:1.
  Tree tree;
  tree.add("x", "/", 200);
  tree.add("y", "/", 100);
  tree.backlog("x", kRead);
  tree.backlog("x", kWrite);
  tree.backlog("y", kRead);
  CHECK(tree.shares(300) == Shares{{"xR", 100}, {"xW", 100}, {"yR", 100}});
  tree.gate("x", kRead, false);
  CHECK(tree.shares(300) == Shares{{"xW", 200}, {"yR", 100}});
  tree.gate("x", kWrite, false);
  CHECK(tree.turns(2) == "yR yR");
  CHECK(tree.queue().waiting_behind(tree.place("x")) == DirectionMask::both());
}

TEST_CASE("fair queue: a gate that was closed gives no credit when it opens") {
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  tree.turns(10);
  tree.gate("a", kRead, false);
  CHECK(tree.shares(100) == Shares{{"bR", 100}});
  tree.gate("a", kRead, true);
  // Both start at the level's time, give or take one request.
  const Shares after = tree.shares(10);
  CHECK(after.at("aR") >= 5);
  CHECK(after.at("aR") <= 6);
}

TEST_CASE("fair queue: one that is ahead is ahead still after its gate was closed") {
  // a goes into debt by 10 requests' worth at once; a gate closing and opening must not clear it.
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.backlog("a", kRead, 1000);
  tree.backlog("b", kRead, 100);
  while (tree.turn() != "aR") {
  }
  tree.gate("a", kRead, false);
  tree.gate("a", kRead, true);
  // The b's have been one turn in front of a or none: it is theirs for 9 or 10 more.
  for (int i = 0; i < 9; ++i) CHECK(tree.turn() == "bR");
}

TEST_CASE("fair queue: what can be served travels upwards, and only as far as it matters") {
  Tree tree;
  tree.add("P");
  tree.add("Q", "P");
  tree.add("c", "Q");
  tree.add("d", "Q");
  const auto behind = [&](const char* name) {
    return tree.queue().waiting_behind(tree.place(name));
  };
  tree.backlog("c", kRead);
  CHECK(behind("/") == DirectionMask(kRead));
  tree.backlog("d", kWrite);
  CHECK(behind("/") == DirectionMask::both());
  tree.gate("Q", kWrite, false);
  CHECK(behind("Q") == DirectionMask::both());
  CHECK(behind("P") == DirectionMask(kRead));
  CHECK(tree.turns(2) == "cR cR");
  tree.gate("c", kRead, false);
  CHECK(behind("/").empty());
  CHECK(tree.turn() == "-");
  tree.gate("Q", kWrite, true);
  CHECK(tree.turns(2) == "dW dW");
  tree.gate("/", kWrite, false);
  CHECK(tree.queue().servable().empty());
  CHECK(behind("/") == DirectionMask(kWrite));
}
