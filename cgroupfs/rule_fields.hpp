// SPDX-License-Identifier: MIT
/// The parts of a group's rules on a device: how a file shows one, and how it changes it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "blkio/device_rules.hpp"
#include "blkio/result.hpp"

namespace blkio::cgroupfs {

struct RuleField {
  /// The value as it is written; nullopt: not set.
  std::function<std::optional<std::string>(const DeviceRules&)> show;
  /// Changes a copy of the set. EINVAL: the value makes no sense, or not beside the others; then
  /// the copy is of no use any more.
  std::function<Result<void>(DeviceRules&, std::string_view)> store;
};

/// Bytes or ios per second; 0 removes, which EINVAL refuses while there is a burst above it. The
/// numbers of one direction are the kernel's (parse_throttle_value), those of totals strict.
RuleField rate_of(Limit limit);
/// The rate of a burst, not below the limit it bursts from, which must be there; 0 removes it
/// together with its length.
RuleField burst_rate_of(Limit limit);
/// How many seconds the burst may last; 0 is 1 again. More than 1 needs the burst rate.
RuleField burst_length_of(Limit limit);

RuleField iops_size();
RuleField max_hold_ms();
RuleField dry_run();
RuleField tokens_max();
RuleField tokens_refill();

}  // namespace blkio::cgroupfs
