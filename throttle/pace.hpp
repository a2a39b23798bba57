// SPDX-License-Identifier: MIT
/// One rate: even, or with a bucket that a burst may use up.
#pragma once

#include <cstdint>
#include <optional>

#include "blkio/types.hpp"

namespace blkio::throttle {

/// What a pace that nobody has used for a while may owe its next users: one millisecond's worth.
inline constexpr TimeNs kIdleCreditNs = kMillisecondNs;
/// How far a pace in steady use may fall behind its plan and still make it up: late wake-ups and
/// stalls of the host up to here cost no rate. It bounds every window of length T by
/// rate * (T + kCatchUpNs) plus one request.
inline constexpr TimeNs kCatchUpNs = 4 * kMillisecondNs;
/// How much of that may be made up at once. The rest comes slowly, at the rate and a kHurry-th of
/// it. It bounds every window of length T by rate * (T + kAtOnceNs) * kHurry / (kHurry - 1) plus
/// one request: one of 100 ms by 1.028 of the rate.
inline constexpr TimeNs kAtOnceNs = 2 * kMillisecondNs;
inline constexpr int kHurry = 128;
/// A pace with whose users nothing has happened for so long is not in steady use.
inline constexpr TimeNs kPauseNs = 10 * kMillisecondNs;

/// Nanoseconds, or units times nanoseconds, where 64 bits are not enough: 2^40 bytes at 1 byte/s
/// are planned 35,000 years ahead.
__extension__ typedef __int128 Wide;

/// Paces requests of some cost (bytes, or ios) at a rate per second by *planned* time: a request
/// may go when the plan's time has come, and going moves the plan on by cost / rate -- from the
/// plan, not from the moment it went. The next request pays the debt of a large one by waiting, so
/// no request is too large to pass. README.md beside this file has the picture and the bounds.
///
/// How far the plan may lag behind the clock is what may be made up. An even pace lags by
/// kIdleCreditNs or kCatchUpNs, and has a second plan, a little faster, that lags by kAtOnceNs
/// only: both must have come. One with a bucket lags by size / rate: it is QEMU's leaky bucket,
/// whose level at a time t is size + (plan - t) * rate, and which is open while level <= size.
///
/// Integer arithmetic, exact for rates of 1 .. 2^64-2 per second and costs up to 2^40: the fraction
/// of a nanosecond is carried. No clock: `now` is given and must not run backwards. One thread.
class Pace {
 public:
  /// In units times nanoseconds, below 2^126: a tenth of a second's worth is rate * 10^8.
  using BucketSize = Wide;

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
  /// and clipped to what the new terms allow. A first even rate starts without either. A bucket
  /// starts full if the pace has never been charged; else a burst has to be saved up by idling, and
  /// idling before the bucket was there counts.
  void set_rate(std::optional<std::uint64_t> per_second, TimeNs now,
                std::optional<BucketSize> bucket = std::nullopt);
  /// What was one unit is `to` / `from` units from now on, and nothing else changes. Both below
  /// 2^41 and not 0. To be followed by set_rate().
  void rescale(std::uint64_t from, std::uint64_t to);

 private:
  /// The debt at `now` in units times nanoseconds; negative is credit.
  Wide debt(TimeNs now) const;
  void plan(TimeNs now, Wide debt);
  void catch_up(Wide earliest_ns, std::uint64_t earliest_fraction);
  void advance(std::uint64_t cost);
  void publish();

  // What a charge of an even pace needs comes first, in one cache line.
  std::optional<std::uint64_t> rate_;
  TimeNs opens_at_ = kLongAgo;  ///< both plans, cut to what TimeNs holds
  std::uint64_t fraction_ = 0;  ///< below *rate_
  Wide planned_ = 0;            ///< the plan is planned_ + fraction_ / *rate_ nanoseconds
  Wide evenly_ = kLongAgo;      ///< the second plan, of an even pace
  TimeNs charged_at_ = kLongAgo;
  bool has_bucket_ = false;
  bool in_use_ = false;             ///< somebody waited, and charges have kept coming since
  bool used_ = false;               ///< ever charged
  Wide stopped_debt_ = 0;           ///< while the rate is 0
  Wide lag_ns_ = 0;                 ///< of a bucket; the plan lags by no more than
  std::uint64_t lag_fraction_ = 0;  ///< lag_ns_ - lag_fraction_ / *rate_ nanoseconds
};

}  // namespace blkio::throttle
