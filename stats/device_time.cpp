// SPDX-License-Identifier: MIT
#include "stats/device_time.hpp"

#include <cassert>
#include <utility>

namespace blkio::stats {

void DeviceTime::advance(TimeNs now) {
  const TimeNs since = std::exchange(seen_, now);
  // Requests come and go in batches that share one time: no division for most of them.
  if (requests_ == 0 || now == since) return;
  assert(now > since);
  const Parts parts = static_cast<Parts>(now - since) * kPartsPerNs + carry_;
  per_request_ += parts / requests_;
  carry_ = parts % requests_;
}

DeviceTime::Parts DeviceTime::leave(TimeNs now) {
  assert(requests_ != 0);
  advance(now);
  return --requests_ == 0 ? std::exchange(carry_, 0) : 0;
}

}  // namespace blkio::stats
