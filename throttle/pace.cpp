// SPDX-License-Identifier: MIT
#include "throttle/pace.hpp"

#include <algorithm>

namespace blkio::throttle {

namespace {

constexpr std::uint64_t kFitsIn64Bits = std::uint64_t{1} << 33;  // * kSecondNs + 2^63 < 2^64

}  // namespace

void Pace::publish() {
  // One less than kNever: a plan, however far, is a plan.
  opens_at_ = static_cast<TimeNs>(std::min<Wide>(planned_, kNever - 1));
}

void Pace::charge(std::uint64_t cost, TimeNs now, bool held) {
  if (!rate_) return;
  if (*rate_ == 0) {
    stopped_debt_ += Wide{cost} * kSecondNs;
    return;
  }
  in_use_ = held || (in_use_ && now - charged_at_ <= kCatchUpNs);
  charged_at_ = now;
  const TimeNs earliest = now - (in_use_ ? kCatchUpNs : kIdleCreditNs);
  if (planned_ < earliest) {
    planned_ = earliest;
    fraction_ = 0;
  }
  if (cost < kFitsIn64Bits && fraction_ < std::uint64_t{1} << 63) {
    const std::uint64_t parts = cost * kSecondNs + fraction_;
    planned_ += parts / *rate_;
    fraction_ = parts % *rate_;
  } else {
    const Wide parts = Wide{cost} * kSecondNs + fraction_;
    planned_ += parts / *rate_;
    fraction_ = static_cast<std::uint64_t>(parts % *rate_);
  }
  publish();
}

Wide Pace::debt(TimeNs now) const {
  if (*rate_ == 0) return stopped_debt_;
  if (planned_ < now - kCatchUpNs) return -Wide{kCatchUpNs} * *rate_;  // no more was ever usable
  return (planned_ - now) * *rate_ + fraction_;
}

void Pace::plan(TimeNs now, Wide debt) {
  Wide ahead = debt / *rate_;
  Wide fraction = debt % *rate_;
  if (fraction < 0) {  // the remainder has the sign of the debt; the fraction points forwards
    fraction += *rate_;
    --ahead;
  }
  planned_ = now + ahead;
  fraction_ = static_cast<std::uint64_t>(fraction);
  publish();
}

void Pace::set_rate(std::optional<std::uint64_t> per_second, TimeNs now) {
  const Wide owed = rate_ ? debt(now) : 0;
  rate_ = per_second;
  if (!rate_) {
    *this = Pace();
  } else if (*rate_ == 0) {
    stopped_debt_ = owed;
    opens_at_ = kNever;
  } else {
    plan(now, std::max(owed, -Wide{kCatchUpNs} * *rate_));
  }
}

}  // namespace blkio::throttle
