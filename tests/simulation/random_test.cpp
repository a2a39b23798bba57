// SPDX-License-Identifier: MIT
/// Random trees, rules, clients and interruptions; the Auditor is the judge.
#include <catch2/catch.hpp>

#include "simulation/simulator.hpp"

using namespace blkio;
using simulation::Client;
using simulation::Options;
using simulation::Simulator;
using simulation::Workload;

namespace {

Options random_world(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](std::uint64_t n) { return static_cast<TimeNs>(random() % n); };
  Options options;
  options.seed = seed;
  options.hierarchy = pick(4) == 0 ? Hierarchy::kFlat : Hierarchy::kTree;
  options.lateness.least_ns = pick(30'000);
  options.lateness.most_ns = options.lateness.least_ns + pick(100'000);
  if (pick(3) == 0) {
    options.lateness.stall_every_ns = 10 * kMillisecondNs + pick(50 * kMillisecondNs);
    options.lateness.stall_ns = pick(3 * kMillisecondNs);
  }
  options.disk.service_least_ns = 1000 + pick(50'000);
  options.disk.service_most_ns = options.disk.service_least_ns + pick(500'000);
  options.disk.depth = 1 + static_cast<std::size_t>(pick(16));
  return options;
}

/// Does something to the world, as a user, a client or an administrator might.
class Mischief {
 public:
  Mischief(Simulator& world, bool weighted, bool bounds)
      : world_(world), weighted_(weighted), bounds_(bounds) {}

  void act() {
    if (weighted_) change_sharing();
    switch (world_.below(10)) {
      case 0:
        if (world_.groups().size() < 12) world_.add_group(some_group());
        break;
      case 1:
        remove_some();
        break;
      case 2:
      case 3:
      case 4:
        set_some_rule();
        break;
      case 5:
      case 6:
        start_some();
        break;
      case 7:
        if (!clients_.empty()) world_.stop(*clients_[world_.below(clients_.size())]);
        break;
      default:
        for (auto n = world_.below(4); n > 0; --n) world_.cancel_one();
    }
  }

  void calm_down() {
    for (Client* client : clients_) world_.stop(*client);
    for (const GroupId group : world_.groups()) {
      check_report(group);
      world_.set_rules(group, {});
    }
  }

  std::uint64_t accounted_for() const {
    std::uint64_t n = 0;
    for (const Client* client : clients_) {
      REQUIRE(client->issued == client->completed.size() + client->cancelled);
      n += client->completed.size();
    }
    return n;
  }

 private:
  GroupId some_group() { return world_.groups()[world_.below(world_.groups().size())]; }

  void change_sharing() {
    const auto weight = [this] { return 1 + static_cast<std::uint32_t>(world_.below(1000)); };
    if (world_.below(3) == 0) world_.set_weights(some_group(), weight(), weight());
    if (world_.below(20) == 0) world_.set_weighted(world_.below(3) != 0);
  }

  void remove_some() {
    const GroupId group = some_group();
    if (group != GroupId::kRoot && !world_.has_children(group)) world_.remove_group(group);
  }

  void set_some_rule() {
    const GroupId group = some_group();
    check_report(group);
    DeviceRules rules = world_.rules(group);
    switch (world_.below(12)) {
      case 0:
        rules.max_hold_ms = bounds_ ? world_.below(3) * world_.below(40) : 0;
        break;
      case 1:
        rules.iops_size = world_.below(3) * 512 * world_.below(40);
        break;
      case 2:
        rules.qemu_strict = !rules.qemu_strict;
        break;
      case 3:
        rules.dry_run = world_.below(4) == 0;
        break;
      case 4:
      case 5:
        set_some_tokens(rules.tokens);
        break;
      default:
        set_some_limit(rules);
    }
    world_.set_rules(group, rules, world_.below(8) == 0 ? Levels::kReset : Levels::kKept);
  }

  void set_some_tokens(TokenRule& tokens) {
    if (world_.below(4) == 0) {
      tokens = {};
      return;
    }
    if (!tokens.max || world_.below(2) == 0) tokens.max = 1 + world_.below(200);
    if (tokens.refill && world_.below(2) == 0) return;
    tokens.refill = TokenRefill{1 + world_.below(2000), 1 + static_cast<unsigned>(world_.below(50)),
                                world_.below(2) == 0};
  }

  void set_some_limit(DeviceRules& rules) {
    const auto limit = static_cast<Limit>(world_.below(kLimits));
    const std::uint64_t unit = counts_bytes(limit) ? 65536 : 1;
    RateRule& rule = rules.of(limit);
    rule = {};
    const auto kind = world_.below(8);
    if (kind < 2) return;
    rule.per_second = kind == 2 ? 0 : unit * (1 + world_.below(2000));
    if (world_.below(2) == 0) return;
    rule.burst_per_second = *rule.per_second + unit * world_.below(5000);
    rule.burst_seconds = 1 + world_.below(3);
  }

  void check_report(GroupId group) {
    const ThrottleReport report = world_.throttle_report(group);
    std::uint64_t delayed = report.tokens.delayed;
    bool binding = report.tokens.binding;
    for (const LimitReport& limit : report.limits) {
      delayed += limit.delayed;
      binding |= limit.binding;
    }
    std::uint64_t issued = 0;
    for (const Client* client : clients_) issued += client->issued;
    REQUIRE(delayed <= issued);
    if (binding && !world_.rules(group).dry_run) REQUIRE(world_.waiting() != 0);
  }

  void start_some() {
    if (clients_.size() >= 30) return;
    Workload workload;
    workload.group = some_group();
    workload.mixed = true;
    workload.depth = 1 << world_.below(5);
    workload.think_ns = static_cast<TimeNs>(world_.below(200'000));
    if (world_.below(4) == 0) {
      workload.period_ns = 50'000 + static_cast<TimeNs>(world_.below(2'000'000));
      workload.requests = world_.below(500);
    }
    clients_.push_back(&world_.start(workload));
  }

  Simulator& world_;
  bool weighted_;
  bool bounds_;  ///< some requests fail after max_hold_ms
  std::vector<Client*> clients_;
};

/// Returns how many requests went: a run in which nothing happens proves nothing.
std::uint64_t run_worlds(std::uint64_t seeds, bool weighted) {
  std::uint64_t went = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    INFO("seed " << seed);
    Options options = random_world(seed);
    options.sharing.weighted = weighted;
    if (seed % 3 == 0) options.sharing.depth = 1 + static_cast<unsigned>(seed % 8);
    Simulator world(options);
    Mischief mischief(world, weighted, seed % 2 == 0);
    for (int act = 0; act < 120; ++act) {
      world.run_until(world.now() + static_cast<TimeNs>(world.below(4'000'000)));
      mischief.act();
    }
    world.audit_statistics();
    mischief.calm_down();
    world.run_to_the_end();
    world.audit_statistics();
    REQUIRE(mischief.accounted_for() == world.auditor().went());
    went += world.auditor().went();
  }
  return went;
}

}  // namespace

TEST_CASE("random worlds keep every promise") {
  CHECK(run_worlds(60, false) > 50'000);
}

TEST_CASE("random worlds with weights lose nothing and pass no limit") {
  CHECK(run_worlds(60, true) > 50'000);
}
