// SPDX-License-Identifier: MIT
#include "simulation/simulator.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace blkio::simulation {

namespace {

constexpr DeviceNumber kDevice{7, 0};

}  // namespace

struct Simulator::Request : data_plane::QueuedIo {
  Client* client = nullptr;
  bool finished = true;
};

Simulator::Simulator(const Options& options)
    : options_(options),
      random_(options.seed),
      auditor_(options.seed, options.hierarchy, options.sharing.weighted),
      map_([this]() -> stats::GroupStats& {
        Group& root = groups_[GroupId::kRoot];
        root.stats = std::make_unique<stats::GroupStats>();
        order_.push_back(GroupId::kRoot);
        return *root.stats;
      }()),
      queue_(kDevice, options.hierarchy, map_, true, options.sharing) {}

Simulator::~Simulator() = default;

// ---- groups and rules --------------------------------------------------------------------------

GroupId Simulator::add_group(GroupId parent) {
  const GroupId group{++last_group_};
  Group& added = groups_[group];
  added.parent = parent;
  added.stats = std::make_unique<stats::GroupStats>();
  order_.push_back(group);
  map_.group_added(group, parent, *added.stats);
  auditor_.group_added(group, parent);
  return group;
}

bool Simulator::has_children(GroupId group) const {
  return std::any_of(order_.begin(), order_.end(), [&](GroupId other) {
    return other != GroupId::kRoot && groups_.at(other).parent == group;
  });
}

void Simulator::remove_group(GroupId group) {
  const GroupId parent = groups_.at(group).parent;
  queue_.group_removed(group, parent, now_);
  map_.group_removed(group);
  auditor_.group_removed(group, parent, now_);
  for (Client& client : clients_) {
    if (client.workload.group == group) client.workload.group = parent;
  }
  removed_.push_back(std::move(groups_.at(group).stats));
  groups_.erase(group);
  order_.erase(std::find(order_.begin(), order_.end(), group));
  pump();
}

void Simulator::set_limit(GroupId group, Limit limit, std::optional<std::uint64_t> per_second) {
  DeviceRules changed = rules(group);
  changed.of(limit).per_second = per_second;
  set_rules(group, changed);
}

void Simulator::set_rules(GroupId group, const DeviceRules& rules, Levels levels) {
  queue_.meet(group);
  queue_.set_rules(group, rules, levels, now_);
  auditor_.rules_set(group, rules, levels, now_);
  groups_.at(group).rules = rules;
  pump();
}

void Simulator::set_weights(GroupId group, std::uint32_t weight, std::uint32_t leaf_weight) {
  map_.set_weights(group, {weight, {}}, {leaf_weight, {}});
  queue_.weights_changed(group, now_);
  pump();
}

void Simulator::set_weighted(bool weighted) {
  queue_.set_weighted(weighted, now_);
  auditor_.sharing_changed();
  pump();
}

// ---- clients -----------------------------------------------------------------------------------

Client& Simulator::start(const Workload& workload) {
  Client& client = clients_.emplace_back();
  client.workload = workload;
  const int first = workload.period_ns > 0 ? 1 : workload.depth;
  for (int i = 0; i < first; ++i) schedule(now_, [this, &client] { issue(client); });
  return client;
}

void Simulator::issue(Client& client) {
  const Workload& workload = client.workload;
  if (client.stopped || client.issued == workload.requests) return;
  ++client.issued;
  if (free_.empty()) {
    requests_.emplace_back();
    free_.push_back(&requests_.back());
  }
  Request& request = *free_.back();
  free_.pop_back();
  if (!request.finished) throw std::logic_error("a request is used twice");
  request.finished = false;
  request.client = &client;
  request.op = workload.mixed ? static_cast<Op>(below(5)) : workload.op;
  request.bytes = workload.mixed ? 512 * (1 + below(256)) : workload.bytes;
  if (request.op == Op::kFlush) request.bytes = 0;
  queue_.arrive(request, workload.group, now_);
  auditor_.arrived(request, now_);
  if (workload.period_ns > 0) {
    schedule(now_ + workload.period_ns, [this, &client] { issue(client); });
  }
  pump();
}

void Simulator::issue_again(Client& client) {
  if (client.workload.period_ns > 0) return;
  schedule(now_ + client.workload.think_ns, [this, &client] { issue(client); });
}

void Simulator::cancel_one() {
  data_plane::QueuedIo* victim = nullptr;
  std::uint64_t seen = 0;
  queue_.for_each_waiting([&](data_plane::QueuedIo& io) {
    if (below(++seen) == 0) victim = &io;
  });
  if (victim == nullptr) return;
  cancel(*victim);
  pump();
}

void Simulator::cancel(data_plane::QueuedIo& io) {
  if (!queue_.cancel(io, now_)) throw std::logic_error("a waiting request cannot be cancelled");
  auditor_.cancelled(io, now_);
  auto& request = static_cast<Request&>(io);
  request.finished = true;
  ++request.client->cancelled;
  free_.push_back(&request);
  issue_again(*request.client);
}

// ---- the engine --------------------------------------------------------------------------------

std::size_t Simulator::pump() {
  std::size_t went = 0;
  while (at_disk_ < options_.disk.depth) {
    data_plane::QueuedIo* io = queue_.next(now_);
    if (io == nullptr) {
      auditor_.nothing_goes(queue_, now_);
      break;
    }
    auditor_.went(*io, queue_, now_);
    ++went;
    ++at_disk_;
    auto& request = static_cast<Request&>(*io);
    const auto service = between(options_.disk.service_least_ns, options_.disk.service_most_ns);
    schedule(now_ + static_cast<TimeNs>(service), [this, &request] { complete(request); });
  }
  while (data_plane::QueuedIo* io = queue_.overdue(now_)) {
    auditor_.overdue(*io, queue_, now_);
    ++static_cast<Request*>(io)->client->overdue;
    cancel(*io);
    ++went;
  }
  arm();
  return went;
}

// One timer. While the disk is full a completion will pump, so no deadline matters.
void Simulator::arm() {
  const TimeNs deadline = at_disk_ < options_.disk.depth ? queue_.deadline() : kNever;
  if (deadline == armed_) return;
  armed_ = deadline;
  const std::uint64_t number = ++armed_number_;
  if (deadline == kNever) return;
  ++arms_;
  const auto late = between(options_.lateness.least_ns, options_.lateness.most_ns);
  schedule(deadline + static_cast<TimeNs>(late), [this, number] {
    if (number != armed_number_) return;
    armed_ = kNever;
    auditor_.deadline_came(pump() > 0, now_);
  });
}

void Simulator::complete(Request& request) {
  if (request.finished) throw std::logic_error("a request completes twice");
  request.finished = true;
  --at_disk_;
  queue_.complete(request, now_);
  auditor_.completed(request, now_);
  Client& client = *request.client;
  client.completed.push_back(now_);
  client.latencies_ns.push_back(now_ - request.arrived_ns);
  free_.push_back(&request);
  issue_again(client);
  pump();
}

// ---- time --------------------------------------------------------------------------------------

std::uint64_t Simulator::between(TimeNs least, TimeNs most) {
  return static_cast<std::uint64_t>(least) + below(static_cast<std::uint64_t>(most - least) + 1);
}

// What falls into a stall happens when it is over.
TimeNs Simulator::after_stall(TimeNs when) const {
  const Lateness& lateness = options_.lateness;
  if (lateness.stall_every_ns == 0) return when;
  const TimeNs phase = when % lateness.stall_every_ns;
  const TimeNs stall_from = lateness.stall_every_ns - lateness.stall_ns;
  return phase >= stall_from ? when - phase + lateness.stall_every_ns : when;
}

void Simulator::schedule(TimeNs when, std::function<void()> f) {
  events_.emplace(std::pair(after_stall(when), ++events_made_), std::move(f));
}

void Simulator::at(TimeNs when, std::function<void()> f) {
  schedule(when, std::move(f));
}

void Simulator::run_until(TimeNs end) {
  while (!events_.empty() && events_.begin()->first.first <= end) {
    const auto event = events_.extract(events_.begin());
    now_ = event.key().first;
    event.mapped()();
  }
  now_ = std::max(now_, end);
}

void Simulator::run_to_the_end(TimeNs limit) {
  while (!events_.empty() && events_.begin()->first.first <= limit) {
    run_until(events_.begin()->first.first);
  }
  if (waiting() != 0 || at_disk_ != 0) throw std::logic_error("requests are left");
}

void Simulator::audit_statistics() {
  std::uint64_t time_ns = 0;
  for (const auto& [group, entry] : groups_) {
    const stats::DeviceStats& row = entry.stats->meet(kDevice);
    auditor_.statistics(group, row, now_);
    time_ns += row.scheduling.scalar(Scalar::kTimeNs) + row.scheduling.scalar(Scalar::kTimeLeftNs);
  }
  auditor_.sum_of_time(time_ns, now_);
}

}  // namespace blkio::simulation
