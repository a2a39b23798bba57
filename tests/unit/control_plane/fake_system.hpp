// SPDX-License-Identifier: MIT
/// A system of tasks without a kernel: /proc and the event stream, with hooks to stage races.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

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
  void clone_thread(pid_t tgid, pid_t tid) {
    const auto sibling = std::find_if(tasks.begin(), tasks.end(),
                                      [&](const auto& task) { return task.second.tgid == tgid; });
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
  int error = 0;                                  ///< errno of every reading, if not 0
  std::function<void()> after_threads = [] {};    ///< runs after each listing of threads
  std::function<void()> after_processes = [] {};  ///< and of processes
};

class Proc final : public ProcFiles {
 public:
  explicit Proc(System& system) : system_(system) {}

  Result<ProcStat> stat(pid_t tid) override {
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
