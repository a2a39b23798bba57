// SPDX-License-Identifier: MIT
/// Keeps the task table true to the system, from events where there are any and from /proc.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <unordered_map>

#include "blkio/controller.hpp"
#include "cgroupfs/task_table.hpp"
#include "group_mirror.hpp"
#include "proc_files.hpp"
#include "task_events.hpp"

namespace blkio::control_plane {

/// How the tracking fares; for the status command.
struct TrackerHealth {
  std::uint64_t events = 0;     ///< read so far
  std::uint64_t overruns = 0;   ///< times that events were lost
  std::uint64_t scans = 0;      ///< of all of /proc
  std::uint64_t inquiries = 0;  ///< times that the mirror was asked for a task's group
};

/// Not thread-safe: TaskDirectory holds its mutex around every call.
///
/// With events, the table is as complete as the kernel's own after each refresh(). Without, it is
/// what the last scan saw: a child forked and orphaned between two scans is taken for one of
/// init's, and belongs to the root group.
///
/// With a mirror the kernel has the last word and the table is a cache: a task unknown or in doubt
/// is asked for when it is looked up, once. So a fork costs nothing at the time of its event, and
/// most tasks are never asked for.
class TaskTracker {
 public:
  /// events, mirror: nullptr where there are none. All outlive the tracker.
  TaskTracker(ProcFiles& proc, TaskEvents* events, GroupMirror* mirror)
      : proc_(proc), events_(events), mirror_(mirror) {
    if (mirror != nullptr) table_.keep_doubts();
  }

  /// Subscribing comes first, so that no fork falls between the scan and the events. An error means
  /// that /proc cannot be read.
  Result<void> start();

  /// Brings the table up to date: before a move, lest a child forked earlier follow its parent, and
  /// before a group is listed. Costs a scan of /proc without events and mirror.
  void refresh();
  /// The same before tasks are looked up: does nothing while all tasks are in the root group, or
  /// without events, where look_up() checks each task by itself.
  void refresh_for_lookup();

  /// The task, learnt from /proc if it is not in the table yet. nullopt: gone, or a zombie.
  std::optional<cgroupfs::TaskInfo> look_up(pid_t tid);
  Issuer issuer(pid_t tid);

  /// With a mirror: the kernel is about to move the task, or its process. Whoever is born from the
  /// family until moved() is in doubt: before or after, only the kernel can tell.
  void about_to_move(pid_t tid);
  /// The kernel has moved them; or has not, and nothing changes but what was expected.
  void moved(pid_t tid, TaskScope scope, std::optional<GroupId> group);
  /// With a mirror: the kernel says the group is empty and has removed it.
  void forget(GroupId group);

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

  /// Without events a thread may exec and become its leader, in the group it was in: only a mirror
  /// can tell, and is asked each time.
  bool unnoticed() const { return events_ == nullptr && mirror_ != nullptr; }
  std::optional<GroupId> ask_mirror(pid_t tid);
  std::optional<cgroupfs::TaskInfo> settle(pid_t tid, const cgroupfs::TaskInfo& guess);
  std::optional<cgroupfs::TaskInfo> known(pid_t tid);
  std::optional<cgroupfs::TaskInfo> learn(pid_t tid);

  ProcFiles& proc_;
  TaskEvents* events_;
  GroupMirror* mirror_;
  cgroupfs::TaskTable table_;
  TrackerHealth health_;
  bool scan_due_ = false;         // events were lost and /proc could not be read since
  std::size_t scanned_size_ = 0;  // of the table, after the last scan
};

}  // namespace blkio::control_plane
