// SPDX-License-Identifier: MIT
/// What a limit is called in blkio's own files: blkio.throttle.WORD_device, a row of
/// blkio.throttle.stat, the state file. None is ever renamed.
#pragma once

#include <array>
#include <utility>

#include "blkio/types.hpp"

namespace blkio {

inline constexpr std::array<std::pair<Limit, const char*>, kLimits> kLimitWords{{
    {Limit::kReadBps, "read_bps"},
    {Limit::kWriteBps, "write_bps"},
    {Limit::kReadIops, "read_iops"},
    {Limit::kWriteIops, "write_iops"},
    {Limit::kTotalBps, "total_bps"},
    {Limit::kTotalIops, "total_iops"},
}};

}  // namespace blkio
