// SPDX-License-Identifier: MIT
#include "throttle/pace.hpp"

#include <algorithm>
#include <limits>

namespace blkio::throttle {

namespace {

constexpr std::uint64_t kFitsIn64Bits = std::uint64_t{1} << 33;  // * kSecondNs + 2^63 < 2^64

/// value * to / from, rounded down, without a product of more bits than the result.
Wide scaled(Wide value, std::uint64_t from, std::uint64_t to) {
  return value / from * to + value % from * to / from;
}

}  // namespace

void Pace::publish() {
  // One less than kNever: a plan, however far, is a plan. A bucket may lag by more than all time.
  const Wide last = std::max(planned_, evenly_);
  opens_at_ = static_cast<TimeNs>(std::clamp<Wide>(last, kLongAgo, kNever - 1));
}

void Pace::catch_up(Wide earliest_ns, std::uint64_t earliest_fraction) {
  if (planned_ > earliest_ns || (planned_ == earliest_ns && fraction_ >= earliest_fraction)) return;
  planned_ = earliest_ns;
  fraction_ = earliest_fraction;
}

void Pace::charge(std::uint64_t cost, TimeNs now, bool held) {
  if (!rate_) return;
  used_ = true;
  if (*rate_ == 0) {
    stopped_debt_ += Wide{cost} * kSecondNs;
    return;
  }
  if (has_bucket_) {
    catch_up(now - lag_ns_, lag_fraction_);
    advance(cost);
  } else {
    in_use_ = held || (in_use_ && now - charged_at_ <= kPauseNs);
    charged_at_ = now;
    catch_up(now - (in_use_ ? kCatchUpNs : kIdleCreditNs), 0);
    const Wide before = planned_;
    advance(cost);
    const Wide step = planned_ - before;
    evenly_ = std::max<Wide>(evenly_, now - kAtOnceNs) + step - step / kHurry;
  }
  publish();
}

void Pace::advance(std::uint64_t cost) {
  if (cost < kFitsIn64Bits && fraction_ < std::uint64_t{1} << 63) {
    const std::uint64_t parts = cost * kSecondNs + fraction_;
    planned_ += parts / *rate_;
    fraction_ = parts % *rate_;
  } else {
    const Wide parts = Wide{cost} * kSecondNs + fraction_;
    planned_ += parts / *rate_;
    fraction_ = static_cast<std::uint64_t>(parts % *rate_);
  }
}

Wide Pace::debt(TimeNs now) const {
  if (*rate_ == 0) return stopped_debt_;
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
}

void Pace::set_rate(std::optional<std::uint64_t> per_second, TimeNs now,
                    std::optional<BucketSize> bucket) {
  Wide owed = rate_ ? debt(now) : 0;
  // Between even paces: no more was ever usable.
  const bool stays_even = rate_ && !has_bucket_ && !bucket;
  if (stays_even) owed = std::max(owed, -Wide{kCatchUpNs} * *rate_);
  const std::uint64_t before = stays_even ? *rate_ : 0;
  rate_ = per_second;
  has_bucket_ = bucket.has_value();
  if (!rate_) {
    *this = Pace();
  } else if (*rate_ == 0) {
    stopped_debt_ = owed;
    opens_at_ = kNever;
  } else {
    const Wide credit = bucket ? *bucket : Wide{kCatchUpNs} * *rate_;
    if (bucket) {
      plan(0, -credit);
      lag_ns_ = -planned_;
      lag_fraction_ = fraction_;
    }
    plan(now, bucket && !used_ ? -credit : std::max(owed, -credit));
    if (bucket) {
      evenly_ = kLongAgo;
    } else {
      evenly_ = before == 0 ? planned_ : now + scaled(evenly_ - now, *rate_, before);
    }
    publish();
  }
}

void Pace::rescale(std::uint64_t from, std::uint64_t to) {
  if (!rate_) return;
  stopped_debt_ = scaled(stopped_debt_, from, to);
  // The plan stays where it is, so the fraction stays the same part of a nanosecond.
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max() - 1;
  const Wide rate = std::min<Wide>(scaled(*rate_, from, to), kMost);
  if (rate == 0) return;
  fraction_ = static_cast<std::uint64_t>(Wide{fraction_} * rate / *rate_);
  rate_ = static_cast<std::uint64_t>(rate);
}

}  // namespace blkio::throttle
