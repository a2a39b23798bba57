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
  bool limited(Direction direction) const { return limited_[index(direction)]; }

  /// kLongAgo without a limit; kNever under a limit of 0. The gate is open when this is not in the
  /// future.
  TimeNs opens_at(Direction direction) const { return opens_at_[index(direction)]; }

  /// A request goes through; see Pace::charge().
  void charge(Direction direction, Charge charge, TimeNs now, bool held);

  /// See Pace::set_rate().
  void set_limit(Limit limit, std::optional<std::uint64_t> per_second, TimeNs now);
  std::optional<std::uint64_t> limit(Limit limit) const { return pace(limit).rate(); }

 private:
  static std::size_t index(Direction direction) { return static_cast<std::size_t>(direction); }
  Pace& pace(Limit limit) { return paces_[static_cast<std::size_t>(limit)]; }
  const Pace& pace(Limit limit) const { return paces_[static_cast<std::size_t>(limit)]; }
  void refresh(Direction direction);

  // What is asked of every gate on the path of every request, apart from the paces, which are
  // touched only where there is a limit.
  std::array<TimeNs, kDirections> opens_at_{kLongAgo, kLongAgo};
  std::array<bool, kDirections> limited_{};
  std::array<Pace, kLimits> paces_;
};

}  // namespace blkio::throttle
