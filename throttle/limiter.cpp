// SPDX-License-Identifier: MIT
#include "throttle/limiter.hpp"

#include <limits>
#include <optional>
#include <utility>

namespace blkio::throttle {

namespace {

/// Of any bucket, in the rule's units: above all that the rules' files take (10^15), and times 2^40
/// (scale) and 10^9 (nanoseconds) below 2^127.
constexpr Wide kLargestBucket = Wide{1} << 56;
constexpr std::uint64_t kFastest = std::numeric_limits<std::uint64_t>::max() - 1;

Pace::BucketSize tenth_of_a_second(std::uint64_t rate) {
  return Wide{rate} * (kSecondNs / 10);
}

/// Faster than anything can be asked for is as good as that.
std::uint64_t scaled(std::uint64_t per_second, std::uint64_t scale) {
  return static_cast<std::uint64_t>(std::min<Wide>(Wide{per_second} * scale, kFastest));
}

}  // namespace

void Limiter::charge(std::uint64_t cost, TimeNs now) {
  const bool waited = std::exchange(waited_, false);
  average_.charge(cost, now, waited);
  if (burst_ != nullptr) burst_->charge(cost, now, waited);
}

void Limiter::set_rule(const RateRule& rule, std::uint64_t scale, bool strict, TimeNs now) {
  if (scale != scale_) {
    average_.rescale(scale_, scale);
    if (burst_ != nullptr) burst_->rescale(scale_, scale);
    scale_ = scale;
  }
  if (!rule.per_second) {
    *this = Limiter();
    return;
  }
  const std::uint64_t rate = scaled(*rule.per_second, scale);
  const std::uint64_t burst_rate = scaled(rule.burst_per_second, scale);
  std::optional<Pace::BucketSize> bucket;
  if (rule.burst_per_second != 0) {
    const Wide seconds = std::min<Wide>(rule.burst_seconds, kLargestBucket);
    bucket = std::min(rule.burst_per_second * seconds, kLargestBucket) * scale * kSecondNs;
  } else if (strict) {
    bucket = tenth_of_a_second(rate);
  }
  average_.set_rate(rate, now, bucket);
  if (rule.burst_per_second == 0 || rule.burst_seconds <= 1) {
    burst_.reset();
  } else {
    if (burst_ == nullptr) burst_ = std::make_unique<Pace>();
    burst_->set_rate(burst_rate, now, tenth_of_a_second(burst_rate));
  }
}

}  // namespace blkio::throttle
