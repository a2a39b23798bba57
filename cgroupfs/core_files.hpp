// SPDX-License-Identifier: MIT
/// The files every v1 hierarchy has, whatever its controllers (kernel/cgroup/cgroup-v1.c,
/// cgroup1_base_files).
#pragma once

#include "cgroupfs/file_row.hpp"

namespace blkio::cgroupfs {

/// tasks (kThread) and cgroup.procs (kProcess): one id per line, ascending. A write moves one task
/// or one process; errors beside the grammar's are the membership's.
Show show_members(TaskScope scope);
Store store_member(TaskScope scope);

/// notify_on_release, cgroup.clone_children: any number but 0 is 1.
Show show_flag(bool Group::*flag);
Store store_flag(bool Group::*flag);

/// "1" where limits cover subtrees, which the kernel calls sane.
Show show_sane_behavior();

/// A path, PATH_MAX - 1 bytes at most. EPERM: the writer may not choose what the daemon runs.
inline constexpr std::size_t kMaxReleaseAgentBytes = 4095;
Show show_release_agent();
Store store_release_agent();

}  // namespace blkio::cgroupfs
