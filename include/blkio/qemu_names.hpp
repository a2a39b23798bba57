// SPDX-License-Identifier: MIT
/// What QEMU calls the limits of a disk, in its order.
#pragma once

#include <array>
#include <string_view>

#include "blkio/types.hpp"

namespace blkio::qemu {

struct LimitName {
  Limit limit;
  std::string_view qmp;         ///< block_set_io_throttle; and -drive's old names
  std::string_view properties;  ///< of a throttle-group; with `throttling.` before it, -drive's
};

/// The order in which a set is checked and listed.
inline constexpr std::array<LimitName, kLimits> kLimitNames{{
    {Limit::kTotalBps, "bps", "bps-total"},
    {Limit::kReadBps, "bps_rd", "bps-read"},
    {Limit::kWriteBps, "bps_wr", "bps-write"},
    {Limit::kTotalIops, "iops", "iops-total"},
    {Limit::kReadIops, "iops_rd", "iops-read"},
    {Limit::kWriteIops, "iops_wr", "iops-write"},
}};

/// Behind a limit's name.
inline constexpr std::string_view kQmpMax = "_max";
inline constexpr std::string_view kQmpMaxLength = "_max_length";
inline constexpr std::string_view kPropertyMax = "-max";
inline constexpr std::string_view kPropertyMaxLength = "-max-length";

inline constexpr std::string_view kQmpIopsSize = "iops_size";
inline constexpr std::string_view kPropertyIopsSize = "iops-size";

}  // namespace blkio::qemu
