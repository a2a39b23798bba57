// SPDX-License-Identifier: MIT
/// One upper limit with its burst.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "blkio/device_rules.hpp"
#include "blkio/types.hpp"
#include "throttle/pace.hpp"

namespace blkio::throttle {

/// A RateRule at work: an even pace, or the two buckets of QEMU (util/throttle.c), of which a
/// request needs both open:
///
///     average   leaks the rate, holds burst rate * burst seconds   how much a burst may be
///     burst     leaks the burst rate, holds a tenth of a second    how fast; longer ones than 1 s
///
/// No clock; one thread.
class Limiter {
 public:
  bool limited() const { return average_.limited(); }
  /// As Pace::opens_at(): of the two the later.
  TimeNs opens_at() const {
    return burst_ == nullptr ? average_.opens_at()
                             : std::max(average_.opens_at(), burst_->opens_at());
  }
  /// This limit made somebody wait until now.
  void note_waited() { waited_ = true; }
  void charge(std::uint64_t cost, TimeNs now);

  /// As Pace::set_rate(). Costs are given in `scale`-ths of the rule's unit, 1 .. 2^40. `strict`: a
  /// bucket of a tenth of a second's worth, as QEMU has it, where the rule has no burst.
  void set_rule(const RateRule& rule, std::uint64_t scale, bool strict, TimeNs now);

 private:
  Pace average_;
  std::unique_ptr<Pace> burst_;  ///< of a burst of more than a second
  std::uint64_t scale_ = 1;
  bool waited_ = false;
};

}  // namespace blkio::throttle
