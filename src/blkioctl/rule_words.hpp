// SPDX-License-Identifier: MIT
/// The words NAME=VALUE of `throttle set` and `tokens set`, as the request they make.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blkio/result.hpp"

namespace blkio::blkioctl {

/// A number as QEMU reads one: with a unit (size_unit.hpp), below zero it wraps, and it is 2^64-1
/// where it does not fit; so both are out of every range. nullopt: no number.
std::optional<std::uint64_t> parse_amount(std::string_view text);

/// Limits by any of QEMU's names for them (`bps_rd`, `bps-read`, `throttling.bps-read`,
/// `x-bps-read`), `max_hold`, `shared`, and `qemu_strict` and `dry_run` as 0 or 1. An error has
/// number 0 and names the word.
Result<nlohmann::json> throttle_request(const std::vector<std::string>& words);

/// `tokens-max`, `tokens-refill`, `credit`.
Result<nlohmann::json> tokens_request(const std::vector<std::string>& words);

/// The names of the answer to "throttle get", in the order to show them.
std::vector<std::string> throttle_names();

}  // namespace blkio::blkioctl
