// SPDX-License-Identifier: MIT
/// Keeps the task table true to the system, from events where there are any and from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "blkio/controller.hpp"
#include "cgroupfs/task_table.hpp"
#include "proc_files.hpp"
#include "task_events.hpp"

namespace blkio::control_plane {

/// How the tracking fares; for the status command.
struct TrackerHealth {
  std::uint64_t events = 0;    ///< read so far
  std::uint64_t overruns = 0;  ///< times that events were lost
  std::uint64_t scans = 0;     ///< of all of /proc
};

/// Not thread-safe: TaskDirectory holds its mutex around every call.
///
/// With events, the table is as complete as the kernel's own after each refresh(). Without, it is
/// what the last scan saw: a child forked and orphaned between two scans is taken for one of
/// init's, and belongs to the root group.
class TaskTracker {
 public:
  /// events: nullptr where there are none. Both outlive the tracker.
  TaskTracker(ProcFiles& proc, TaskEvents* events) : proc_(proc), events_(events) {}

  /// Subscribing comes first, so that no fork falls between the scan and the events. An error means
  /// that /proc cannot be read.
  Result<void> start();

  /// Brings the table up to date: before a move, lest a child forked earlier follow its parent, and
  /// before a group is listed. Costs a scan of /proc without events.
  void refresh();
  /// The same before tasks are looked up: does nothing while all tasks are in the root group, or
  /// without events, where look_up() checks each task by itself.
  void refresh_for_lookup();

  /// The task, learnt from /proc if it is not in the table yet. nullopt: gone, or a zombie.
  std::optional<cgroupfs::TaskInfo> look_up(pid_t tid);
  Issuer issuer(pid_t tid);

  /// True if the group holds a task that lives: those whose exit events are still to come do not
  /// count, or rmdir right after wait(2) would fail.
  bool any_alive(GroupId group);

  cgroupfs::TaskTable& table() { return table_; }
  const TrackerHealth& health() const { return health_; }

 private:
  struct Seen {
    pid_t tgid = 0;
    ProcStat stat;
  };
  using Census = std::unordered_map<pid_t, Seen>;

  bool drain();
  void apply(const TaskEvent& event);
  bool alive(pid_t tid);

  Result<void> scan();
  Result<Census> take_census();
  void drop_reused(const Census& census);
  void enter_new(const Census& census);
  void drop_vanished(const Census& census);

  std::optional<cgroupfs::TaskInfo> known(pid_t tid);
  std::optional<cgroupfs::TaskInfo> learn(pid_t tid);

  ProcFiles& proc_;
  TaskEvents* events_;
  cgroupfs::TaskTable table_;
  TrackerHealth health_;
  bool scan_due_ = false;  // events were lost and /proc could not be read since
};

}  // namespace blkio::control_plane
