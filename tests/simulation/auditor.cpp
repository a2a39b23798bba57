// SPDX-License-Identifier: MIT
#include "simulation/auditor.hpp"

#include <algorithm>
#include <stdexcept>

#include "throttle/pace.hpp"

namespace blkio::simulation {

using data_plane::IoQueue;
using data_plane::QueuedIo;

namespace {

std::string name(GroupId group) {
  return "group " + std::to_string(static_cast<unsigned>(group));
}

std::size_t index(Direction direction) {
  return static_cast<std::size_t>(direction);
}

}  // namespace

void Auditor::fail(const std::string& what, TimeNs now) const {
  throw std::logic_error("seed " + std::to_string(seed_) + ", at " + std::to_string(now) +
                         " ns: " + what);
}

void Auditor::group_added(GroupId group, GroupId parent) {
  groups_[group].parent = parent;
  ++groups_.at(parent).contenders;
  book_.group_added(group);
}

void Auditor::group_removed(GroupId group, GroupId parent, TimeNs now) {
  Group& gone = groups_.at(group);
  Group& heir = groups_.at(parent);
  for (std::size_t d = 0; d < kDirections; ++d) {
    heir.waiting[d].insert(heir.waiting[d].end(), gone.waiting[d].begin(), gone.waiting[d].end());
  }
  --heir.contenders;
  groups_.erase(group);
  book_.group_removed(group, parent, now);
}

void Auditor::Account::leak(TimeNs now) {
  const auto elapsed = static_cast<long double>(now - seen);
  seen = now;
  excess -= elapsed * static_cast<long double>(rate.value_or(0)) / 1e9L;
  if (excess <= 0) {
    excess = 0;
    highest_rate = static_cast<long double>(rate.value_or(0));
  }
}

void Auditor::limit_set(GroupId group, Limit limit, std::optional<std::uint64_t> per_second,
                        TimeNs now) {
  Account& account = groups_.at(group).accounts[static_cast<std::size_t>(limit)];
  account.leak(now);
  if (!per_second || !account.rate) account = Account{per_second, 0, 0, now};
  account.rate = per_second;
  account.highest_rate =
      std::max(account.highest_rate, static_cast<long double>(per_second.value_or(0)));
}

std::deque<const QueuedIo*>& Auditor::queue_of(const QueuedIo& io) {
  return groups_.at(io.group).waiting[index(direction_of(io.op))];
}

void Auditor::arrived(const QueuedIo& io, TimeNs now) {
  if (groups_.count(io.group) == 0) fail("arrived in a removed " + name(io.group), now);
  queue_of(io).push_back(&io);
  ++waiting_;
  book_.arrived(io, now);
}

void Auditor::cancelled(const QueuedIo& io, TimeNs now) {
  auto& queue = queue_of(io);
  const auto found = std::find(queue.begin(), queue.end(), &io);
  if (found == queue.end()) fail("cancelled one that does not wait", now);
  queue.erase(found);
  --waiting_;
  book_.cancelled(io, now);
}

void Auditor::went(const QueuedIo& io, const IoQueue& queue, TimeNs now) {
  auto& fifo = queue_of(io);
  if (fifo.empty() || fifo.front() != &io) fail("out of order in " + name(io.group), now);
  fifo.pop_front();
  ++went_;
  --waiting_;
  book_.went(io, now);
  Group* payer = &groups_.at(io.group);
  payer->passed_over[index(direction_of(io.op))] = 0;
  for (GroupId id = io.group;; id = payer->parent) {
    payer = &groups_.at(id);
    charge(*payer, io, now);
    if (id == GroupId::kRoot || hierarchy_ == Hierarchy::kFlat) break;
  }
  if (!by_turns_) return;
  for (auto& [id, group] : groups_) {
    for (std::size_t d = 0; d < kDirections; ++d) {
      const bool could =
          !group.waiting[d].empty() && queue.opens_at(id, static_cast<Direction>(d)) <= now;
      group.passed_over[d] = could ? group.passed_over[d] + 1 : 0;
      if (group.passed_over[d] > fair_wait(id)) fail(name(id) + " starves", now);
    }
  }
}

void Auditor::charge(Group& payer, const QueuedIo& io, TimeNs now) {
  const Charge cost = charge_of(io.op, io.bytes);
  const bool read = direction_of(io.op) == Direction::kRead;
  const auto add = [&](Limit limit, std::uint64_t units) {
    Account& account = payer.accounts[static_cast<std::size_t>(limit)];
    if (!account.rate) return;
    account.leak(now);
    if (*account.rate == 0) fail("passed a limit of 0", now);
    const long double most = account.highest_rate * throttle::kCatchUpNs / 1e9L;
    // The plan is rounded down to a nanosecond: one nanosecond's worth, and as much in floats.
    if (account.excess > most + account.highest_rate * 2e-9L + 1e-3L) {
      fail("limit exceeded by " + std::to_string(static_cast<double>(account.excess - most)), now);
    }
    account.excess += static_cast<long double>(units);
  };
  add(read ? Limit::kReadBps : Limit::kWriteBps, cost.bytes);
  add(read ? Limit::kReadIops : Limit::kWriteIops, cost.ios);
  add(Limit::kTotalBps, cost.bytes);
  add(Limit::kTotalIops, cost.ios);
}

// All others of each level once in between, twice for the two directions, and twice again for a
// round in which the tree changed.
int Auditor::fair_wait(GroupId group) const {
  int turns = 4;
  for (;;) {
    turns *= groups_.at(group).contenders + 1;
    if (group == GroupId::kRoot) return turns;
    group = groups_.at(group).parent;
  }
}

void Auditor::nothing_goes(IoQueue& queue, TimeNs now) {
  if (queue.waiting() != waiting_) fail("wrong number of waiters", now);
  if (!by_turns_) return;
  TimeNs first = kNever;
  for (const auto& [id, group] : groups_) {
    for (std::size_t d = 0; d < kDirections; ++d) {
      if (group.waiting[d].empty()) continue;
      const TimeNs opens = queue.opens_at(id, static_cast<Direction>(d));
      if (opens <= now) fail(name(id) + " waits for nothing", now);
      first = std::min(first, opens);
    }
  }
  if (queue.deadline() != first) {
    fail("deadline " + std::to_string(queue.deadline()) + " is not the first path to open, " +
             std::to_string(first),
         now);
  }
}

void Auditor::deadline_came(bool something_went, TimeNs now) {
  if (!something_went && by_turns_) fail("a deadline came and nothing moved", now);
}

void Auditor::completed(const QueuedIo& io, TimeNs now) {
  book_.completed(io, now);
}

void Auditor::statistics(GroupId group, const stats::DeviceStats& stats, TimeNs now) {
  const std::string wrong = book_.difference(group, stats);
  if (!wrong.empty()) fail("statistics of " + name(group) + ": " + wrong, now);
}

void Auditor::sum_of_time(std::uint64_t time_ns, TimeNs now) {
  const std::string wrong = book_.difference_of_sums(time_ns);
  if (!wrong.empty()) fail(wrong, now);
}

}  // namespace blkio::simulation
