// SPDX-License-Identifier: MIT
/// The counters of a group in the kernel's rwstat format (block/blk-cgroup-rwstat.c): six rows per
/// device, zeros included, then the total of all devices.
#pragma once

#include "blkio/op_counts.hpp"
#include "cgroupfs/file_row.hpp"

namespace blkio::cgroupfs {

/// Which of the devices a group has met have rows in a file.
enum class StatDevices : std::uint8_t {
  kThrottled,  ///< those whose throttle counters have started
  kWeighted,   ///< those on which weights act
  kAll,
};

enum class StatScope : std::uint8_t {
  kOwn,
  kRecursive,  ///< own + living descendants + what removed ones left
};

Show show_stat(Counter counter, StatDevices devices, StatScope scope);

/// blkio.reset_stats: any number clears the group's statistics in Dialect::kDoc, and nothing that
/// can be seen in Dialect::kKernel.
Store store_reset_stats();

}  // namespace blkio::cgroupfs
