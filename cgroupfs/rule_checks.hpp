// SPDX-License-Identifier: MIT
/// Which rules go together. Pure functions; the words and their order are QEMU's, because tools
/// look for them (util/throttle.c, throttle_is_valid; block/throttle-groups.c).
///
/// An error has number 0 and the sentence.
#pragma once

#include <cstdint>

#include "blkio/device_rules.hpp"
#include "blkio/result.hpp"

namespace blkio::cgroupfs {

inline constexpr std::uint64_t kMaxRate = 1'000'000'000'000'000;  ///< bytes or ios per second
inline constexpr std::uint64_t kMaxBurstSeconds = 0xFFFF'FFFF;
inline constexpr std::uint64_t kMaxHoldMs = 0xFFFF'FFFF;
inline constexpr std::uint64_t kMaxTokens = kMaxRate;

/// One limit with its burst: range, length, and that a burst is above the rate it bursts from.
Result<void> check_rate(const RateRule& rule);

/// A total beside a limit of one direction: refused by QEMU, and here where it is asked to be as
/// strict.
Result<void> check_exclusive(const DeviceRules& rules);

/// All of a set. A total may stand beside the limits of the directions, unless qemu_strict.
Result<void> check_rules(const DeviceRules& rules);

}  // namespace blkio::cgroupfs
