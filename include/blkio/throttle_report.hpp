// SPDX-License-Identifier: MIT
/// What the limits of a group did to the requests on a device: values to show.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "blkio/device_rules.hpp"
#include "blkio/types.hpp"

namespace blkio {

/// One limit. Hierarchy::kTree: it may have held requests of the groups below too.
struct LimitReport {
  std::uint64_t delayed = 0;  ///< requests that waited, and for this one last
  /// Summed over all requests, those that wait now included: how long this was the limit of their
  /// path that was last to open.
  std::uint64_t held_ns = 0;
  bool binding = false;  ///< it holds somebody now; DeviceRules::dry_run: it would

  bool operator==(const LimitReport&) const = default;
};

/// All limits of a group on a device, as they are at the moment of the question.
struct ThrottleReport {
  std::array<LimitReport, kLimits> limits{};  ///< by Limit; zeros where there is none
  LimitReport tokens{};
  /// How often the group has started or stopped holding somebody.
  std::uint64_t changes = 0;

  LimitReport& of(Limit limit) { return limits[static_cast<std::size_t>(limit)]; }
  const LimitReport& of(Limit limit) const { return limits[static_cast<std::size_t>(limit)]; }
  bool operator==(const ThrottleReport&) const = default;
};

/// A bucket of tokens, as it is at the moment of the question.
struct TokenStatus {
  std::uint64_t io_count = 0;  ///< requests that have paid since the rule came to bind
  std::uint64_t io_rate = 0;   ///< of these, those of the last full second since then
  std::int64_t io_tokens = 0;  ///< below zero: owed
  TokenRefill refill{};
  std::uint64_t max = 0;

  bool operator==(const TokenStatus&) const = default;
};

}  // namespace blkio
