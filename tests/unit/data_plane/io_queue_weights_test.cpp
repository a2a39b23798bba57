// SPDX-License-Identifier: MIT
// Where weights, limits and the depth of the device meet.
#include <algorithm>
#include <catch2/catch.hpp>

#include "queue_world.hpp"

namespace blkio::test {
namespace {

constexpr unsigned kDeep = 4096;

struct Weighted : World {
  explicit Weighted(unsigned depth = kDeep) : World(Hierarchy::kTree, true, {true, depth}) {}

  void backlog(GroupId group, int requests, TimeNs now = 0) {
    for (int i = 0; i < requests; ++i) arrive(group, now);
  }
  /// The next one, by who pays; GroupId{}: none.
  GroupId go_one(TimeNs now) {
    last = queue.next(now);
    return last == nullptr ? GroupId{} : last->group;
  }
  /// How many of the next `picks` are the group's.
  int share(GroupId group, int picks, TimeNs now) {
    int own = 0;
    for (int i = 0; i < picks; ++i) own += go_one(now) == group ? 1 : 0;
    return own;
  }

  QueuedIo* last = nullptr;
};

}  // namespace

TEST_CASE("weights: equal requests go in proportion") {
  Weighted w;
  w.set_weights(kA, 100, 100, 0);
  w.set_weights(kB, 200, 100, 0);
  w.backlog(kA, 40);
  w.backlog(kB, 40);
  // Never ahead or behind by more than a request: 10 of 30, give or take one.
  const int own = w.share(kA, 30, 1);
  CHECK(std::abs(own - 10) <= 1);
}

TEST_CASE("weights: a group's own tasks compete with its children by the leaf weight") {
  Weighted w;
  w.set_weights(kA, 100, 300, 0);
  w.set_weights(kAA, 100, 100, 0);
  w.backlog(kA, 40);
  w.backlog(kAA, 40);
  CHECK(std::abs(w.share(kA, 20, 1) - 15) <= 1);
}

TEST_CASE("weights: a large request costs its bytes and as much as 16 KiB") {
  Weighted w;
  for (int i = 0; i < 200; ++i) w.arrive(kA, 0, Op::kRead, 4096);
  for (int i = 0; i < 20; ++i) w.arrive(kB, 0, Op::kRead, 64 * 1024);
  // 20 KiB against 80 KiB: four to one.
  CHECK(std::abs(w.share(kB, 50, 1) - 10) <= 1);
}

TEST_CASE("weights: a change binds at once and nobody makes up for before") {
  Weighted w;
  w.backlog(kA, 100);
  w.backlog(kB, 100);
  CHECK(std::abs(w.share(kA, 20, 1) - 10) <= 1);
  w.set_weights(kA, 300, 100, 2);
  CHECK(std::abs(w.share(kA, 40, 3) - 30) <= 2);
}

TEST_CASE("weights: those of the device count, and are known before the group comes") {
  World w(Hierarchy::kTree, true, {true, kDeep});
  w.map.set_weights(kA, {100, {{kDevice, 400}, {DeviceNumber{8, 0}, 1}}}, {});
  for (int i = 0; i < 40; ++i) {
    w.arrive(kA, 0);
    w.arrive(kB, 0);
  }
  int own = 0;
  for (int i = 0; i < 25; ++i) own += w.queue.next(1)->group == kA ? 1 : 0;
  CHECK(std::abs(own - 20) <= 1);
}

TEST_CASE("weights: inside a limit the children share what it lets through") {
  World w(Hierarchy::kTree, true, {true, kDeep});
  w.set_weights(kAA, 300, 100, 0);
  // a's own tasks against aa, 100 to 300, beneath 1000 ios a second; b is free.
  w.queue.set_limit(kA, Limit::kReadIops, 1000, 0);
  for (int i = 0; i < 200; ++i) {
    w.arrive(kA, 0);
    w.arrive(kAA, 0);
  }
  int own = 0;
  int child = 0;
  for (TimeNs now = 0; now <= 100 * kMillisecondNs; now += kMillisecondNs / 4) {
    for (const GroupId group : w.go(now)) (group == kAA ? child : own) += 1;
  }
  CHECK(std::abs(own + child - 101) <= 3);  // the first at once, then one each ms; 2 ms at once
  CHECK(std::abs(child - 3 * own) <= 6);
}

TEST_CASE("depth: competing groups wait for a place at the device") {
  Weighted w(2);
  w.backlog(kA, 3);
  w.backlog(kB, 3);
  w.go_one(0);
  QueuedIo* first = w.last;
  w.go_one(0);
  CHECK(w.go_one(0) == GroupId{});
  w.queue.complete(*first, 1);
  CHECK(w.go_one(1) != GroupId{});
  CHECK(w.go_one(1) == GroupId{});
}

TEST_CASE("depth: one group alone has all there is") {
  Weighted w(2);
  w.backlog(kA, 10);
  CHECK(w.go(0).size() == 10);
}

TEST_CASE("depth: who leaves without the device makes room for the others") {
  Weighted w(1);
  w.backlog(kA, 4);
  QueuedIo& other = w.arrive(kB, 0);
  w.go_one(0);
  CHECK(w.go_one(0) == GroupId{});
  // Whoever is left: either a's first is at the device, or b's only one.
  if (w.last == nullptr && other.stage == data_plane::IoStage::kWaiting) {
    REQUIRE(w.queue.cancel(other, 1));
    CHECK(w.go(3 * kMillisecondNs).size() == 3);  // nobody waits for b that long
  }
}

TEST_CASE("hold: the device is kept free for a group that is behind its share") {
  Weighted w(1);
  w.set_weights(kA, 1000, 100, 0);
  w.set_weights(kB, 1, 100, 0);
  w.backlog(kB, 10);
  TimeNs now = 0;
  int light = 0;
  // a sends one, thinks for 50 us when it is done, and sends the next; b always waits.
  w.arrive(kA, now);
  for (int round = 0; round < 100; ++round) {
    GroupId went = w.go_one(now);
    while (went == kB) {
      ++light;
      QueuedIo* served = w.last;
      now += 400'000;
      w.queue.complete(*served, now);
      went = w.go_one(now);
    }
    REQUIRE(went == kA);
    QueuedIo* served = w.last;
    now += 400'000;
    w.queue.complete(*served, now);
    w.go_one(now);  // looks, and may keep the device free
    if (w.last != nullptr) {
      ++light;
      w.queue.complete(*w.last, now + 400'000);
      now += 400'000;
    } else if (w.queue.waiting() != 0) {
      CHECK(w.queue.deadline() <= now + 2 * kMillisecondNs);
    }
    now += 50'000;
    w.arrive(kA, now);
  }
  // Its share is one in a thousand; the first may come before anybody knows a.
  CHECK(light <= 2);
  const auto idle = w.a.find(kDevice)->scheduling.scalar(Scalar::kIdleNs);
  CHECK(idle >= 90 * 50'000U);
  CHECK(idle <= 100 * 50'000U);
}

TEST_CASE("scheduler: switching keeps every request, and each completes once") {
  Weighted w;
  w.set_weights(kA, 900, 100, 0);
  w.backlog(kA, 20);
  w.backlog(kB, 20);
  std::vector<QueuedIo*> at_device;
  for (int i = 0; i < 5; ++i) at_device.push_back(w.queue.next(0));
  w.queue.set_weighted(false, 1);
  int own = 0;
  for (int i = 0; i < 10; ++i) {
    at_device.push_back(w.queue.next(1));
    own += at_device.back()->group == kA ? 1 : 0;
  }
  CHECK(own == 5);  // in turns
  w.queue.set_weighted(true, 2);
  std::size_t completed = 0;
  for (TimeNs now = 2; completed < 40 && now < kSecondNs; now += kMillisecondNs) {
    while (QueuedIo* io = w.queue.next(now)) at_device.push_back(io);
    if (completed < at_device.size()) w.queue.complete(*at_device[completed++], now);
  }
  CHECK(at_device.size() == 40);
  CHECK(completed == 40);
  CHECK(w.queue.waiting() == 0);
  CHECK(w.go(4).empty());
}

TEST_CASE("scheduler: switching keeps what limits hold") {
  Weighted w;
  w.queue.set_limit(kA, Limit::kReadIops, 100, 0);
  w.backlog(kA, 5);
  w.backlog(kB, 1);
  CHECK(w.go(0).size() == 2);  // one of each
  w.queue.set_weighted(false, 1);
  CHECK(w.go(1).empty());
  const TimeNs opens = w.queue.deadline();
  CHECK(opens <= 10 * kMillisecondNs);
  CHECK(w.go(opens) == std::vector{kA});
}

}  // namespace blkio::test
