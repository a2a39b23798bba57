// SPDX-License-Identifier: MIT
#include "throttle/gate.hpp"

#include <algorithm>

namespace blkio::throttle {

namespace {

constexpr DeviceRules kNoRules{};

constexpr std::array kAllLimits{Limit::kReadBps,   Limit::kWriteBps, Limit::kReadIops,
                                Limit::kWriteIops, Limit::kTotalBps, Limit::kTotalIops};

std::size_t index_of(Limit limit) {
  return static_cast<std::size_t>(limit);
}

}  // namespace

const DeviceRules& Gate::rules() const {
  return limited_by_ == nullptr ? kNoRules : limited_by_->rules;
}

void Gate::refresh(Direction direction) {
  bool limited = false;
  TimeNs opens_at = kLongAgo;
  for (const Limit limit : kAllLimits) {
    const Pace& pace = limited_by_->paces[index_of(limit)];
    if (!covers(limit, direction) || !pace.limited()) continue;
    limited = true;
    opens_at = std::max(opens_at, pace.opens_at());
  }
  limited_[index(direction)] = limited;
  opens_at_[index(direction)] = opens_at;
}

void Gate::charge(Direction direction, Charge charge, TimeNs now, bool held) {
  if (!limited(direction)) return;
  for (const Limit limit : kAllLimits) {
    if (!covers(limit, direction)) continue;
    const std::uint64_t cost = counts_bytes(limit) ? charge.bytes : charge.ios;
    limited_by_->paces[index_of(limit)].charge(cost, now, held);
  }
  refresh(direction);
  if (has_total_) refresh(opposite(direction));
}

void Gate::set_rules(const DeviceRules& rules, Levels levels, TimeNs now) {
  if (limited_by_ == nullptr) {
    if (rules.empty()) return;
    limited_by_ = std::make_unique<Limited>();
  }
  if (levels == Levels::kReset) limited_by_->paces = {};
  limited_by_->rules = rules;
  for (const Limit limit : kAllLimits) {
    limited_by_->paces[index_of(limit)].set_rate(rules.of(limit).per_second, now);
  }
  has_total_ = rules.of(Limit::kTotalBps).per_second || rules.of(Limit::kTotalIops).per_second;
  refresh(Direction::kRead);
  refresh(Direction::kWrite);
}

}  // namespace blkio::throttle
