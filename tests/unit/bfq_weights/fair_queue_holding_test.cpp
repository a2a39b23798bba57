// SPDX-License-Identifier: MIT
/// The device kept free for somebody who is expected back.
#include <catch2/catch.hpp>

#include "unit/bfq_weights/fair_queue_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

TEST_CASE("fair queue: 500:100 with one request each, the device kept free for the heavier") {
  // Both have one request at a time. Without holding they alternate. With it: five of a's to one.
  Tree tree(Anticipation::kOn);
  tree.add("a", "/", 500);
  tree.add("b", "/", 100);
  tree.arrive("a");
  tree.arrive("b");
  Shares count;
  for (int i = 0; i < 600;) {
    const std::string who = tree.turn();
    tree.now += 20 * kUs;
    if (who == "-") {
      REQUIRE(tree.held_for() == "a");
      tree.arrive("a");
      continue;
    }
    ++i;
    ++count[who];
    if (who == "bR") tree.arrive("b");
  }
  CHECK(count.at("bR") >= 99);
  CHECK(count.at("bR") <= 101);
}

TEST_CASE("fair queue: one whose request is at the device is waited for until it ends") {
  Tree tree(Anticipation::kOn);
  tree.add("a", "/", 1000);
  tree.add("b", "/", 1);
  tree.stays_at_device = true;
  tree.arrive("a");
  tree.backlog("b", kRead);
  CHECK(tree.turns(3) == "aR bR -");  // b is ahead by a thousand requests of a's now
  CHECK(tree.held_for() == "a");
  CHECK(tree.queue().hold().until_ns == bfq_weights::kBusyHoldNs);
  tree.now = 10 * kMs;
  CHECK(tree.turn() == "-");
  CHECK(tree.queue().take_held(tree.now).node == nullptr);  // the device is not idle
  tree.complete("a");
  CHECK(tree.turn() == "-");
  CHECK(tree.queue().hold().until_ns == 12 * kMs);
  tree.now = 11 * kMs;
  const Scheduler::Held held = tree.queue().take_held(tree.now);
  CHECK(held.node == &tree.place("a"));
  CHECK(held.duration_ns == kMs);
  tree.now = 12 * kMs;
  CHECK(tree.turn() == "bR");
}

TEST_CASE("fair queue: a request that hangs at the device does not hang the others") {
  Tree tree(Anticipation::kOn);
  tree.add("a", "/", 1000);
  tree.add("b", "/", 1);
  tree.stays_at_device = true;
  tree.arrive("a");
  tree.backlog("b", kRead);
  CHECK(tree.turns(3) == "aR bR -");
  tree.now = bfq_weights::kBusyHoldNs - 1;
  CHECK(tree.turn() == "-");
  tree.now = bfq_weights::kBusyHoldNs;
  CHECK(tree.turns(3) == "bR bR bR");
  CHECK(tree.held_for() == "-");
}

TEST_CASE("fair queue: no more than 0.1 ms beside one that could go without getting ahead") {
  // a has run for a while with short pauses and is behind b when its last request ends.
  Tree tree(Anticipation::kOn);
  tree.add("a", "/", 1000);
  tree.add("b", "/", 100);
  tree.add("c", "/", 100);
  tree.backlog("b", kRead);
  tree.arrive("a");
  CHECK(tree.turn() == "aR");
  tree.now += 20 * kUs;
  tree.arrive("a");
  CHECK(tree.turn() == "bR");
  CHECK(tree.turn() == "aR");
  tree.backlog("c", kRead);  // comes in at the level's time: not ahead
  CHECK(tree.turn() == "-");
  CHECK(tree.held_for() == "a");
  CHECK(tree.queue().hold().until_ns == tree.now + 100 * kUs);
  tree.now += 100 * kUs;
  CHECK(tree.turn() == "cR");
}

TEST_CASE("fair queue: nobody is waited for when nobody else wants the device") {
  Tree tree(Anticipation::kOn);
  tree.add("a");
  tree.arrive("a");
  CHECK(tree.turns(2) == "aR -");
  CHECK(tree.held_for() == "-");
}

TEST_CASE("fair queue: nobody is waited for behind a closed gate") {
  Tree tree(Anticipation::kOn);
  tree.add("P", "/", 1000);
  tree.add("a", "P", 1000);
  tree.add("b", "/", 1);
  tree.arrive("a");
  tree.backlog("b", kRead);
  CHECK(tree.turns(3) == "aR bR -");
  SECTION("its own") {
    tree.gate("a", kRead, false);
  }
  SECTION("one above") {
    tree.gate("P", kRead, false);
  }
  CHECK(tree.turns(2) == "bR bR");
}

TEST_CASE("fair queue: without anticipation nobody is waited for") {
  Tree tree(Anticipation::kOff);
  tree.add("a", "/", 1000);
  tree.add("b", "/", 1);
  tree.arrive("a");
  tree.backlog("b", kRead);
  CHECK(tree.turns(4) == "aR bR bR bR");
  CHECK_FALSE(tree.queue().awaits_somebody());
}

TEST_CASE(
    "fair queue: who fails to come back six times in a row is not waited for, until he does") {
  // Each miss counts 4 ms in a mean of the last eight or so: 0.5, 0.9, 1.3, 1.7, 1.9, 2.2 ms.
  Tree tree(Anticipation::kOn);
  tree.add("a", "/", 1000);
  tree.add("b", "/", 1);
  tree.backlog("b", kRead);
  const auto held_once = [&] {
    tree.arrive("a");
    while (tree.turn() != "aR") tree.now += 3 * kMs;
    bool held = false;
    for (int i = 0; i < 3; ++i) held = tree.turn() == "-" || held;
    tree.now += 3 * kMs;
    tree.turn();
    return held;
  };
  for (int i = 0; i < 6; ++i) CHECK(held_once());
  CHECK_FALSE(held_once());
  for (int i = 0; i < 8; ++i) {
    tree.arrive("a");
    while (tree.turn() != "aR") {
    }
    tree.now += 10 * kUs;
  }
  tree.now += 3 * kMs;
  CHECK(held_once());
}

TEST_CASE("fair queue: an absent group deep in the tree is the one that is waited for") {
  Tree tree(Anticipation::kOn);
  tree.add("P", "/", 1000);
  tree.add("a", "P", 100);
  tree.add("b", "/", 1);
  tree.arrive("a");
  tree.backlog("b", kRead);
  CHECK(tree.turns(3) == "aR bR -");
  CHECK(tree.held_for() == "a");
}

TEST_CASE("fair queue: a group that writes is waited for among those that read") {
  // The root has nothing to write while a is away; it is waited for all the same.
  Tree tree(Anticipation::kOn);
  tree.add("a", "/", 1000);
  tree.add("b", "/", 1);
  tree.backlog("b", kRead);
  tree.arrive("a", kWrite);
  CHECK(tree.turns(3) == "aW bR -");
  CHECK(tree.held_for() == "a");
}
