// SPDX-License-Identifier: MIT
/// Limits that several groups share, bursts, tokens and bounds, with clients and a disk.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "rules_of.hpp"
#include "simulation/simulator.hpp"

using namespace blkio;
using simulation::Client;
using simulation::Options;
using simulation::Simulator;
using simulation::Workload;
using test::rules_of;

namespace {

constexpr TimeNs kUs = 1000;
constexpr TimeNs kMs = kMillisecondNs;

Options world_of(bool weighted) {
  Options options;
  options.lateness = {25 * kUs, 100 * kUs, 50 * kMs, 1'700 * kUs};
  options.sharing.weighted = weighted;
  return options;
}

Workload flood(GroupId group, Op op, std::uint64_t bytes = 512, int depth = 8) {
  Workload workload;
  workload.group = group;
  workload.op = op;
  workload.bytes = bytes;
  workload.depth = depth;
  return workload;
}

int completed_within(const Client& client, TimeNs from, TimeNs to) {
  return static_cast<int>(std::count_if(client.completed.begin(), client.completed.end(),
                                        [&](TimeNs when) { return when > from && when <= to; }));
}

/// A group with n members below it, of which the first `busy` are under load for 5 s.
struct Members {
  Members(bool weighted, int n, int busy, const DeviceRules& rules, Limit limit)
      : world(world_of(weighted)) {
    const GroupId shared = world.add_group();
    world.set_rules(shared, rules);
    for (int i = 0; i < n; ++i) {
      const GroupId member = world.add_group(shared);
      if (i >= busy) continue;
      const bool writes = is_total(limit) ? i % 2 == 1 : !covers(limit, Direction::kRead);
      clients.push_back(&world.start(flood(member, writes ? Op::kWrite : Op::kRead)));
    }
    world.run_until(5 * kSecondNs);
  }

  Simulator world;
  std::vector<const Client*> clients;
};

}  // namespace

TEST_CASE("Q25: members of a limited group have equal parts of it, whichever limit it is") {
  // QEMU's own test (iotest 093): 4096 bytes or 10 ios a second and member, requests of 512 bytes,
  // 5 s. That is 40 or 50 requests each; strict, the bucket of a tenth of a second and one more are
  // on top of it, shared. Within 10 % of the equal part, and one request.
  for (const bool weighted : {false, true}) {
    for (const bool strict : {false, true}) {
      for (int i = 0; i < kLimits; ++i) {
        for (int n = 1; n <= 3; ++n) {
          const auto limit = static_cast<Limit>(i);
          const int each = counts_bytes(limit) ? 4096 : 10;
          DeviceRules rules = rules_of(limit, static_cast<std::uint64_t>(each * n));
          rules.qemu_strict = strict;
          const Members members(weighted, n, n, rules, limit);
          const double part = 5.0 * (counts_bytes(limit) ? 8 : 10);
          for (const Client* client : members.clients) {
            INFO("limit " << i << ", members " << n << ", weighted " << weighted << ", strict "
                          << strict);
            CHECK(std::abs(static_cast<double>(client->completed.size()) - part) <= 0.1 * part + 1);
          }
        }
      }
    }
  }
}

TEST_CASE("Q26: the only busy member has the whole limit") {
  for (const bool weighted : {false, true}) {
    for (int i = 0; i < kLimits; ++i) {
      const auto limit = static_cast<Limit>(i);
      const Members members(weighted, 3, 1, rules_of(limit, counts_bytes(limit) ? 12'288 : 30),
                            limit);
      const double whole = 5.0 * (counts_bytes(limit) ? 24 : 30);
      CHECK(std::abs(static_cast<double>(members.clients[0]->completed.size()) - whole) <= 1);
    }
  }
}

TEST_CASE("tokens of a group are shared by its members, equally") {
  DeviceRules rules;
  rules.tokens = {30, TokenRefill{30, 1000, false}};
  const Members members(true, 3, 3, rules, Limit::kTotalIops);
  // 30 at once and 30 at each whole second up to the fifth: 50 each; the last 30 may still be on
  // their way.
  for (const Client* client : members.clients) {
    CHECK(std::abs(static_cast<int>(client->completed.size()) - 50) <= 11);
  }
}

TEST_CASE("R3: the timer is set once for each request that goes, and once more") {
  const auto arms_and_dispatches = [](const DeviceRules& rules, const Workload& load, int members) {
    Options options;  // wake-ups in time: a late one may be the end of several waits
    Simulator world(options);
    const GroupId shared = world.add_group();
    world.set_rules(shared, rules);
    for (int i = 0; i < members; ++i) {
      Workload own = load;
      own.group = members == 1 ? shared : world.add_group(shared);
      world.start(own);
    }
    world.run_until(20 * kSecondNs);
    return std::pair{world.arms(), world.auditor().went()};
  };
  DeviceRules tokens;
  tokens.tokens = {1, TokenRefill{1, 1000, false}};
  DeviceRules strict = rules_of(Limit::kReadBps, 1 << 20);
  strict.qemu_strict = true;
  for (const DeviceRules& rules :
       {rules_of(Limit::kReadBps, 1 << 20), rules_of(Limit::kReadIops, 1),
        rules_of(Limit::kReadIops, 333), rules_of(Limit::kTotalIops, 50, 100, 5), strict, tokens}) {
    for (const int members : {1, 3}) {
      for (const std::uint64_t bytes : {512, 262'144, 1'048'576}) {
        const auto [arms, dispatches] =
            arms_and_dispatches(rules, flood(GroupId::kRoot, Op::kRead, bytes), members);
        INFO("members " << members << ", bytes " << bytes);
        CHECK(dispatches > 0);
        CHECK(arms <= dispatches + 1);
      }
    }
  }
}

TEST_CASE("a burst lasts as long as it may, and the rate that follows is even") {
  // 100/s with bursts of 500 for 4 s: 500/s until n - 100 t = 2000, n = 50 + 500 t: 1950/400 =
  // 4.875 s; then one each 10 ms, though the wake-ups are late.
  Simulator world(world_of(false));
  const GroupId group = world.add_group();
  world.set_rules(group, rules_of(Limit::kReadIops, 100, 500, 4));
  const Client& client = world.start(flood(group, Op::kRead, 4096, 8));
  world.run_until(10 * kSecondNs);
  CHECK(std::abs(completed_within(client, 0, 4875 * kMs) - 2487) <= 3);
  CHECK(std::abs(completed_within(client, 5 * kSecondNs, 10 * kSecondNs) - 500) <= 1);
  for (std::size_t n = 2500; n + 1 < client.completed.size(); ++n) {
    const TimeNs gap = client.completed[n + 1] - client.completed[n];
    REQUIRE(std::abs(gap - 10 * kMs) <= 1'800 * kUs);
  }
}

TEST_CASE("max_hold: with 32 at a time at 10 ios/s those that would wait longer fail in time") {
  // Held for 450 ms at most: of the first 32 five go (0 .. .4 s), 27 fail at .45 s, and with them
  // the one that followed the first; others take their place at once. In the long run 10 go a
  // second; nobody waits longer but for wake-ups.
  Simulator world(world_of(true));
  const GroupId group = world.add_group();
  DeviceRules rules = rules_of(Limit::kReadIops, 10);
  rules.max_hold_ms = 450;
  world.set_rules(group, rules);
  const Client& client = world.start(flood(group, Op::kRead, 4096, 32));
  world.run_until(449 * kMs);
  CHECK(client.completed.size() == 5);
  CHECK(client.overdue == 0);
  world.run_until(453 * kMs);
  CHECK(client.overdue == 28);
  world.run_until(20 * kSecondNs);
  CHECK(std::abs(static_cast<int>(client.completed.size()) - 200) <= 2);
  const TimeNs longest = *std::max_element(client.latencies_ns.begin(), client.latencies_ns.end());
  CHECK(longest <= 450 * kMs + 2 * kMs);
}

TEST_CASE("a dry run counts and lets everything through") {
  // 1000 requests of 10 us, one after the other, under a dry limit of 10 ios/s.
  Simulator world{Options{}};
  const GroupId group = world.add_group();
  DeviceRules rules = rules_of(Limit::kReadIops, 10);
  rules.dry_run = true;
  world.set_rules(group, rules);
  Workload load = flood(group, Op::kRead, 4096, 1);
  load.requests = 1000;
  const Client& client = world.start(load);
  world.run_to_the_end();
  CHECK(client.completed.back() == 10 * kMs);
  CHECK(world.throttle_report(group).of(Limit::kReadIops).delayed == 999);
}
