// SPDX-License-Identifier: MIT
#include "throttle/tokens.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

namespace blkio::throttle {

namespace {

constexpr Wide kMsPerSecond = 1000;

Wide ceil_of(Wide dividend, Wide divisor) {
  return (dividend + divisor - 1) / divisor;
}

TimeNs period_of(const TokenRefill& refill) {
  return refill.period_ms * kMillisecondNs;
}

}  // namespace

Tokens::Tokens(std::uint64_t max, const TokenRefill& refill, TimeNs now)
    : max_(max), refill_(refill), since_(now), level_(max), counted_since_(now) {
  assert(max != 0 && refill.tokens != 0 && refill.period_ms != 0);
}

Wide Tokens::given_after(Wide periods) const {
  if (!refill_.of_a_second) return periods * refill_.tokens;
  return periods * refill_.period_ms * refill_.tokens / kMsPerSecond;
}

void Tokens::refill_until(TimeNs now) {
  const Wide periods = (now - since_) / period_of(refill_);
  if (periods <= periods_) return;
  const Wide given = given_after(periods) - given_after(periods_);
  level_ = std::min<Wide>(level_ + given, max_);
  periods_ = periods;
}

// The first period after which there is a token again.
void Tokens::plan() {
  if (level_ > 0) return;
  const Wide wanted = given_after(periods_) + 1 - level_;
  const Wide period = refill_.of_a_second
                          ? ceil_of(wanted * kMsPerSecond, Wide{refill_.tokens} * refill_.period_ms)
                          : ceil_of(wanted, refill_.tokens);
  opens_at_ = static_cast<TimeNs>(std::min<Wide>(since_ + period * period_of(refill_), kNever - 1));
}

void Tokens::charge(TimeNs now) {
  refill_until(now);
  --level_;
  if (level_ <= 0) plan();
  count_until(now);
  ++count_;
  ++this_second_;
}

void Tokens::set(std::uint64_t max, const TokenRefill& refill, TimeNs now) {
  assert(max != 0 && refill.tokens != 0 && refill.period_ms != 0);
  refill_until(now);
  max_ = max;
  level_ = std::min<Wide>(level_, max);
  if (refill != refill_) {
    refill_ = refill;
    since_ = now;
    periods_ = 0;
  }
  plan();
}

void Tokens::count_until(TimeNs now) {
  const TimeNs second = (now - counted_since_) / kSecondNs;
  if (second == second_) return;
  last_second_ = second == second_ + 1 ? this_second_ : 0;
  this_second_ = 0;
  second_ = second;
}

TokenStatus Tokens::status(TimeNs now) {
  refill_until(now);
  count_until(now);
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  return {.io_count = count_,
          .io_rate = last_second_,
          .io_tokens = static_cast<std::int64_t>(std::clamp(level_, -kMost, kMost)),
          .refill = refill_,
          .max = max_};
}

}  // namespace blkio::throttle
