// SPDX-License-Identifier: MIT
/// Shares, as the weight files set them.
#pragma once

#include <cstdint>
#include <map>

#include "blkio/types.hpp"

namespace blkio {

inline constexpr std::uint32_t kMinWeight = 1;
inline constexpr std::uint32_t kMaxWeight = 1000;
inline constexpr std::uint32_t kDefaultWeight = 100;

/// kMinWeight..kMaxWeight each.
struct Weights {
  std::uint32_t value = kDefaultWeight;
  std::map<DeviceNumber, std::uint32_t> of_device{};  ///< instead of `value`

  std::uint32_t on(DeviceNumber device) const {
    const auto own = of_device.find(device);
    return own == of_device.end() ? value : own->second;
  }
  bool operator==(const Weights&) const = default;
};

}  // namespace blkio
