// SPDX-License-Identifier: MIT
/// All limits of one group on one device.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "blkio/types.hpp"
#include "throttle/pace.hpp"

namespace blkio::throttle {

/// A gate per direction: open when every limit of the direction lets the next request go. The
/// directions know nothing of each other. No clock; one thread.
class Gate {
 public:
  bool limited(Direction direction) const {
    return bytes(direction).limited() || ios(direction).limited();
  }

  /// kLongAgo without a limit; kNever under a limit of 0. The gate is open when this is not in the
  /// future.
  TimeNs opens_at(Direction direction) const {
    const TimeNs for_bytes = bytes(direction).opens_at();
    const TimeNs for_ios = ios(direction).opens_at();
    return for_bytes > for_ios ? for_bytes : for_ios;
  }

  /// A request goes through; see Pace::charge().
  void charge(Direction direction, Charge charge, TimeNs now, bool held);

  /// See Pace::set_rate().
  void set_limit(Limit limit, std::optional<std::uint64_t> per_second, TimeNs now);
  std::optional<std::uint64_t> limit(Limit limit) const { return pace(limit).rate(); }

 private:
  Pace& pace(Limit limit) { return paces_[static_cast<std::size_t>(limit)]; }
  const Pace& pace(Limit limit) const { return paces_[static_cast<std::size_t>(limit)]; }
  const Pace& bytes(Direction direction) const {
    return pace(direction == Direction::kRead ? Limit::kReadBps : Limit::kWriteBps);
  }
  const Pace& ios(Direction direction) const {
    return pace(direction == Direction::kRead ? Limit::kReadIops : Limit::kWriteIops);
  }

  std::array<Pace, kLimits> paces_;
};

}  // namespace blkio::throttle
