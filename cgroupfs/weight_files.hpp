// SPDX-License-Identifier: MIT
/// blkio.bfq.weight, blkio.bfq.weight_device and their older names: shares, where limits are caps.
#pragma once

#include "cgroupfs/file_row.hpp"

namespace blkio::cgroupfs {

enum class WeightKind : std::uint8_t {
  kGroup,  ///< of the group among its siblings; in the root, which has none, another name for kLeaf
  kLeaf,   ///< of the group's own tasks among its child groups
};

/// `N\n`.
Show show_weight(WeightKind kind);
/// A strict number. ERANGE: outside 1..1000. In Dialect::kKernel it drops the group's device
/// weights, as block/bfq-cgroup.c, bfq_io_set_weight_legacy; in kDoc it keeps them.
Store store_weight(WeightKind kind);

/// kKernel: `default N`, then `MAJ:MIN N` rows. kDoc: the header `dev     weight`, then rows.
Show show_device_weights(WeightKind kind);
/// A weight for the whole group or a rule, as block/bfq-cgroup.c, bfq_io_set_weight. In the order
/// of the checks, for a rule: EINVAL: the device is malformed; ENODEV: it is not proxied;
/// EOPNOTSUPP: weights do not act on it; EINVAL, ERANGE: the value. `default` removes the rule, and
/// in kDoc 0 does.
Store store_device_weight(WeightKind kind);

}  // namespace blkio::cgroupfs
