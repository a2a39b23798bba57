// SPDX-License-Identifier: MIT
/// Divides the time of a busy device among the requests it serves at once.
#pragma once

#include <cstdint>

#include "blkio/types.hpp"

namespace blkio::stats {

/// Of each interval dt with k requests at the device, every one of them gets dt / k. That is kept
/// as one running number, what a request that had always been there would have got: a request's
/// share is what the number grew by during its stay, and nobody need look at the others.
///
///     k          1         2         1
///     a      |-------------------|            a: 10 + 10/2      = 15
///     b                |-------------------|  b:      10/2 + 10 = 15
///     ns     0         10        20        30    busy           = 30
///
/// The shares add up to the busy time, exactly: what a division leaves over is carried into the
/// next interval, and the last to leave takes it. No clock: `now` is given and must not run
/// backwards. One thread.
class DeviceTime {
 public:
  /// A sixteenth of a nanosecond, so that many requests at once can share a short interval fairly;
  /// 64 bits hold 36 years. Only differences mean something.
  using Parts = std::uint64_t;
  static constexpr Parts kPartsPerNs = 16;

  /// A request goes to the device. per_request() is up to date then.
  void enter(TimeNs now) {
    advance(now);
    ++requests_;
  }
  /// One has ended. per_request() is up to date then; the one that leaves gets, besides its share,
  /// what is returned.
  Parts leave(TimeNs now);
  /// Nothing happens but time.
  void advance(TimeNs now);

  Parts per_request() const { return per_request_; }

 private:
  Parts per_request_ = 0;
  Parts carry_ = 0;  ///< busy time that is nobody's yet
  std::uint64_t requests_ = 0;
  TimeNs seen_ = 0;
};

}  // namespace blkio::stats
