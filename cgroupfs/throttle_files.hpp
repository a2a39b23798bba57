// SPDX-License-Identifier: MIT
/// blkio.throttle.{read,write}_{bps,iops}_device: the upper limits of a group, one rule per device.
#pragma once

#include "cgroupfs/file_row.hpp"

namespace blkio::cgroupfs {

/// `MAJ:MIN N` per device with this limit, the device met last first.
Show show_limit(Limit limit);

/// One rule, as block/blk-throttle.c, tg_set_conf. In the order of the checks: EINVAL: the device
/// is malformed; ENODEV: it is not proxied; EINVAL: the value. A refused value leaves the rule as
/// it was, but the group has met the device.
Store store_limit(Limit limit);

}  // namespace blkio::cgroupfs
