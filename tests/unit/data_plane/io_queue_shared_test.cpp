// SPDX-License-Identifier: MIT
// One limit of a group on several devices: what passes in all, who goes when, and what comes and
// goes meanwhile.
#include <catch2/catch.hpp>
#include <random>

#include "shared_world.hpp"

namespace blkio::test {
namespace {

constexpr TimeNs kMs = kMillisecondNs;
constexpr GroupId kA = SharedWorld::kA;
constexpr GroupId kAA = SharedWorld::kAA;
constexpr GroupId kAB = SharedWorld::kAB;

using Client = SharedWorld::Client;

/// Each has its part of `total`, within `slack` requests.
void check_parts(const std::vector<std::uint64_t>& went, double total, double slack) {
  for (const std::uint64_t part : went) {
    CHECK(std::abs(static_cast<double>(part) - total / static_cast<double>(went.size())) <= slack);
  }
}

}  // namespace

TEST_CASE("shared: two devices take turns, and have the rate together") {
  // 10 a second from 0 on: 0, 0.1 .. 1 s are 11.
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kReadIops, 10));
  w.share(1, 0);
  Client& first = w.start({.disk = 0, .depth = 4});
  Client& second = w.start({.disk = 1, .depth = 4});
  w.run_until(kSecondNs + kMs);
  CHECK(first.went + second.went == 11);
  for (std::size_t i = 1; i < w.order.size(); ++i) CHECK(w.order[i] != w.order[i - 1]);
  CHECK(second.times.front() == 100 * kMs);
}

TEST_CASE("shared: any rate, any number of devices, late wake-ups: the rate is kept, parts equal") {
  struct Row {
    std::uint64_t iops;
    std::size_t devices;
    TimeNs late_ns;
  };
  const auto row = GENERATE(values<Row>({
      {7, 3, 0},
      {100, 2, 60'000},
      {1000, 5, 90'000},
      {20'000, 2, 0},
      {20'000, 3, 40'000},
      {200'000, 2, 30'000},  // more than one at each pass
      {200'000, 4, 0},
  }));
  CAPTURE(row.iops, row.devices, row.late_ns);
  SharedWorld w(row.devices);
  w.set(0, rules_of(Limit::kReadIops, row.iops));
  w.share_all();
  for (std::size_t i = 0; i < row.devices; ++i) w.start({.disk = i, .depth = 64});
  const TimeNs time = row.iops < 1000 ? 20 * kSecondNs : kSecondNs;
  w.run_until(time, row.late_ns);
  std::vector<std::uint64_t> went;
  std::uint64_t sum = 0;
  for (const Client& client : w.clients) {
    went.push_back(client.went);
    sum += client.went;
  }
  const double rate = static_cast<double>(row.iops) / 1e9;
  const double total = rate * static_cast<double>(time);
  CHECK(static_cast<double>(sum) >= total - 1 - rate * static_cast<double>(row.late_ns + 5'000));
  CHECK(static_cast<double>(sum) <= total + rate * 2.5e6 + 1);
  check_parts(went, total, total * 0.02 + 2);
}

TEST_CASE("shared: one at a time is enough to take turns; nobody who comes first always goes") {
  // The first device's client sends at once what it may; in each pass it is asked first.
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kReadIops, 150'000));
  w.share(1, 0);
  Client& first = w.start({.disk = 0, .depth = 1});
  Client& second = w.start({.disk = 1, .depth = 1});
  w.run_until(100 * kMs);
  CHECK(std::abs(static_cast<double>(first.went) - static_cast<double>(second.went)) <=
        0.05 * static_cast<double>(first.went));
}

TEST_CASE("shared: who stops leaves all to the others, and has his part again when he is back") {
  SharedWorld w(3);
  w.set(0, rules_of(Limit::kTotalBps, 100 * 4096));
  w.share_all();
  for (std::size_t i = 0; i < 3; ++i) w.start({.disk = i, .depth = 2});
  w.run_until(3 * kSecondNs);
  check_parts({w.clients[0].went, w.clients[1].went, w.clients[2].went}, 300, 2);
  w.clients[0].stopped = w.clients[2].stopped = true;
  w.run_until(4 * kSecondNs);  // what they had sent has gone: 2 each
  const std::uint64_t before = w.clients[1].went;
  w.run_until(6 * kSecondNs);
  CHECK(w.clients[1].went - before == 200);
  const Client& back = w.start({.disk = 2, .depth = 2});
  w.run_until(8 * kSecondNs);
  CHECK(std::abs(static_cast<double>(back.went) - 100) <= 1);
}

TEST_CASE("shared: a device that cannot use its turn costs the others nothing") {
  // It waits, is asked for nothing, and has gone least recently, for ever.
  SharedWorld w(3);
  w.set(0, rules_of(Limit::kReadIops, 1000));
  w.share_all();
  for (std::size_t i = 0; i < 3; ++i) w.start({.disk = i, .depth = 8});
  w.run_until(100 * kMs);
  const std::size_t stuck = GENERATE(0U, 1U, 2U);
  CAPTURE(stuck);
  w.disks[stuck].stuck = true;
  std::vector<std::uint64_t> before;
  for (const Client& client : w.clients) before.push_back(client.went);
  w.run_until(kSecondNs + 100 * kMs);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint64_t went = w.clients[i].went - before[i];
    CHECK(std::abs(static_cast<double>(went) - (i == stuck ? 0 : 500)) <= 5);
    sum += went;
  }
  CHECK(std::abs(static_cast<double>(sum) - 1000) <= 3);  // 2 ms at most are made up at once
  w.disks[stuck].stuck = false;
  w.run_until(kSecondNs + 400 * kMs);
  CHECK(w.clients[stuck].went > before[stuck] + 95);
}

TEST_CASE("shared: a device full of another group's requests does not hold the others up") {
  // By weight, one at a time: b's request is at the first device for good.
  SharedWorld w(2, Hierarchy::kTree, {true, 1});
  w.set(0, rules_of(Limit::kReadIops, 1000), kAA);
  w.share(1, 0, kAA);
  Client other{.disk = 0, .group = kAB};
  w.arrive(other);
  REQUIRE(w.queue(0).next(0) != nullptr);
  Client& full = w.start({.disk = 0, .group = kAA, .depth = 4});
  Client& free = w.start({.disk = 1, .group = kAA, .depth = 4});
  w.run_until(kSecondNs);
  CHECK(full.went == 0);
  CHECK(std::abs(static_cast<double>(free.went) - 1000) <= 3);
}

TEST_CASE("shared: a wider gate lets a request of one device close it for the others at once") {
  // 3 requests may go at once: the third closes for all, whoever sent it.
  SharedWorld w(2);
  DeviceRules rules = rules_of(Limit::kReadIops, 1);
  rules.of(Limit::kReadIops).burst_per_second = 3;
  w.set(0, rules);
  w.share(1, 0);
  w.start({.disk = 0, .depth = 2}).stopped = true;
  w.start({.disk = 1, .depth = 8}).stopped = true;
  // A bucket of 3, to its brim and one more: 4 (as in a throttle group of QEMU).
  CHECK(w.pass() == 4);
  CHECK(w.pass() == 0);
  CHECK(w.deadline() == kSecondNs);
}

TEST_CASE("shared: what passes by as the only one is stopped by a gate that another has closed") {
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kReadIops, 10));
  w.share(1, 0);
  Client first{.disk = 0};
  Client second{.disk = 1};
  first.stopped = second.stopped = true;
  w.arrive(first);
  w.arrive(second);  // both paths are open
  CHECK(w.pass() == 1);
  CHECK(w.deadline() == 100 * kMs);
  w.now = 100 * kMs;
  CHECK(w.pass() == 1);
}

TEST_CASE("shared: a rule set on any device is that of all, and binds all who wait") {
  SharedWorld w(3);
  w.set(0, rules_of(Limit::kReadIops, 1));
  w.share_all();
  for (std::size_t i = 0; i < 3; ++i) w.start({.disk = i, .depth = 8}).stopped = true;
  CHECK(w.pass() == 1);
  w.now = 10 * kMs;
  w.set(2, rules_of(Limit::kReadIops, 100));
  // Of the second's debt, 1 io less 10 ms, 0.99 io are left: 9.9 ms at the new rate.
  CHECK(w.deadline() == 10 * kMs + 9'900'000);
  w.set(1, rules_of(Limit::kReadIops, 0));
  CHECK(w.deadline() == kNever);
  CHECK(w.pass() == 0);
  w.set(2, {});
  CHECK(w.pass() == 23);
}

TEST_CASE("shared: a fresh start of the levels is one for all") {
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kReadIops, 1));
  w.share(1, 0);
  w.start({.disk = 0, .depth = 4}).stopped = true;
  w.start({.disk = 1, .depth = 4}).stopped = true;
  CHECK(w.pass() == 1);
  w.set(1, rules_of(Limit::kReadIops, 1), kA, Levels::kReset);
  CHECK(w.pass() == 1);
  CHECK(w.deadline() == kSecondNs);
}

TEST_CASE("shared: who joins under load takes over rules and debt, and frees nothing") {
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kReadIops, 10));
  w.set(1, rules_of(Limit::kReadIops, 1000));
  Client& first = w.start({.disk = 0, .depth = 4});
  Client& second = w.start({.disk = 1, .depth = 4});
  w.run_until(kSecondNs + 50 * kMs);
  CHECK(first.went == 11);
  CHECK(std::abs(static_cast<double>(second.went) - 1050) <= 3);
  const std::uint64_t before = second.went;
  w.share(1, 0);
  CHECK(w.deadline() == 1100 * kMs);  // the first's next one
  w.run_until(2 * kSecondNs + 50 * kMs);
  CHECK(first.went + second.went - before == 21);
  check_parts({first.went - 11, second.went - before}, 10, 1);
}

TEST_CASE("shared: who leaves is without rules at once, the others keep theirs") {
  SharedWorld w(3);
  w.set(0, rules_of(Limit::kReadIops, 10));
  w.share_all();
  for (std::size_t i = 0; i < 3; ++i) w.start({.disk = i, .depth = 4}).stopped = true;
  const std::size_t leaver = GENERATE(0U, 1U, 2U);
  CAPTURE(leaver);
  CHECK(w.pass() == 1);
  const std::uint64_t left = 4 - w.clients[leaver].went;
  w.now = 50 * kMs;
  w.queue(leaver).unshare(kA, w.now);
  CHECK(static_cast<std::uint64_t>(w.pass()) == left);
  CHECK(w.deadline() == 100 * kMs);  // no debt is forgiven
  w.now = 100 * kMs;
  CHECK(w.pass() == 1);
  w.set(leaver, rules_of(Limit::kReadIops, 0));
  w.now = 200 * kMs;
  CHECK(w.pass() == 1);
  CHECK(w.queue(leaver).token_status(kA, w.now) == std::nullopt);
}

TEST_CASE("shared: from one set into another, and to where one is already") {
  SharedWorld w(4);
  w.set(0, rules_of(Limit::kReadIops, 1));
  w.set(2, rules_of(Limit::kReadIops, 2));
  w.share(1, 0);
  w.share(3, 2);
  w.share(1, 0);
  w.share(1, 1);
  w.share(0, 1);
  w.share(1, 3);  // {0}, {1, 2, 3}
  for (std::size_t i = 0; i < 4; ++i) w.start({.disk = i, .depth = 8});
  w.run_until(3 * kSecondNs + kMs);
  CHECK(w.clients[0].went == 4);
  CHECK(w.clients[1].went + w.clients[2].went + w.clients[3].went == 7);
}

TEST_CASE("shared: a device that goes leaves the others together") {
  SharedWorld w(3);
  w.set(0, rules_of(Limit::kReadIops, 10));
  w.share_all();
  for (std::size_t i = 0; i < 3; ++i) w.start({.disk = i, .depth = 4});
  w.run_until(kSecondNs);
  w.clients[0].stopped = true;
  w.disks[0].queue.reset();
  const std::uint64_t before = w.clients[1].went + w.clients[2].went;
  w.run_until(2 * kSecondNs);
  CHECK(w.clients[1].went + w.clients[2].went - before == 10);
  w.set(2, rules_of(Limit::kReadIops, 100));
  w.run_until(3 * kSecondNs);
  CHECK(w.clients[1].went + w.clients[2].went - before == 110);
}

TEST_CASE("shared: a group that goes leaves its requests to the parent's account") {
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kReadIops, 10), kAA);
  w.share(1, 0, kAA);
  w.set(0, rules_of(Limit::kReadIops, 1000));
  w.share(1, 0);
  for (std::size_t i = 0; i < 2; ++i) w.start({.disk = i, .group = kAA, .depth = 5}).stopped = true;
  w.run_until(50 * kMs);
  for (SharedWorld::Disk& disk : w.disks) disk.queue->group_removed(kAA, kA, w.now);
  w.map.group_removed(kAA);
  w.run_until(59 * kMs);  // nine are left: at 50 ms, and each ms
  CHECK(w.clients[0].went + w.clients[1].went == 10);
}

TEST_CASE("shared: one bucket of tokens") {
  SharedWorld w(2);
  DeviceRules rules;
  rules.tokens = {5, TokenRefill{2, 100}};
  w.set(0, rules);
  w.share(1, 0);
  Client& reader = w.start({.disk = 0, .depth = 20});
  Client& writer = w.start({.disk = 1, .op = Op::kWrite, .bytes = 1 << 20, .depth = 20});
  w.run_until(kMs);
  CHECK(reader.went + writer.went == 5);
  w.run_until(kSecondNs + kMs);
  CHECK(reader.went + writer.went == 25);
  // The first five are the first's; what comes in a period goes to whose turn it is.
  CHECK(std::abs(static_cast<double>(reader.went) - 5 - 10) <= 2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(w.queue(i).token_status(kA, w.now)->io_count == 25);
}

TEST_CASE("shared: reads and writes under a total take turns as well") {
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kTotalIops, 100));
  w.share(1, 0);
  Client& reader = w.start({.disk = 0, .depth = 4});
  Client& writer = w.start({.disk = 1, .op = Op::kWrite, .depth = 4});
  w.run_until(kSecondNs);
  CHECK(reader.went + writer.went == 100);
  check_parts({reader.went, writer.went}, 100, 1);
}

TEST_CASE("shared: limits of reads and of writes are two") {
  SharedWorld w(2);
  DeviceRules rules = rules_of(Limit::kReadIops, 100);
  rules.of(Limit::kWriteIops).per_second = 40;
  w.set(0, rules);
  w.share(1, 0);
  for (std::size_t i = 0; i < 2; ++i) {
    w.start({.disk = i, .depth = 4});
    w.start({.disk = i, .op = Op::kWrite, .depth = 4});
  }
  w.run_until(kSecondNs);
  check_parts({w.clients[0].went, w.clients[2].went}, 100, 1);
  check_parts({w.clients[1].went, w.clients[3].went}, 40, 1);
}

TEST_CASE("shared: a parent's account covers its children on all devices, by their weights") {
  SharedWorld w(2, Hierarchy::kTree, {true, 64});
  w.map.set_weights(kAA, {300, {}}, {100, {}});
  for (std::size_t i = 0; i < 2; ++i) w.queue(i).weights_changed(kAA, 0);
  w.set(0, rules_of(Limit::kReadIops, 800));
  w.share(1, 0);
  w.start({.disk = 0, .group = kAA, .depth = 16});
  w.start({.disk = 0, .group = kAB, .depth = 16});
  w.start({.disk = 1, .group = kAB, .depth = 16});
  w.run_until(2 * kSecondNs);
  CHECK(std::abs(static_cast<double>(w.clients[0].went) - 600) <= 12);
  CHECK(std::abs(static_cast<double>(w.clients[1].went) - 200) <= 12);
  CHECK(std::abs(static_cast<double>(w.clients[2].went) - 800) <= 16);
}

TEST_CASE(
    "shared: nested accounts, each of other devices: both are kept, every device has a part") {
  // The group shares on 0 and 1, its child on 0, 1 and 2.
  SharedWorld w(3);
  w.set(0, rules_of(Limit::kReadIops, 900));
  w.share(1, 0);
  w.set(1, rules_of(Limit::kReadIops, 600), kAA);
  w.share(2, 1, kAA);
  w.share(0, 1, kAA);
  w.start({.disk = 0, .group = kA, .depth = 4});
  for (std::size_t i = 0; i < 3; ++i) w.start({.disk = i, .group = kAA, .depth = 4});
  w.run_until(2 * kSecondNs);
  const auto went = [&](std::size_t client) { return w.clients[client].went; };
  CHECK(std::abs(static_cast<double>(went(1) + went(2) + went(3)) - 1200) <= 5);
  CHECK(std::abs(static_cast<double>(went(0) + went(1) + went(2)) - 1800) <= 6);
  CHECK(went(2) > 200);
  CHECK(went(3) > 200);
}

TEST_CASE("shared: a device with another limit to wait for is not passed by for ever") {
  // On 0 both children are held by the group's 900 as well; on 1 there is nothing but the account.
  const std::uint64_t rate = GENERATE(100U, 600U, 5000U);
  CAPTURE(rate);
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kReadIops, 900));
  w.set(0, rules_of(Limit::kReadIops, rate), kAA);
  w.share(1, 0, kAA);
  Client& held = w.start({.disk = 0, .group = kAA, .depth = 4});
  Client& beside = w.start({.disk = 0, .group = kAB, .depth = 4});
  Client& free = w.start({.disk = 1, .group = kAA, .depth = 4});
  w.run_until(2 * kSecondNs);
  CHECK(std::abs(static_cast<double>(held.went + beside.went) - 1800) <= 5);
  CHECK(std::abs(static_cast<double>(held.went + free.went) - 2 * static_cast<double>(rate)) <= 15);
  CHECK(static_cast<double>(held.went) >= 0.1 * std::min(900.0, 2 * static_cast<double>(rate)));
}

TEST_CASE("shared: in a flat hierarchy the own tasks' alone") {
  SharedWorld w(2, Hierarchy::kFlat);
  w.set(0, rules_of(Limit::kReadIops, 10));
  w.share(1, 0);
  Client& below = w.start({.disk = 0, .group = kAA, .depth = 1});
  Client& first = w.start({.disk = 0, .depth = 4});
  Client& second = w.start({.disk = 1, .depth = 4});
  w.run_until(kSecondNs - kMs);
  CHECK(below.went > 1000);
  check_parts({first.went, second.went}, 10, 0);
}

TEST_CASE("shared: each device's report tells of its own waits, each once") {
  SharedWorld w(2);
  w.set(0, rules_of(Limit::kReadIops, 10));
  w.share(1, 0);
  w.start({.disk = 0, .depth = 2}).stopped = true;  // at 0 and 0.2 s
  w.start({.disk = 1, .depth = 2}).stopped = true;  // at 0.1 and 0.3 s
  w.run_until(250 * kMs);
  CHECK(w.report(0, Limit::kReadIops) == LimitReport{1, 200'000'000, false});
  // The first for 0.1 s; the second for 0.1 s as that one's follower, and 0.15 s since.
  CHECK(w.report(1, Limit::kReadIops) == LimitReport{1, 350'000'000, true});
  w.run_until(400 * kMs);
  CHECK(w.report(1, Limit::kReadIops) == LimitReport{2, 400'000'000, false});
  w.queue(0).reset_throttle_report(kA);
  CHECK(w.report(0, Limit::kReadIops) == LimitReport{});
  CHECK(w.report(1, Limit::kReadIops).delayed == 2);
  // Who comes begins with nothing, also at the number of one that has gone.
  w.queue(1).unshare(kA, w.now);
  CHECK(w.report(1, Limit::kReadIops) == LimitReport{});
  w.share(1, 0);
  CHECK(w.report(1, Limit::kReadIops) == LimitReport{});
}

TEST_CASE("shared: a dry run counts on each device what it would hold there") {
  SharedWorld w(2);
  DeviceRules rules = rules_of(Limit::kReadIops, 1);
  rules.dry_run = true;
  w.set(0, rules);
  w.share(1, 0);
  w.start({.disk = 0, .depth = 1}).stopped = true;
  w.start({.disk = 1, .depth = 3}).stopped = true;
  CHECK(w.pass() == 4);
  CHECK(w.report(0, Limit::kReadIops).delayed == 0);
  CHECK(w.report(1, Limit::kReadIops).delayed == 3);
}

TEST_CASE("shared: a bound on how long anybody is held is that of all") {
  SharedWorld w(2);
  DeviceRules rules = rules_of(Limit::kReadIops, 1);
  w.set(0, rules);
  w.share(1, 0);
  w.start({.disk = 0}).stopped = true;
  Client late{.disk = 1};
  late.stopped = true;
  QueuedIo& held = w.arrive(late);
  CHECK(w.pass() == 1);
  rules.max_hold_ms = 200;
  w.set(0, rules);
  CHECK(w.deadline() == 200 * kMs);
  w.now = 200 * kMs;
  CHECK(w.pass() == 0);
  CHECK(w.queue(1).overdue(w.now) == &held);
  CHECK(w.queue(1).cancel(held, w.now));
  CHECK(w.deadline() == kNever);
}

TEST_CASE("shared: nothing is lost and nothing hangs, whatever comes and goes") {
  const auto seed = GENERATE(range(1U, 9U));
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  SharedWorld w(4);
  // So that without other limits no millions of requests go.
  for (std::size_t i = 0; i < 4; ++i) w.set(i, rules_of(Limit::kTotalIops, 10'000), GroupId::kRoot);
  for (std::size_t i = 0; i < 12; ++i) {
    const Op op = below(2) == 0 ? Op::kRead : Op::kWrite;
    w.start({.disk = i % 4, .group = GroupId(2 + below(3)), .op = op, .depth = 3});
  }
  for (int step = 0; step < 400; ++step) {
    const std::size_t disk = below(4);
    const GroupId group = GroupId(2 + below(3));
    const auto limit = static_cast<Limit>(below(kLimits));
    const std::uint64_t rate = counts_bytes(limit) ? 4096 * (1 + below(2000)) : 1 + below(2000);
    switch (below(5)) {
      case 0:
        w.share(disk, below(4), group);
        break;
      case 1:
        w.queue(disk).unshare(group, w.now);
        break;
      case 2:
        w.set(disk, {}, group);
        break;
      default:
        w.set(disk, rules_of(limit, rate), group);
    }
    w.disks[below(4)].stuck = below(3) == 0;
    w.run_until(w.now + static_cast<TimeNs>(below(20'000'000)), 30'000);
  }
  for (Client& client : w.clients) client.stopped = true;
  for (SharedWorld::Disk& disk : w.disks) disk.stuck = false;
  // At most 36 requests wait, each under two more gates of 1 io or 4096 bytes a second at the
  // least.
  w.run_until(w.now + 400 * kSecondNs);
  for (std::size_t i = 0; i < 4; ++i) CHECK(w.queue(i).waiting() == 0);
  CHECK(w.deadline() == kNever);
}

}  // namespace blkio::test
