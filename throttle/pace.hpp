// SPDX-License-Identifier: MIT
/// One rate, evenly spaced.
#pragma once

#include <cstdint>
#include <optional>

#include "blkio/types.hpp"

namespace blkio::throttle {

/// What a pace that nobody has used for a while may owe its next users: one millisecond's worth.
inline constexpr TimeNs kIdleCreditNs = kMillisecondNs;
/// How far a pace in steady use may fall behind its own plan and still make it up: late wake-ups
/// and stalls of the host up to here cost no rate. It bounds every window of length T by
/// rate * (T + kCatchUpNs) plus one request.
inline constexpr TimeNs kCatchUpNs = 2'500'000;

/// Nanoseconds, or units times nanoseconds, where 64 bits are not enough: 2^40 bytes at 1 byte/s
/// are planned 35,000 years ahead.
__extension__ typedef __int128 Wide;

/// Paces requests of some cost (bytes, or ios) at a rate per second by *planned* time: a request
/// may go when the plan's time has come, and going moves the plan on by cost / rate -- from the
/// plan, not from the moment it went. The next request pays the debt of a large one by waiting, so
/// no request is too large to pass. README.md beside this file has the picture and the bounds.
///
/// Integer arithmetic, exact for rates of 1 .. 2^64-2 per second and costs up to 2^40: the fraction
/// of a nanosecond is carried. No clock: `now` is given and must not run backwards. One thread.
class Pace {
 public:
  /// True if a rate is set, 0 included.
  bool limited() const { return rate_.has_value(); }
  std::optional<std::uint64_t> rate() const { return rate_; }

  /// When the next request may go; past times mean at once, kNever means not before set_rate().
  TimeNs opens_at() const { return opens_at_; }

  /// A request of `cost` units goes. May be called before opens_at(): the debt grows.
  /// `held`: the pace has made somebody wait since the last charge, so being behind the plan is
  /// the waker's delay and not idleness.
  void charge(std::uint64_t cost, TimeNs now, bool held);

  /// Binds at once. nullopt: no limit, and no memory of one; 0: nothing may pass until the rate is
  /// changed. The debt in units is kept from rate to rate, over a 0 too; credit is kept in units
  /// and clipped to what the new rate allows. A first rate starts without either.
  void set_rate(std::optional<std::uint64_t> per_second, TimeNs now);

 private:
  /// The debt at `now` in units times nanoseconds; negative is credit.
  Wide debt(TimeNs now) const;
  void plan(TimeNs now, Wide debt);
  void publish();

  std::optional<std::uint64_t> rate_;
  TimeNs opens_at_ = kLongAgo;  ///< planned_, cut to what TimeNs holds
  Wide planned_ = 0;            ///< the plan is planned_ + fraction_ / *rate_ nanoseconds
  std::uint64_t fraction_ = 0;  ///< below *rate_
  Wide stopped_debt_ = 0;       ///< while the rate is 0
  TimeNs charged_at_ = kLongAgo;
  bool in_use_ = false;  ///< somebody waited, and charges have kept coming since
};

}  // namespace blkio::throttle
