// SPDX-License-Identifier: MIT
/// All limits of one group on one device.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "blkio/device_rules.hpp"
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

  /// The whole set, in place of the last one; see Pace::set_rate().
  void set_rules(const DeviceRules& rules, Levels levels, TimeNs now);
  const DeviceRules& rules() const;
  /// True if a request of one direction may close the other.
  bool has_total() const { return has_total_; }

 private:
  static std::size_t index(Direction direction) { return static_cast<std::size_t>(direction); }
  void refresh(Direction direction);

  // What is asked of every gate on the path of every request, apart from the paces, which are
  // touched only where there is a limit.
  std::array<TimeNs, kDirections> opens_at_{kLongAgo, kLongAgo};
  std::array<bool, kDirections> limited_{};
  bool has_total_ = false;

  /// Of one that has rules. Nine in ten groups never have any.
  struct Limited {
    DeviceRules rules;
    std::array<Pace, kLimits> paces;
  };
  std::unique_ptr<Limited> limited_by_;
};

}  // namespace blkio::throttle
