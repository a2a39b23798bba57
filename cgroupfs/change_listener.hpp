// SPDX-License-Identifier: MIT
/// Who hears of changes to the groups that are to outlive the daemon.
#pragma once

#include "blkio/types.hpp"

namespace blkio::cgroupfs {

/// Called on the control thread after the change, and before whoever asked for it has the answer.
class ChangeListener {
 public:
  virtual ~ChangeListener() = default;
  /// Made, renamed, or a rule, flag, owner, mode or attribute of it has changed.
  virtual void group_changed(GroupId group) = 0;
  /// What it had counted may be the parent's now.
  virtual void group_removed(GroupId group, GroupId parent) = 0;
};

}  // namespace blkio::cgroupfs
