// SPDX-License-Identifier: MIT
#include "throttle/gate.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace blkio::throttle {

namespace {

constexpr DeviceRules kNoRules{};
/// No request is larger, so that an iops_size from here on makes every request one io.
constexpr std::uint64_t kLargestIoSize = std::uint64_t{1} << 40;
/// A client that is held sends no more: in a dry run what is owed stops growing here.
constexpr TimeNs kDryRunDebtNs = kSecondNs;

/// 0: every request is one io.
std::uint64_t io_size(const DeviceRules& rules) {
  return rules.iops_size > kLargestIoSize ? 0 : rules.iops_size;
}

/// Where a request of more than iops_size bytes is bytes / iops_size ios, an io counts iops_size
/// units and a request its bytes: the fraction is kept.
std::uint64_t scale_of(const DeviceRules& rules) {
  return std::max<std::uint64_t>(io_size(rules), 1);
}
std::uint64_t ios_cost(const DeviceRules& rules, std::uint64_t bytes) {
  return io_size(rules) == 0 ? 1 : std::max(bytes, io_size(rules));
}

/// What is paid for. QEMU takes a discard for as many bytes as it frees.
std::uint64_t charged_bytes(const DeviceRules& rules, Op op, std::uint64_t bytes) {
  if (rules.qemu_strict && op == Op::kDiscard) return bytes;
  return charge_of(op, bytes).bytes;
}

/// Calls f(index) for each member of the set.
template <class F>
void for_each(unsigned mask, F&& f) {
  for (; mask != 0; mask &= mask - 1) f(static_cast<std::size_t>(std::countr_zero(mask)));
}

bool binds(const TokenRule& rule) {
  return rule.max.value_or(0) != 0 && rule.refill && rule.refill->tokens != 0 &&
         rule.refill->period_ms != 0;
}

}  // namespace

const DeviceRules& Gate::rules() const {
  return limited_by_ == nullptr ? kNoRules : limited_by_->rules;
}

// ---- open, and for how much --------------------------------------------------------------------

TimeNs Gate::limiter_opens_at(std::size_t limiter) const {
  return limiter == kTokensAt ? limited_by_->tokens->opens_at()
                              : limited_by_->limiters[limiter].opens_at();
}

Gate::Last Gate::last_to_open(Direction direction) const {
  Last last;
  if (limited_by_ == nullptr) return last;
  for_each(limited_by_->binding[index(direction)], [&](std::size_t limiter) {
    const TimeNs opens_at = limiter_opens_at(limiter);
    if (last.limiter == kLimiters || opens_at > last.opens_at) last = {limiter, opens_at};
  });
  return last;
}

void Gate::refresh(Direction direction) {
  opens_at_[index(direction)] = limited_by_->dry_run ? kLongAgo : last_to_open(direction).opens_at;
}

void Gate::charge_limits(Op op, std::uint64_t bytes, TimeNs now, std::size_t sharer) {
  const Direction direction = direction_of(op);
  Limited& by = *limited_by_;
  if (by.dry_run && would_hold(direction, now, sharer)) return;
  // QEMU's limits know no flush; tokens do.
  const bool free = by.rules.qemu_strict && op == Op::kFlush;
  const std::uint64_t charged = charged_bytes(by.rules, op, bytes);
  for_each(by.binding[index(direction)], [&](std::size_t limiter) {
    if (limiter == kTokensAt) {
      by.tokens->charge(now);
    } else if (!free) {
      const bool by_bytes = counts_bytes(static_cast<Limit>(limiter));
      by.limiters[limiter].charge(by_bytes ? charged : ios_cost(by.rules, charged), now);
    }
  });
  refresh(direction);
  if (has_total_) refresh(opposite(direction));
}

void Gate::note_waited(Direction direction) {
  const Last last = last_to_open(direction);
  if (last.limiter < kLimits) limited_by_->limiters[last.limiter].note_waited();
}

// ---- rules -------------------------------------------------------------------------------------

void Gate::set_rules(const DeviceRules& rules, Levels levels, TimeNs now) {
  if (limited_by_ == nullptr) {
    if (rules.empty()) return;
    limited_by_ = std::make_unique<Limited>();
    limited_by_->others.resize(sharers_ - 1);
  }
  Limited& by = *limited_by_;
  if (levels == Levels::kReset || rules.dry_run != by.rules.dry_run) {
    by.limiters = {};
    by.tokens.reset();
    by.rules = {};
  }
  const DeviceRules before = std::exchange(by.rules, rules);
  by.dry_run = rules.dry_run;
  for (std::size_t i = 0; i < kLimits; ++i) {
    const auto limit = static_cast<Limit>(i);
    const auto scale = [&](const DeviceRules& of) {
      return counts_bytes(limit) ? 1 : scale_of(of);
    };
    const bool same = rules.of(limit) == before.of(limit) && scale(rules) == scale(before) &&
                      rules.qemu_strict == before.qemu_strict;
    if (!same) by.limiters[i].set_rule(rules.of(limit), scale(rules), rules.qemu_strict, now);
  }
  if (rules.tokens != before.tokens) set_tokens(rules.tokens, now);
  note_binding();
  refresh(Direction::kRead);
  refresh(Direction::kWrite);
}

void Gate::set_sharers(std::size_t count) {
  sharers_ = static_cast<std::uint32_t>(count);
  if (limited_by_ != nullptr) limited_by_->others.resize(count - 1);
}

void Gate::set_tokens(const TokenRule& rule, TimeNs now) {
  std::unique_ptr<Tokens>& tokens = limited_by_->tokens;
  if (!binds(rule)) {
    tokens.reset();
  } else if (tokens == nullptr) {
    tokens = std::make_unique<Tokens>(*rule.max, *rule.refill, now);
  } else {
    tokens->set(*rule.max, *rule.refill, now);
  }
}

void Gate::note_binding() {
  Limited& by = *limited_by_;
  by.binding = {};
  has_total_ = by.tokens != nullptr;
  for (std::size_t i = 0; i < kLimiters; ++i) {
    const bool set = i == kTokensAt ? by.tokens != nullptr : by.limiters[i].limited();
    if (!set) continue;
    for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
      if (i != kTokensAt && !covers(static_cast<Limit>(i), direction)) continue;
      by.binding[index(direction)] |= static_cast<Mask>(1U << i);
    }
    if (i != kTokensAt) has_total_ |= is_total(static_cast<Limit>(i));
  }
  for (std::size_t d = 0; d < kDirections; ++d) limited_[d] = by.binding[d] != 0;
}

// ---- reports -----------------------------------------------------------------------------------

void Gate::count_held(Direction direction, std::uint64_t sum_ns, std::uint64_t delayed,
                      std::size_t sharer) {
  const Last last = last_to_open(direction);
  if (last.limiter == kLimiters) return;
  Counted& counted = limited_by_->counted_by(sharer)[last.limiter];
  counted.held_ns += sum_ns;
  counted.delayed += delayed;
}

// In a dry run. True if the request is not to be charged either: a held one would not have come.
bool Gate::would_hold(Direction direction, TimeNs now, std::size_t sharer) {
  const Last last = last_to_open(direction);
  if (last.opens_at <= now) return false;
  Counted& counted = limited_by_->counted_by(sharer)[last.limiter];
  ++counted.delayed;
  if (last.opens_at != kNever) counted.held_ns += static_cast<std::uint64_t>(last.opens_at - now);
  return last.opens_at - now > kDryRunDebtNs;
}

ThrottleReport Gate::report(std::array<bool, kDirections> holds, TimeNs now,
                            std::size_t sharer) const {
  ThrottleReport report;
  if (limited_by_ == nullptr) return report;
  for (std::size_t i = 0; i < kLimiters; ++i) {
    LimitReport& limit = i == kTokensAt ? report.tokens : report.limits[i];
    const Counted& counted = limited_by_->counted_by(sharer)[i];
    limit.delayed = counted.delayed;
    limit.held_ns = counted.held_ns;
  }
  for (const Direction direction : {Direction::kRead, Direction::kWrite}) {
    const Last last = last_to_open(direction);
    if (last.limiter == kLimiters || last.opens_at <= now) continue;
    if (!holds[index(direction)] && !limited_by_->rules.dry_run) continue;
    (last.limiter == kTokensAt ? report.tokens : report.limits[last.limiter]).binding = true;
  }
  return report;
}

void Gate::reset_report(std::size_t sharer) {
  if (limited_by_ != nullptr) limited_by_->counted_by(sharer) = {};
}

std::optional<TokenStatus> Gate::token_status(TimeNs now) {
  if (limited_by_ == nullptr || limited_by_->tokens == nullptr) return std::nullopt;
  return limited_by_->tokens->status(now);
}

}  // namespace blkio::throttle
