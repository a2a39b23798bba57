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
  excess -= elapsed * rate.value_or(0) / 1e9L;
  if (excess > 0) return;
  excess = 0;
  highest_rate = rate.value_or(0);
  highest_bucket = bucket;
}

void Auditor::Account::set(std::optional<long double> per_second, long double size, TimeNs now) {
  leak(now);
  if (!per_second || !rate) *this = Account{per_second, size, 0, 0, 0, now};
  rate = per_second;
  bucket = size;
  highest_rate = std::max(highest_rate, rate.value_or(0));
  highest_bucket = std::max(highest_bucket, bucket);
}

// The plan is rounded down to a nanosecond: one nanosecond's worth, and as much in floats.
long double Auditor::Account::over() const {
  return excess - highest_bucket - highest_rate * 2e-9L - 1e-3L;
}

void Auditor::rules_set(GroupId id, const DeviceRules& rules, Levels levels, TimeNs now) {
  Group& group = groups_.at(id);
  if (levels == Levels::kReset || rules.dry_run != group.rules.dry_run) {
    group.accounts = {};
    group.bursts = {};
    group.tokens = {};
  }
  group.rules = rules;
  for (std::size_t i = 0; i < kLimits; ++i) {
    const RateRule& rule = rules.limits[i];
    const auto rate = static_cast<long double>(rule.per_second.value_or(0));
    const auto burst = static_cast<long double>(rule.burst_per_second);
    const auto seconds = static_cast<long double>(rule.burst_seconds);
    long double bucket = rate * throttle::kCatchUpNs / 1e9L;
    if (rules.qemu_strict) bucket = rate / 10;
    if (burst != 0) bucket = burst * seconds;
    const bool set = rule.per_second.has_value();
    group.accounts[i].set(set ? std::optional(rate) : std::nullopt, bucket, now);
    const bool long_burst = set && burst != 0 && seconds > 1;
    group.bursts[i].set(long_burst ? std::optional(burst) : std::nullopt, burst / 10, now);
  }
  set_tokens(group, rules.tokens, now);
}

void Auditor::set_tokens(Group& group, const TokenRule& rule, TimeNs now) {
  TokenAccount& tokens = group.tokens;
  tokens.refill(now);
  const TokenAccount before = tokens;
  tokens.rule = rule;
  if (!tokens.binds()) return;
  if (!before.binds()) tokens.level = *rule.max;
  tokens.level = std::min(tokens.level, *rule.max);
  if (before.binds() && *before.rule.refill == *rule.refill) return;
  tokens.carry = 0;
  tokens.next_refill = now + rule.refill->period_ms * kMillisecondNs;
}

void Auditor::TokenAccount::refill(TimeNs now) {
  if (!binds()) return;
  for (; next_refill <= now; next_refill += rule.refill->period_ms * kMillisecondNs) {
    std::uint64_t thousandths = rule.refill->tokens * 1000;
    if (rule.refill->of_a_second) thousandths = rule.refill->tokens * rule.refill->period_ms;
    carry += thousandths;
    level = std::min(level + carry / 1000, *rule.max);
    carry %= 1000;
  }
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

void Auditor::charge(Account& account, long double units, TimeNs now) {
  if (!account.rate) return;
  account.leak(now);
  if (*account.rate == 0) fail("passed a limit of 0", now);
  if (const long double over = account.over(); over > 0) {
    fail("limit exceeded by " + std::to_string(static_cast<double>(over)), now);
  }
  account.excess += units;
}

void Auditor::charge(Group& payer, const QueuedIo& io, TimeNs now) {
  const DeviceRules& rules = payer.rules;
  if (rules.dry_run) return;
  if (payer.tokens.binds()) {
    payer.tokens.refill(now);
    if (payer.tokens.level-- == 0) fail("passed without a token", now);
  }
  if (rules.qemu_strict && io.op == Op::kFlush) return;
  const bool by_bytes = rules.qemu_strict && io.op == Op::kDiscard;
  const std::uint64_t bytes = by_bytes ? io.bytes : charge_of(io.op, io.bytes).bytes;
  long double ios = 1;
  if (rules.iops_size != 0) {
    const auto size = static_cast<long double>(rules.iops_size);
    ios = std::max(ios, static_cast<long double>(bytes) / size);
  }
  for (std::size_t i = 0; i < kLimits; ++i) {
    const auto limit = static_cast<Limit>(i);
    if (!covers(limit, direction_of(io.op))) continue;
    const long double units = counts_bytes(limit) ? static_cast<long double>(bytes) : ios;
    charge(payer.accounts[i], units, now);
    charge(payer.bursts[i], units, now);
  }
}

bool Auditor::any_bound() const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [](const auto& entry) { return entry.second.rules.max_hold_ms != 0; });
}

void Auditor::overdue(const QueuedIo& io, const IoQueue& queue, TimeNs now) {
  if (queue_of(io).front() != &io) fail("overdue before an older one", now);
  if (queue.opens_at(io.group, direction_of(io.op)) <= now) fail("overdue, but free to go", now);
  TimeNs bound = kNever;
  for (GroupId id = io.group;; id = groups_.at(id).parent) {
    const DeviceRules& rules = groups_.at(id).rules;
    if (rules.max_hold_ms != 0 && !rules.dry_run) {
      bound = std::min(bound, static_cast<TimeNs>(rules.max_hold_ms) * kMillisecondNs);
    }
    if (id == GroupId::kRoot || hierarchy_ == Hierarchy::kFlat) break;
  }
  if (now - io.arrived_ns < bound) fail("overdue too soon in " + name(io.group), now);
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
  if (any_bound() ? queue.deadline() > first : queue.deadline() != first) {
    fail("deadline " + std::to_string(queue.deadline()) + " is not the first path to open, " +
             std::to_string(first),
         now);
  }
}

void Auditor::deadline_came(bool something_went, TimeNs now) {
  // With a bound the look may be at a queue that has not been held all the time.
  if (!something_went && by_turns_ && !any_bound()) fail("a deadline came and nothing moved", now);
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
