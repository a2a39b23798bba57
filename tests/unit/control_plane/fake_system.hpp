// SPDX-License-Identifier: MIT
/// A system of tasks without a kernel: /proc, the event stream and a mirror, with hooks to stage
/// races.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "control_plane/group_mirror.hpp"
#include "control_plane/proc_files.hpp"
#include "control_plane/task_events.hpp"

namespace blkio::control_plane::fake {

struct Task {
  pid_t tgid = 0;
  pid_t ppid = 0;
  std::uint32_t flags = 0;
  char state = 'S';
  std::uint64_t start = 0;
  uid_t uid = 0;
  uid_t saved_uid = 0;
  GroupId group = GroupId::kRoot;  ///< in the kernel's hierarchy
};

/// The tasks as the kernel knows them. Its verbs queue the events the kernel would.
class System {
 public:
  System() {
    tasks[1] = {.tgid = 1};
    tasks[2] = {.tgid = 2, .flags = kPfKthread};
  }

  void fork(pid_t parent, pid_t child) {
    tasks[child] = tasks.at(parent);
    tasks[child].tgid = child;
    tasks[child].ppid = tasks.at(parent).tgid;
    tasks[child].start = ++clock;
    queue({TaskEvent::Kind::kFork, child, child, parent});
  }
  /// CLONE_PARENT: the child's parent is the forker's.
  void fork_sibling(pid_t forker, pid_t child) {
    fork(forker, child);
    tasks[child].ppid = tasks.at(forker).ppid;
    events.back().parent_tid = tasks[child].ppid;
  }
  /// by: the thread that clones it; any of the process if not told.
  void clone_thread(pid_t tgid, pid_t tid, pid_t by = 0) {
    if (by != 0) {
      tasks[tid] = tasks.at(by);
      tasks[tid].start = ++clock;
      return queue({TaskEvent::Kind::kFork, tid, tgid, tasks[tid].ppid});
    }
    const auto sibling = std::find_if(tasks.begin(), tasks.end(), [&](const auto& task) {
      return task.second.tgid == tgid && task.second.state != 'Z';
    });
    tasks[tid] = sibling->second;
    tasks[tid].state = 'S';
    tasks[tid].start = ++clock;
    queue({TaskEvent::Kind::kFork, tid, tgid, tasks[tid].ppid});
  }
  void exec(pid_t tgid) { queue({TaskEvent::Kind::kExec, tgid, tgid, 0}); }
  void die(pid_t tid) {  // a zombie, to be reaped
    tasks.at(tid).state = 'Z';
    queue({TaskEvent::Kind::kExit, tid, tasks.at(tid).tgid, 0});
    for (auto& [child, task] : tasks) {
      if (task.ppid == tid) task.ppid = 1;
    }
  }
  void reap(pid_t tid) { tasks.erase(tid); }
  void end(pid_t tid) {
    die(tid);
    reap(tid);
  }
  void overrun() {  // events so far are lost
    events.clear();
    lost = true;
  }
  void queue(const TaskEvent& event) { events.push_back(event); }

  std::map<pid_t, Task> tasks;
  std::deque<TaskEvent> events;
  std::uint64_t clock = 100;
  bool lost = false;
  std::size_t stats_read = 0;
  int error = 0;                                  ///< errno of every reading, if not 0
  std::function<void()> after_threads = [] {};    ///< runs after each listing of threads
  std::function<void()> after_processes = [] {};  ///< and of processes
  std::function<void()> before_move = [] {};      ///< runs as the kernel begins to move somebody
  std::function<void()> after_move = [] {};
};

class Proc final : public ProcFiles {
 public:
  explicit Proc(System& system) : system_(system) {}

  Result<ProcStat> stat(pid_t tid) override {
    ++system_.stats_read;
    BLKIO_TRY(const auto task, find(tid));
    return ProcStat{task.state, task.ppid, task.flags, task.start};
  }
  Result<ProcStatus> status(pid_t tid) override {
    BLKIO_TRY(const auto task, find(tid));
    return ProcStatus{task.tgid, task.uid, task.saved_uid};
  }
  Result<std::vector<pid_t>> processes() override {
    if (system_.error != 0) return failure(system_.error);
    std::vector<pid_t> ids;
    for (const auto& [tid, task] : system_.tasks) {
      if (tid == task.tgid) ids.push_back(tid);
    }
    system_.after_processes();
    return ids;
  }
  Result<std::vector<pid_t>> threads(pid_t tgid) override {
    if (system_.error != 0) return failure(system_.error);
    std::vector<pid_t> ids;
    for (const auto& [tid, task] : system_.tasks) {
      if (task.tgid == tgid) ids.push_back(tid);
    }
    system_.after_threads();
    if (ids.empty()) return failure(ENOENT);
    return ids;
  }

 private:
  Result<Task> find(pid_t tid) const {
    if (system_.error != 0) return failure(system_.error);
    const auto found = system_.tasks.find(tid);
    if (found == system_.tasks.end()) return failure(ENOENT);
    return found->second;
  }

  System& system_;
};

/// The kernel's hierarchy, as cgroup v1 has it.
class Mirror final : public GroupMirror {
 public:
  explicit Mirror(System& system) : system_(system) {}

  const char* name() const override { return "mirror-fake"; }
  Result<void> add(GroupId group, GroupId, std::string_view) override {
    groups_.insert(group);
    return success();
  }
  Result<void> rename(GroupId, std::string_view) override { return success(); }
  Result<void> remove(GroupId group) override {
    if (!members(group, TaskScope::kThread).value().empty()) return failure(EBUSY);
    groups_.erase(group);
    return success();
  }

  Result<void> attach(pid_t id, TaskScope scope, GroupId group) override {
    system_.before_move();
    const auto target = system_.tasks.find(id);
    if (target == system_.tasks.end()) return failure(ESRCH);
    const pid_t tgid = target->second.tgid;
    for (auto& [tid, task] : system_.tasks) {
      const bool meant = scope == TaskScope::kThread ? tid == id : task.tgid == tgid;
      if (meant && task.state != 'Z') task.group = group;
    }
    system_.after_move();
    return success();
  }
  Result<std::vector<pid_t>> members(GroupId group, TaskScope scope) override {
    std::set<pid_t> ids;
    for (const auto& [tid, task] : system_.tasks) {
      if (task.group != group || task.state == 'Z') continue;
      ids.insert(scope == TaskScope::kThread ? tid : task.tgid);
    }
    return std::vector<pid_t>(ids.begin(), ids.end());
  }
  Result<GroupId> group_of(pid_t tid) override {
    if (system_.error != 0) return failure(system_.error);
    const auto task = system_.tasks.find(tid);
    if (task == system_.tasks.end()) return failure(ENOENT);
    return task->second.group;
  }

 private:
  System& system_;
  std::set<GroupId> groups_;
};

class Events final : public TaskEvents {
 public:
  explicit Events(System& system) : system_(system) {}

  bool drain(const Sink& sink) override {
    while (!system_.events.empty()) {
      const TaskEvent event = system_.events.front();
      system_.events.pop_front();
      sink(event);
    }
    return !std::exchange(system_.lost, false);
  }
  int fd() const override { return -1; }
  const char* name() const override { return "fake"; }

 private:
  System& system_;
};

}  // namespace blkio::control_plane::fake
