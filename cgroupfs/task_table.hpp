// SPDX-License-Identifier: MIT
/// Which task of the system is in which group.
#pragma once

#include <sys/types.h>

#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "blkio/types.hpp"

namespace blkio::cgroupfs {

inline constexpr unsigned kStartBits = 25;

/// Tells a reused id from the same task seen again; 0 means not known. 25 bits of clock ticks
/// repeat after 3.9 days, and then only if the id is used again in that very tick.
constexpr std::uint32_t start_print(std::uint64_t start_ticks) {
  return static_cast<std::uint32_t>(1 + start_ticks % ((1U << kStartBits) - 1));
}

/// Who left since the last look.
struct Departures {
  std::vector<GroupId> emptied;  ///< groups whose last member left; never the root group
  bool others = false;           ///< other groups may be empty too: tasks in doubt, a long list
  bool any() const { return others || !emptied.empty(); }
};

/// What is known of a living task.
struct TaskInfo {
  GroupId group = GroupId::kRoot;
  pid_t tgid = 0;
  bool kernel_thread = false;
  /// The group is a guess: the task was born where its parent's word is not enough to tell it.
  bool in_doubt = false;
  std::uint32_t start = 0;  ///< start_print()
  bool operator==(const TaskInfo&) const = default;
};

/// A complete table of the system's tasks: every task belongs to exactly one group, the root group
/// holds all that were never moved.
///
/// Fed with the events of the kernel in their order; listing a group costs its members, everything
/// else costs O(1) or the threads of one process. No I/O, no lock: the owner serialises the calls.
/// Zombies are no members, as in kernel/cgroup/cgroup.c. The entry of a leader that exited before
/// its threads is kept, invisible, as the place where they are linked, because one of them may
/// exec and take over its id.
///
/// The kernel's events name a task's parent, which is not always the one that cloned it: a thread
/// may have been cloned by any thread of its process, a child (CLONE_PARENT) by any child of its
/// parent. Where these are in different groups, or may be, the newcomer is *in doubt*, and so is
/// what it forks, until settle() or move(). Nobody is before keep_doubts(): it is of use only to
/// who can ask the kernel.
class TaskTable {
 public:
  TaskTable() = default;
  TaskTable(const TaskTable&) = delete;
  TaskTable& operator=(const TaskTable&) = delete;

  void keep_doubts() { keeps_doubts_ = true; }

  /// Enters a task found by other means than an event, or replaces what was known of this id.
  void add(pid_t tid, const TaskInfo& info);

  /// A child inherits the group of the thread that forked it. The proc connector names the real
  /// parent instead, which for a new thread is the parent of the process: then the new thread gets
  /// the group of its leader (or of another thread, if the leader is gone).
  /// A child that is already known stays as it is: somebody found it before its event was read,
  /// and may have moved it since.
  void forked(pid_t parent_tid, pid_t child_tid, pid_t child_tgid);

  /// The process runs a new program: its other threads are gone, and a kernel helper has become a
  /// user task. If the leader had exited, the thread that called exec goes on under its id and
  /// in its own group; in doubt if the threads were in different ones. Unknown tasks are ignored.
  void exec(pid_t tgid);

  void exited(pid_t tid);

  /// False if the task is not known or is in the group already.
  bool move(pid_t tid, GroupId group);
  /// The kernel has told where the task is.
  void settle(pid_t tid, GroupId group);
  /// The task is in some group, the kernel knows which. Until then it counts as in `guess`.
  void doubt(pid_t tid, GroupId guess);
  /// So are all of them, and nobody knows who is whose sibling.
  void doubt_all();

  /// From now on new threads and children of the process are in doubt.
  void doubt_family(pid_t tgid);
  /// Only new children are: some of the process's descendants are in other groups.
  void doubt_children(pid_t tgid);
  /// A move of the process, or of its threads one by one, is over: new threads are in doubt only if
  /// there are different groups to inherit, new children only if it has had some before. Costs the
  /// threads of the process.
  void recheck_family(pid_t tgid);
  /// The process has a child: what it leaves behind when it is moved.
  void note_child(pid_t tgid);

  /// For a task that was entered by an event. Unknown tasks are ignored.
  void set_start(pid_t tid, std::uint32_t start);

  std::optional<TaskInfo> find(pid_t tid) const;
  /// Group of a process: its leader's, else that of any thread of it that lives.
  std::optional<GroupId> group_of_process(pid_t tgid) const;
  /// Living threads, in no order.
  std::vector<pid_t> threads(pid_t tgid) const;

  /// True if exec() had to believe that the leader called it, while other threads were still
  /// recorded. An exit of the leader read after that may tell of the previous bearer of the id.
  bool exec_in_doubt(pid_t tid) const;

  std::size_t count(GroupId group) const;
  /// True if some task is in another group than the root group.
  bool any_outside_root() const { return doubtful_ != 0 || count(GroupId::kRoot) != living_; }
  /// Tasks in doubt.
  std::size_t doubtful() const { return doubtful_; }
  /// Living tasks.
  std::size_t size() const { return living_; }

  const Departures& departures() const { return departures_; }
  Departures take_departures() { return std::exchange(departures_, {}); }

  /// In no order; visit(pid_t tid, const TaskInfo&). The table must not change meanwhile.
  template <class Visit>
  void for_each_member(GroupId group, Visit visit) const {
    const auto found = groups_.find(group);
    if (found == groups_.end()) return;
    for (const Task& task : found->second) visit(task.tid, info_of(task));
  }
  template <class Visit>
  void for_each(Visit visit) const {
    for (const auto& [tid, task] : tasks_) {
      if (task.alive) visit(tid, info_of(task));
    }
  }

 private:
  struct Task : boost::intrusive::list_base_hook<> {
    Task* next_thread = this;  // ring of the process's entries
    Task* prev_thread = this;
    pid_t tid = 0;
    pid_t tgid = 0;
    GroupId group = GroupId::kRoot;
    std::uint32_t start : kStartBits = 0;
    std::uint32_t kernel_thread : 1 = 0;
    std::uint32_t alive : 1 = 0;
    std::uint32_t exec_in_doubt : 1 = 0;
    std::uint32_t in_doubt : 1 = 0;
    // Of a leader's entry:
    std::uint32_t mixed_threads : 1 = 0;  // may be in different groups
    std::uint32_t mixed_family : 1 = 0;   // the process and its children may be
    std::uint32_t has_children : 1 = 0;   // or had
  };
  static_assert(sizeof(Task) <= 48, "one for every task of the system");
  using Members = boost::intrusive::list<Task>;

  static TaskInfo info_of(const Task& task) {
    return {task.group, task.tgid, task.kernel_thread != 0, task.in_doubt != 0, task.start};
  }
  const Task* living(pid_t tid) const;
  Task* living(pid_t tid);
  /// visit(const Task&) returns false to stop.
  template <class Visit>
  void for_each_thread(pid_t tgid, Visit visit) const;
  const Task* any_living_thread(pid_t tgid) const;
  Task& entry_for(pid_t tid, pid_t tgid);
  void enter(Task& task, GroupId group);
  void leave(Task& task);
  void erase(Task& task);
  void erase_threads(Task& leader);
  void set_doubt(Task& task, bool in_doubt);
  void note_emptied(GroupId group);
  Task* leader_of(pid_t tgid);
  const Task* forker_of(pid_t parent_tid, pid_t child_tid, pid_t child_tgid);
  bool birth_in_doubt(const Task& origin, pid_t child_tid, pid_t child_tgid);
  void drop_if_useless(pid_t tgid);

  std::unordered_map<pid_t, Task> tasks_;  // before groups_, whose lists end first
  std::unordered_map<GroupId, Members> groups_;
  std::size_t living_ = 0;
  std::size_t doubtful_ = 0;
  bool keeps_doubts_ = false;
  Departures departures_;
};

}  // namespace blkio::cgroupfs
