// SPDX-License-Identifier: MIT
/// The algorithm of QEMU's disk I/O limits, patch v2 of July 2011 (bdrv_exceed_bps_limits): fixed
/// slices of 100 ms. Its reviewer found what it cannot do; here it shows that our tests would.
#pragma once

#include <algorithm>
#include <cstdint>

#include "blkio/types.hpp"

namespace blkio::test {

/// One direction and one limit.
class SeedSlices {
 public:
  explicit SeedSlices(std::uint64_t per_second, TimeNs now) : rate_(per_second), start_(now) {}

  /// 0: the request goes, and is charged. Else: ask again after so long.
  TimeNs ask(std::uint64_t cost, TimeNs now) {
    if (now - start_ >= kSliceNs) {
      start_ = now;
      used_ = 0;
    }
    const double allowed = static_cast<double>(rate_) * 0.1;
    const double wanted = static_cast<double>(used_ + cost);
    if (wanted <= allowed) {
      used_ += cost;
      return 0;
    }
    const auto excess = static_cast<TimeNs>((wanted - allowed) / static_cast<double>(rate_) * 1e9);
    return std::max<TimeNs>(excess, 1) + (kSliceNs - (now - start_));
  }
  /// There was none: limits were looked at when the device was opened, and never again.
  void set_rate(std::uint64_t, TimeNs) {}

 private:
  static constexpr TimeNs kSliceNs = 100 * kMillisecondNs;

  std::uint64_t rate_;
  TimeNs start_;
  std::uint64_t used_ = 0;
};

}  // namespace blkio::test
