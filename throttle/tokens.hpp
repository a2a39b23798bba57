// SPDX-License-Identifier: MIT
/// A bucket of tokens, refilled at whole periods.
#pragma once

#include <cstdint>

#include "blkio/throttle_report.hpp"
#include "blkio/types.hpp"
#include "throttle/pace.hpp"

namespace blkio::throttle {

/// Xen blkback's limiter, after UML's: every request costs one token, whatever its size or
/// direction, and may go while there are tokens. The bucket starts full, may fall below zero, and
/// is refilled, up to its size, at each whole period since the refill was set.
///
/// The refills are counted from the clock, never from wake-ups, and in integers: after k periods
/// k * tokens have come, of_a_second floor(k * tokens * period / second). No clock; one thread.
class Tokens {
 public:
  /// `max` above 0, tokens and period of the refill above 0.
  Tokens(std::uint64_t max, const TokenRefill& refill, TimeNs now);

  /// When there is a token for the next request; a past time: there is one.
  TimeNs opens_at() const { return opens_at_; }
  /// A request goes.
  void charge(TimeNs now);
  /// Binds at once. Debt is kept, more than `max` is clipped. A new refill counts its periods from
  /// now on, without a fraction; an old one goes on.
  void set(std::uint64_t max, const TokenRefill& refill, TimeNs now);

  TokenStatus status(TimeNs now);

 private:
  Wide given_after(Wide periods) const;
  void refill_until(TimeNs now);
  void plan();

  std::uint64_t max_;
  TokenRefill refill_;
  TimeNs since_;      ///< periods are counted from here
  Wide periods_ = 0;  ///< refilled up to this one
  Wide level_;
  TimeNs opens_at_ = kLongAgo;

  // For status().
  void count_until(TimeNs now);
  TimeNs counted_since_;
  TimeNs second_ = 0;  ///< the one that runs, counted from then
  std::uint64_t count_ = 0;
  std::uint64_t this_second_ = 0;
  std::uint64_t last_second_ = 0;
};

}  // namespace blkio::throttle
