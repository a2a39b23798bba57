// SPDX-License-Identifier: MIT
/// The production IoQueue in a world of virtual time: simulated clients, disk and wake-ups.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "io_queue.hpp"
#include "simulation/auditor.hpp"

namespace blkio::simulation {

/// How late a timer wakes the engine, and how often the whole machine stands still.
struct Lateness {
  TimeNs least_ns = 0;
  TimeNs most_ns = 0;
  TimeNs stall_every_ns = 0;  ///< 0: never
  TimeNs stall_ns = 0;
};

struct Disk {
  TimeNs service_least_ns = 10'000;
  TimeNs service_most_ns = 10'000;
  std::size_t depth = 64;  ///< requests it takes at once, all served in parallel
};

struct Options {
  std::uint64_t seed = 1;
  Hierarchy hierarchy = Hierarchy::kTree;
  Lateness lateness;
  Disk disk;
  data_plane::Sharing sharing{};
};

/// What a client does. Closed loop: `depth` requests under way, each followed by another after
/// `think_ns`. Open loop (`period_ns` set): one each period, however many wait.
struct Workload {
  GroupId group = GroupId::kRoot;
  Op op = Op::kRead;
  std::uint64_t bytes = 4096;
  int depth = 1;
  TimeNs think_ns = 0;
  TimeNs period_ns = 0;
  std::uint64_t requests = std::numeric_limits<std::uint64_t>::max();
  bool mixed = false;  ///< random operations and sizes instead of op and bytes
};

/// A client and what became of its requests.
struct Client {
  Workload workload;
  std::uint64_t issued = 0;
  std::uint64_t cancelled = 0;  ///< those that were held for too long among them
  std::uint64_t overdue = 0;
  std::vector<TimeNs> completed;     ///< when, in order
  std::vector<TimeNs> latencies_ns;  ///< arrival to completion
  bool stopped = false;
};

/// Runs until told, one event after the other; the Auditor watches each. Everything random comes
/// from the seed, so a failing run can be had again.
class Simulator {
 public:
  explicit Simulator(const Options& options);
  ~Simulator();

  TimeNs now() const { return now_; }
  std::mt19937_64& random() { return random_; }
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

  GroupId add_group(GroupId parent = GroupId::kRoot);
  /// Childless. Its clients go on in its parent.
  void remove_group(GroupId group);
  void set_limit(GroupId group, Limit limit, std::optional<std::uint64_t> per_second);
  void set_rules(GroupId group, const DeviceRules& rules, Levels levels = Levels::kKept);
  const DeviceRules& rules(GroupId group) const { return groups_.at(group).rules; }
  ThrottleReport throttle_report(GroupId group) { return queue_.throttle_report(group, now_); }

  void set_weights(GroupId group, std::uint32_t weight, std::uint32_t leaf_weight);
  /// By weight from now on, or in turns.
  void set_weighted(bool weighted);

  Client& start(const Workload& workload);
  /// The client issues no more.
  void stop(Client& client) { client.stopped = true; }
  /// Some waiting request, if there is one, is cancelled.
  void cancel_one();
  /// Calls f(*this) at the virtual time.
  void at(TimeNs when, std::function<void()> f);

  void run_until(TimeNs end);
  /// Until nothing waits and nothing is at the disk (all clients must have an end), or `limit`.
  void run_to_the_end(TimeNs limit = 3600 * kSecondNs);

  void audit_statistics();
  const Auditor& auditor() const { return auditor_; }
  std::size_t waiting() const { return queue_.waiting(); }
  /// How often the timer has been set to another time.
  std::uint64_t arms() const { return arms_; }
  const std::vector<GroupId>& groups() const { return order_; }
  GroupId parent(GroupId group) const { return groups_.at(group).parent; }
  bool has_children(GroupId group) const;

 private:
  struct Request;
  struct Group {
    GroupId parent = GroupId::kRoot;
    std::unique_ptr<stats::GroupStats> stats;
    DeviceRules rules;
  };

  void schedule(TimeNs when, std::function<void()> f);
  void issue(Client& client);
  void issue_again(Client& client);
  void complete(Request& request);
  void cancel(data_plane::QueuedIo& io);
  std::size_t pump();
  void arm();
  TimeNs after_stall(TimeNs when) const;
  std::uint64_t between(TimeNs least, TimeNs most);

  Options options_;
  std::mt19937_64 random_;
  Auditor auditor_;
  TimeNs now_ = 0;
  std::uint64_t events_made_ = 0;
  std::map<std::pair<TimeNs, std::uint64_t>, std::function<void()>> events_;

  std::map<GroupId, Group> groups_;
  std::vector<GroupId> order_;
  std::vector<std::unique_ptr<stats::GroupStats>> removed_;
  std::uint32_t last_group_ = 1;
  std::deque<Request> requests_;  // outlives the queue they may wait in
  data_plane::GroupMap map_;
  data_plane::IoQueue queue_;

  std::deque<Client> clients_;
  std::vector<Request*> free_;
  std::size_t at_disk_ = 0;
  TimeNs armed_ = kNever;
  std::uint64_t armed_number_ = 0;
  std::uint64_t arms_ = 0;
};

}  // namespace blkio::simulation
