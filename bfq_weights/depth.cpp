// SPDX-License-Identifier: MIT
#include "bfq_weights/depth.hpp"

#include <algorithm>

namespace blkio::bfq_weights {
namespace {

constexpr double kWorthMore = 1.10;
constexpr double kWorthLess = 0.95;
constexpr double kForget = 0.99;  ///< of the best rate, each window: devices change

}  // namespace

void Depth::begin_window(TimeNs now) {
  since_ns_ = now;
  done_ = 0;
  requests_ = 0;
}

void Depth::completed(TimeNs now, std::uint64_t cost, bool limited) {
  if (!adapts_) return;
  if (!limited) {
    since_ns_ = kNever;
    return;
  }
  if (settling_ != 0) {
    if (--settling_ == 0) begin_window(now);
    return;
  }
  if (since_ns_ == kNever) return begin_window(now);
  done_ += cost;
  ++requests_;
  const TimeNs passed = now - since_ns_;
  if (passed < kWindowNs || requests_ < kWindowRequests) return;
  judge(static_cast<double>(done_) / static_cast<double>(passed));
  if (settling_ == 0) begin_window(now);
}

void Depth::set(unsigned depth, Trial trial) {
  // What is there now was sent under the old one.
  settling_ = std::max(depth_, depth) + 1;
  depth_ = depth;
  trial_ = trial;
  rested_ = 0;
}

void Depth::judge(double rate) {
  const double best = best_;
  best_ = std::max(best_ * kForget, rate);
  switch (trial_) {
    case Trial::kMore:
      if (rate >= best * kWorthMore && depth_ < kMost) {
        kept_ = depth_;
        return set(depth_ * 2, Trial::kMore);
      }
      return set(rate >= best * kWorthMore ? depth_ : kept_, Trial::kNone);
    case Trial::kLess:
      if (rate >= best * kWorthLess && depth_ > kLeast) {
        kept_ = depth_;
        return set(depth_ / 2, Trial::kLess);
      }
      return set(rate >= best * kWorthLess ? depth_ : kept_, Trial::kNone);
    case Trial::kNone:
      break;
  }
  if (++rested_ < kRest && best != 0) return;
  kept_ = depth_;
  last_ = last_ == Trial::kMore && depth_ > kLeast ? Trial::kLess : Trial::kMore;
  if (last_ == Trial::kMore && depth_ < kMost) return set(depth_ * 2, Trial::kMore);
  if (depth_ > kLeast) set(depth_ / 2, Trial::kLess);
}

}  // namespace blkio::bfq_weights
