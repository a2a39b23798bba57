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
  explicit Mischief(Simulator& world, bool weighted = false) : world_(world), weighted_(weighted) {}

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
        set_some_limit();
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
      for (int i = 0; i < kLimits; ++i) {
        world_.set_limit(group, static_cast<Limit>(i), std::nullopt);
      }
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

  void set_some_limit() {
    const auto limit = static_cast<Limit>(world_.below(kLimits));
    const bool bytes = counts_bytes(limit);
    std::optional<std::uint64_t> rate;
    switch (world_.below(8)) {
      case 0:
      case 1:
        break;
      case 2:
        rate = 0;
        break;
      default:
        rate = (bytes ? 65536 : 1) * (1 + world_.below(2000));
    }
    world_.set_limit(some_group(), limit, rate);
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
    Mischief mischief(world, weighted);
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
