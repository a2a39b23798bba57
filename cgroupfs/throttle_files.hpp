// SPDX-License-Identifier: MIT
/// blkio.throttle.*_device and blkio.tokens.*_device: what a group asks of a device, a part of it
/// in each file and a device in each row.
#pragma once

#include "cgroupfs/file_row.hpp"
#include "cgroupfs/rule_fields.hpp"

namespace blkio::cgroupfs {

/// A file that shows a field, `MAJ:MIN VALUE` for each device with it, the device met last first;
/// and takes one rule in a write, as block/blk-throttle.c, tg_set_conf. In the order of the checks:
/// EINVAL: the device is malformed; ENODEV: it is not proxied; EINVAL: the value. A refused value
/// leaves the rule as it was, but the group has met the device.
FileRow rule_file(std::string_view name, Presence presence, const RuleField& field);

/// blkio.throttle.shared_device: `MAJ:MIN MAJ:MIN` for each device that shares the limits of
/// another, and which, the device met last first. Takes one such line, or `MAJ:MIN 0`, which ends
/// it. In the order of the checks: as rule_file(), then those of join().
FileRow shared_file(std::string_view name, Presence presence);

/// blkio.throttle.stat: `MAJ:MIN read_bps delayed=N held_ns=N binding=N` for each limit that is
/// set, and for tokens that bind.
Show show_throttle_stat();
/// A number that is another one when the group has started or stopped to be held.
News news_of_throttle_stat();

/// blkio.tokens.status: the line of User-mode Linux's token limiter, where tokens bind.
Show show_token_status();

}  // namespace blkio::cgroupfs
