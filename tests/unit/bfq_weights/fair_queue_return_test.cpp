// SPDX-License-Identifier: MIT
/// Who comes, goes, comes back or has another weight.
#include <catch2/catch.hpp>

#include "unit/bfq_weights/fair_queue_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

TEST_CASE("fair queue: a weight raised or lowered counts from now on, no catching up") {
  Tree tree;
  tree.add("a", "/", 1);
  tree.add("b", "/", 1000);
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  tree.turns(700);  // a has had its one turn of this thousand
  tree.weigh("a", 1000);
  // In cost a was ahead by less than one request, so it waits for one turn of b's at most.
  const Shares up = tree.shares(100);
  CHECK(up.at("aR") >= 49);
  CHECK(up.at("aR") <= 51);
  tree.weigh("a", 1);
  const Shares down = tree.shares(2002);
  CHECK(down.at("aR") >= 1);
  CHECK(down.at("aR") <= 3);
}

TEST_CASE("fair queue: back after a long absence there is no credit") {
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  tree.turns(10);
  tree.dry("a", kRead);
  for (int i = 0; i < 100; ++i) {
    tree.now += 100 * kUs;
    CHECK(tree.turn() == "bR");
  }
  tree.backlog("a", kRead);
  const Shares after = tree.shares(10);
  CHECK(after.at("aR") >= 5);
  CHECK(after.at("aR") <= 6);
}

TEST_CASE("fair queue: back within the grace the tag is kept") {
  // b has 4 turns while a is away for 1 ms, so a, who kept its place and its part of the sum, has 4
  // turns to catch up, one more or less for where they stood.
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  tree.turns(10);
  tree.dry("a", kRead);
  CHECK(tree.turns(4) == "bR bR bR bR");
  tree.now += kMs;
  tree.backlog("a", kRead);
  const Shares after = tree.shares(4);
  CHECK(after.at("aR") >= 2);
  const Shares total = tree.shares(100);
  CHECK(total.at("aR") >= 49);
  CHECK(total.at("aR") <= 52);
}

TEST_CASE("fair queue: many short absences do not add up to credit") {
  // a comes for one request every 1.9 ms; b has 50 in between. 100 such rounds: 5000 requests a did
  // not want. When it wants them all, it has what passed in the last absence and at most 8 more.
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.backlog("b", kRead);
  for (int round = 0; round < 100; ++round) {
    tree.arrive("a");
    while (tree.turn() != "aR") {
    }
    tree.turns(50);
    tree.now += 1'900 * kUs;
  }
  tree.backlog("a", kRead);
  // 50 + 8 of lead, then 1:1: of 400 turns at most 58 + 171 are a's.
  CHECK(tree.shares(400).at("aR") <= 230);
}

TEST_CASE("fair queue: a group can go when nothing waits in it, and the others go on") {
  Tree tree;
  tree.add("a");
  tree.add("b");
  tree.stays_at_device = true;
  tree.arrive("a");
  tree.backlog("b", kRead);
  CHECK(tree.turns(2) == "aR bR");
  tree.remove("a");
  tree.complete("/");  // a's request ends in the parent's name
  CHECK(tree.turns(2) == "bR bR");
  tree.add("c");
  tree.backlog("c", kRead);
  const Shares after = tree.shares(100);
  CHECK(after.at("cR") >= 49);
  CHECK(after.at("cR") <= 51);
}

TEST_CASE("fair queue: what passes while nothing waits is charged as if it had waited") {
  // a's requests find nobody and pass: 10 of them. Then both are backlogged; a is ahead by its last
  // one at most, so of 100 turns it has 49 to 51.
  Tree tree;
  tree.add("a");
  tree.add("b");
  for (int i = 0; i < 10; ++i) {
    tree.queue().charge(tree.place("a"), kRead, 100, tree.now);
    tree.complete("a");
    tree.now += 10 * kUs;
  }
  tree.backlog("a", kRead);
  tree.backlog("b", kRead);
  const Shares after = tree.shares(100);
  CHECK(after.at("aR") >= 49);
  CHECK(after.at("aR") <= 51);
}
