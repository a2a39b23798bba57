// SPDX-License-Identifier: MIT
/// Whose request is it: the one answer for the group files and for the data path.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "blkio/controller.hpp"
#include "group_mirror.hpp"
#include "proc_files.hpp"
#include "task_events.hpp"
#include "task_tracker.hpp"

namespace blkio::control_plane {

/// Implements Membership for the control thread and IssuerDirectory for the engine threads, over
/// one table behind one mutex. Nothing done under the mutex waits for I/O of any task: it drains a
/// socket, looks into hash tables, and reads /proc/TID/stat, status and cgroup.
///
/// Where the knowledge comes from is chosen at start: see source(). With a mirror the kernel moves,
/// lists and refuses; the table only saves asking it for every request.
class TaskDirectory final : public Membership, public IssuerDirectory {
 public:
  /// Of news about forks and exits.
  enum class Source : std::uint8_t { kConnector, kProcWalk };

  /// Uses the proc connector if it works here, else walks /proc. An error: /proc is not readable.
  static Result<std::unique_ptr<TaskDirectory>> open(std::unique_ptr<GroupMirror> mirror = {});
  /// As open(), with the source given; kConnector fails where the connector does not work, and
  /// `mirror` is still the caller's then.
  static Result<std::unique_ptr<TaskDirectory>> open(Source source,
                                                     std::unique_ptr<GroupMirror>&& mirror = {});

  /// For tests: on these ports. events: nullptr walks /proc. mirror: nullptr does without.
  TaskDirectory(std::unique_ptr<ProcFiles> proc, std::unique_ptr<TaskEvents> events,
                std::unique_ptr<GroupMirror> mirror = {});
  /// Before anything else; open() has done it.
  Result<void> start();

  Result<void> add_group(GroupId group, GroupId parent, std::string_view name) override;
  Result<void> rename_group(GroupId group, std::string_view name) override;
  Result<void> remove_group(GroupId group) override;
  Result<void> attach(pid_t id, TaskScope scope, GroupId group, const Writer& writer) override;
  std::vector<pid_t> members(GroupId group, TaskScope scope) override;
  bool has_tasks(GroupId group) override;
  std::shared_ptr<Membership> seen_by(pid_t opener) override;

  /// With a mirror: groups have been added that had members before; `group` is one of them.
  void adopt(GroupId group);

  void resolve(const pid_t* tids, Issuer* issuers, std::size_t count) override;

  /// Readable when drain() has work; -1 if the source has no events. Draining is needed now and
  /// then even while nobody asks anything, lest the socket overrun. The descriptor belongs to the
  /// directory.
  int fd() const { return events_ ? events_->fd() : -1; }
  /// Any thread.
  void drain();

  /// `told` is called, on the control thread, after each move; of a thread, or with
  /// TaskScope::kProcess of a process by its leader's id.
  void on_attached(std::function<void(pid_t, TaskScope, GroupId)> told) { told_ = std::move(told); }
  /// A living task outside the root group.
  struct Member {
    pid_t tid = 0;
    pid_t tgid = 0;
    GroupId group = GroupId::kRoot;
    auto operator<=>(const Member&) const = default;
  };
  /// All of them, as far as is known without asking for news; in no order.
  std::vector<Member> outside_root();

  /// `wake` is called, on any thread and with the directory locked, when there may be something to
  /// take: it must only pass the word on.
  void on_departures(std::function<void()> wake);
  /// Groups that had tasks and have none any more, each told once. Not those that were removed, nor
  /// those `matters` does not want. look_again: some may be empty in a moment.
  struct Emptied {
    std::vector<GroupId> groups;
    bool look_again = false;
  };
  Emptied take_emptied(const std::function<bool(GroupId)>& matters);

  /// "mirror-named", "mirror-real", "connector" or "proc-walk".
  const char* source() const { return mirror_ ? mirror_->name() : events(); }
  /// Where forks and exits are learnt from: "connector" or "proc-walk".
  const char* events() const { return events_ ? events_->name() : "proc-walk"; }
  /// Any thread.
  TrackerHealth health() const;

 private:
  struct Target {
    pid_t tid = 0;  ///< the thread, or the leader of the process
    bool exiting = false;
  };

  Result<void> attach_in_mirror(const Target& target, TaskScope scope, GroupId group);
  void announce_departures();
  bool looks_empty(GroupId group);
  void drop_ended(std::vector<std::pair<pid_t, pid_t>>& members);
  Result<Target> examine(pid_t id, TaskScope scope, const Writer& writer);
  void move_thread(pid_t tid, GroupId group);
  void move_process(pid_t tgid, GroupId group);
  std::size_t move_listed(const std::vector<pid_t>& tids, pid_t tgid, GroupId group);

  std::unique_ptr<ProcFiles> proc_;
  std::unique_ptr<TaskEvents> events_;
  std::unique_ptr<GroupMirror> mirror_;
  mutable std::mutex mutex_;
  TaskTracker tracker_;         // under mutex_
  std::function<void()> wake_;  // under mutex_
  bool announced_ = false;      // under mutex_: wake_ called, nothing taken since

  // Of the control thread:
  std::function<void(pid_t, TaskScope, GroupId)> told_;
  std::set<GroupId> occupied_;  // somebody was moved there, and it was not found empty since
  std::set<GroupId> leaving_;   // the table says that a group is empty, the kernel not yet
};

}  // namespace blkio::control_plane
