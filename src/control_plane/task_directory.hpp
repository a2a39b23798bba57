// SPDX-License-Identifier: MIT
/// Whose request is it: the one answer for the group files and for the data path.
#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <vector>

#include "blkio/controller.hpp"
#include "proc_files.hpp"
#include "task_events.hpp"
#include "task_tracker.hpp"

namespace blkio::control_plane {

/// Implements Membership for the control thread and IssuerDirectory for the engine threads, over
/// one table behind one mutex. Nothing done under the mutex waits for I/O of any task: it drains a
/// socket, looks into hash tables, and reads /proc/TID/stat and status.
///
/// Where the knowledge comes from is chosen at start: see source().
class TaskDirectory final : public Membership, public IssuerDirectory {
 public:
  enum class Source : std::uint8_t { kConnector, kProcWalk };

  /// Uses the proc connector if it works here, else walks /proc. An error: /proc is not readable.
  static Result<std::unique_ptr<TaskDirectory>> open();
  /// As open(), with the source given; kConnector fails where the connector does not work.
  static Result<std::unique_ptr<TaskDirectory>> open(Source source);

  /// For tests: on these ports. events: nullptr walks /proc.
  TaskDirectory(std::unique_ptr<ProcFiles> proc, std::unique_ptr<TaskEvents> events);
  /// Before anything else; open() has done it.
  Result<void> start();

  Result<void> attach(pid_t id, TaskScope scope, GroupId group, const Writer& writer) override;
  std::vector<pid_t> members(GroupId group, TaskScope scope) override;
  bool has_tasks(GroupId group) override;

  void resolve(const pid_t* tids, Issuer* issuers, std::size_t count) override;

  /// Readable when drain() has work; -1 if the source has no events. Draining is needed now and
  /// then even while nobody asks anything, lest the socket overrun. The descriptor belongs to the
  /// directory.
  int fd() const { return events_ ? events_->fd() : -1; }
  /// Any thread.
  void drain();

  /// "connector" or "proc-walk".
  const char* source() const { return events_ ? events_->name() : "proc-walk"; }
  /// Any thread.
  TrackerHealth health() const;

 private:
  struct Target {
    pid_t tid = 0;  ///< the thread, or the leader of the process
    bool exiting = false;
  };

  Result<Target> examine(pid_t id, TaskScope scope, const Writer& writer);
  void move_thread(pid_t tid, GroupId group);
  void move_process(pid_t tgid, GroupId group);
  std::size_t move_listed(const std::vector<pid_t>& tids, pid_t tgid, GroupId group);

  std::unique_ptr<ProcFiles> proc_;
  std::unique_ptr<TaskEvents> events_;
  mutable std::mutex mutex_;
  TaskTracker tracker_;  // under mutex_
};

}  // namespace blkio::control_plane
