// SPDX-License-Identifier: MIT
/// All that a group may ask of one device: upper limits, their bursts, and tokens. Plain values.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "blkio/types.hpp"

namespace blkio {

/// One upper limit, in bytes or ios.
struct RateRule {
  std::optional<std::uint64_t> per_second;  ///< nullopt: no limit; 0: nothing may pass
  std::uint64_t burst_per_second = 0;       ///< 0: no burst beyond the limiter's own allowance
  std::uint64_t burst_seconds = 1;          ///< how long a burst may last; 1 when nobody set it

  bool operator==(const RateRule&) const = default;
};

/// What comes back to a bucket of tokens.
struct TokenRefill {
  std::uint64_t tokens = 0;
  std::uint32_t period_ms = 1000;
  /// False: `tokens` come every period. True: `tokens` are those of a second, handed out every
  /// period: floor(tokens * period / second), the fraction carried.
  bool of_a_second = false;

  bool operator==(const TokenRefill&) const = default;
};

/// Xen blkback's tokens: one for each request, whatever its size. They bind when both are set.
struct TokenRule {
  std::optional<std::uint64_t> max;
  std::optional<TokenRefill> refill;

  bool operator==(const TokenRule&) const = default;
};

struct DeviceRules {
  std::array<RateRule, kLimits> limits{};  ///< by Limit
  std::uint64_t iops_size = 0;             ///< bytes that count as one io; 0: every request is one
  std::uint64_t max_hold_ms = 0;  ///< a request held for longer fails with ETIMEDOUT; 0: no bound
  TokenRule tokens{};
  /// Account and report what would be held, and hold nothing.
  bool dry_run = false;
  /// QEMU's own arithmetic and charges instead of even pacing (QEMU util/throttle.c): a bucket of a
  /// tenth of a second where no burst is set, flushes free, discards by their bytes.
  bool qemu_strict = false;
  /// The limits are one account for all devices of the group with the same number here, that of the
  /// first of them; all else is the same in the rules of all. nullopt: of this device alone.
  std::optional<DeviceNumber> shared_with{};

  RateRule& of(Limit limit) { return limits[static_cast<std::size_t>(limit)]; }
  const RateRule& of(Limit limit) const { return limits[static_cast<std::size_t>(limit)]; }
  /// True if nothing is asked.
  bool empty() const { return *this == DeviceRules{}; }
  bool operator==(const DeviceRules&) const = default;
};

/// What a change of rules does to what has been used of the old ones.
enum class Levels : std::uint8_t {
  kKept,   ///< debt is kept, credit clipped to what the new rules allow
  kReset,  ///< every account starts afresh, as QEMU's block_set_io_throttle has it
};

}  // namespace blkio
