// SPDX-License-Identifier: MIT
/// The port to a hierarchy of the kernel's own that has the same groups and members as ours.
#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "blkio/controller.hpp"
#include "blkio/result.hpp"
#include "blkio/types.hpp"

namespace blkio::control_plane {

/// With one, the kernel keeps membership: it lets children inherit, whoever is named as their
/// parent, moves whole processes at one stroke, and knows everything again for a new daemon.
///
/// Called on the control thread, except group_of(). Nothing in it waits for I/O of any task; a move
/// may take some ten milliseconds, as it does in any cgroup hierarchy.
class GroupMirror {
 public:
  virtual ~GroupMirror() = default;

  /// For the status: "mirror-named", "mirror-real".
  virtual const char* name() const = 0;

  /// Makes the group's directory; takes over one that is there. The root group needs none.
  virtual Result<void> add(GroupId group, GroupId parent, std::string_view name) = 0;
  /// EBUSY: it has tasks, or groups we do not know.
  virtual Result<void> remove(GroupId group) = 0;
  virtual Result<void> rename(GroupId group, std::string_view name) = 0;

  /// The kernel's errors: ESRCH, EINVAL. A zombie is left where it is, without error.
  virtual Result<void> attach(pid_t id, TaskScope scope, GroupId group) = 0;
  /// Ascending, without duplicates. Zombies are not listed.
  virtual Result<std::vector<pid_t>> members(GroupId group, TaskScope scope) = 0;

  /// Any thread. Of a task in a group we do not know: the nearest one above it that we do. ESRCH or
  /// ENOENT: the task is gone. A task whose fork(2) is not over yet may still show the root group.
  virtual Result<GroupId> group_of(pid_t tid) = 0;
};

}  // namespace blkio::control_plane
