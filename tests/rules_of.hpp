// SPDX-License-Identifier: MIT
/// A set of rules with one limit.
#pragma once

#include <cstdint>

#include "blkio/device_rules.hpp"

namespace blkio::test {

inline DeviceRules rules_of(Limit limit, std::uint64_t per_second, std::uint64_t burst = 0,
                            std::uint64_t seconds = 1) {
  DeviceRules rules;
  rules.of(limit) = {per_second, burst, seconds};
  return rules;
}

}  // namespace blkio::test
