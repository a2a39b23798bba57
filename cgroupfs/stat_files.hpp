// SPDX-License-Identifier: MIT
/// The statistics of a group, in the kernel's two formats, zeros included: rwstat, six rows per
/// device and then the total of all devices (block/blk-cgroup-rwstat.c); or one row `MAJ:MIN N` per
/// device and nothing else.
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

/// rwstat.
Show show_stat(Counter counter, StatDevices devices, StatScope scope);

/// One row per device: the group's own number, as it is.
Show show_scalar(Scalar scalar, StatDevices devices);

/// One row per device: the group's share of the time the device was busy, in whole ms.
Show show_time(StatDevices devices, StatScope scope);

/// One row per device: the bytes that went to the device in sectors of 512 bytes. Discards are in a
/// group's own, and not in the recursive sum (as block/bfq-cgroup.c).
Show show_sectors(StatDevices devices, StatScope scope);

/// blkio.reset_stats: any number clears the group's statistics in Dialect::kDoc, and nothing that
/// can be seen in Dialect::kKernel.
Store store_reset_stats();

}  // namespace blkio::cgroupfs
