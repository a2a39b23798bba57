// SPDX-License-Identifier: MIT
#include "task_tracker.hpp"

#include <vector>

namespace blkio::control_plane {
namespace {

using cgroupfs::start_print;
using cgroupfs::TaskInfo;

// Bounds the walk up the parents, whose ids may be used again while we walk.
constexpr std::size_t kMaxAncestors = 4096;

}  // namespace

Result<void> TaskTracker::start() {
  BLKIO_TRY(scan());
  if (events_ != nullptr && !drain()) BLKIO_TRY(scan());
  return success();
}

void TaskTracker::refresh() {
  if (events_ != nullptr) {
    if (!drain()) scan_due_ = true;
  } else if (mirror_ == nullptr || table_.size() > 2 * scanned_size_) {
    scan_due_ = true;  // with a mirror only to get rid of the dead
  }
  if (scan_due_ && scan()) scan_due_ = false;
}

void TaskTracker::refresh_for_lookup() {
  if (events_ != nullptr && table_.any_outside_root()) refresh();
}

bool TaskTracker::drain() {
  const bool complete = events_->drain([this](const TaskEvent& event) { apply(event); });
  if (!complete) ++health_.overruns;
  return complete;
}

void TaskTracker::apply(const TaskEvent& event) {
  ++health_.events;
  switch (event.kind) {
    case TaskEvent::Kind::kFork:
      // A parent whose own event was lost: /proc may know where the family belongs. A mirror is
      // not asked yet, the child may not have arrived in its group.
      if (mirror_ != nullptr && !table_.find(event.parent_tid)) {
        const auto stat = proc_.stat(event.tid);
        table_.add(event.tid, {.tgid = event.tgid,
                               .kernel_thread = stat && stat.value().kernel_thread(),
                               .in_doubt = true});
      } else if (table_.find(event.parent_tid) || table_.group_of_process(event.tgid)) {
        table_.forked(event.parent_tid, event.tid, event.tgid);
      } else {
        learn(event.tid);
      }
      break;
    case TaskEvent::Kind::kExec:
      table_.exec(event.tgid);
      break;
    case TaskEvent::Kind::kExit:
      if (table_.exec_in_doubt(event.tid) && alive(event.tid)) break;
      table_.exited(event.tid);
      break;
  }
}

// What cannot be read for want of descriptors is not dead.
bool TaskTracker::alive(pid_t tid) {
  const auto stat = proc_.stat(tid);
  return stat ? !stat.value().dead() : !is_gone(stat.error());
}

bool TaskTracker::any_alive(GroupId group) {
  std::vector<pid_t> tids;
  tids.reserve(table_.count(group));
  table_.for_each_member(group, [&](pid_t tid, const TaskInfo&) { tids.push_back(tid); });
  for (const pid_t tid : tids) {
    if (alive(tid)) return true;
    table_.exited(tid);
  }
  return false;
}

Result<void> TaskTracker::scan() {
  ++health_.scans;
  BLKIO_TRY(const auto census, take_census());
  drop_reused(census);
  enter_new(census);
  drop_vanished(census);  // last: a zombie still tells its children their group
  scanned_size_ = table_.size();
  return success();
}

Result<TaskTracker::Census> TaskTracker::take_census() {
  Census census;
  BLKIO_TRY(const auto processes, proc_.processes());
  for (const pid_t tgid : processes) {
    const auto threads = proc_.threads(tgid);
    if (!threads && is_gone(threads.error())) continue;
    if (!threads) return threads.error();
    for (const pid_t tid : threads.value()) {
      const auto stat = proc_.stat(tid);
      if (!stat && !is_gone(stat.error())) return stat.error();
      if (stat && !stat.value().dead()) census.emplace(tid, Seen{tgid, stat.value()});
    }
  }
  return census;
}

void TaskTracker::drop_reused(const Census& census) {
  for (const auto& [tid, seen] : census) {
    const auto task = table_.find(tid);
    if (!task) continue;
    const auto start = start_print(seen.stat.start_ticks);
    if (task->tgid != seen.tgid || (task->start != 0 && task->start != start)) {
      table_.exited(tid);
    } else {
      table_.set_start(tid, start);
    }
  }
}

void TaskTracker::enter_new(const Census& census) {
  const bool all_in_root = !table_.any_outside_root();
  for (const auto& [tid, seen] : census) {
    if (table_.find(tid)) continue;
    if (all_in_root || mirror_ != nullptr) {
      table_.add(tid, {.tgid = seen.tgid,
                       .kernel_thread = seen.stat.kernel_thread(),
                       .in_doubt = !all_in_root,
                       .start = start_print(seen.stat.start_ticks)});
    } else {
      learn(tid);
    }
  }
  for (const auto& [tid, seen] : census) table_.note_child(seen.stat.ppid);
}

void TaskTracker::drop_vanished(const Census& census) {
  std::vector<pid_t> vanished;
  table_.for_each([&](pid_t tid, const TaskInfo&) {
    // Those entered while the census was taken are not in it.
    if (!census.contains(tid) && !alive(tid)) vanished.push_back(tid);
  });
  for (const pid_t tid : vanished) table_.exited(tid);
}

std::optional<TaskInfo> TaskTracker::look_up(pid_t tid) {
  if (tid <= 0) return std::nullopt;
  const auto task = known(tid);
  if (!task) return learn(tid);
  return task->in_doubt || unnoticed() ? settle(tid, *task) : task;
}

std::optional<GroupId> TaskTracker::ask_mirror(pid_t tid) {
  if (mirror_ == nullptr) return std::nullopt;
  ++health_.inquiries;
  const auto group = mirror_->group_of(tid);
  if (!group) return std::nullopt;
  return group.value();
}

// If the kernel does not answer, the guess is all there is.
std::optional<TaskInfo> TaskTracker::settle(pid_t tid, const TaskInfo& guess) {
  const auto group = ask_mirror(tid);
  if (!group) return guess;
  table_.settle(tid, *group);
  return table_.find(tid);
}

// A child of the moved task that is made with CLONE_PARENT, later on, bears the name of the task's
// parent; if that has ended, of an ancestor. From now on none of them is to be taken at their word.
void TaskTracker::about_to_move(pid_t tid) {
  const auto task = look_up(tid);
  if (!task) return;
  table_.doubt_family(task->tgid);
  pid_t at = task->tgid;
  for (std::size_t steps = 0; steps < kMaxAncestors; ++steps) {
    const auto stat = proc_.stat(at);
    if (!stat || stat.value().ppid <= 0) break;
    at = stat.value().ppid;
    table_.doubt_children(at);
  }
}

void TaskTracker::moved(pid_t tid, TaskScope scope, std::optional<GroupId> group) {
  refresh();
  const auto task = table_.find(tid);
  const pid_t tgid = task ? task->tgid : tid;  // a leader may be dead and its threads alive
  if (group && scope == TaskScope::kThread) table_.move(tid, *group);
  if (group && scope == TaskScope::kProcess) {
    for (const pid_t thread : table_.threads(tgid)) table_.move(thread, *group);
  }
  table_.recheck_family(tgid);
}

void TaskTracker::forget(GroupId group) {
  refresh();
  if (!any_alive(group)) return;
  std::vector<pid_t> elsewhere;
  table_.for_each_member(group, [&](pid_t tid, const TaskInfo&) { elsewhere.push_back(tid); });
  for (const pid_t tid : elsewhere) table_.doubt(tid, GroupId::kRoot);
}

Issuer TaskTracker::issuer(pid_t tid) {
  const auto task = look_up(tid);
  if (!task) return {};
  // A kernel thread that nobody moved works for whoever opened the file.
  const bool usable = !task->kernel_thread || task->group != GroupId::kRoot;
  return {task->group, task->tgid, usable};
}

// Without events an id may have been used again since we saw it; its start time tells. As long as
// everybody is in the root group it makes no difference; with a mirror we see but some of them.
std::optional<TaskInfo> TaskTracker::known(pid_t tid) {
  auto task = table_.find(tid);
  if (!task || events_ != nullptr) return task;
  if (!unnoticed() && !table_.any_outside_root()) return task;
  const auto stat = proc_.stat(tid);
  if (!stat && !is_gone(stat.error())) return task;
  if (stat && !stat.value().dead() && start_print(stat.value().start_ticks) == task->start) {
    return task;
  }
  table_.exited(tid);
  return std::nullopt;
}

// Walks from the thread to its leader and on to the parents until it meets a task whose group is
// known, and enters all it met on the way in that group.
std::optional<TaskInfo> TaskTracker::learn(pid_t tid) {
  struct Stranger {
    pid_t tid;
    pid_t tgid;
    ProcStat stat;
  };
  std::vector<Stranger> strangers;
  GroupId group = GroupId::kRoot;
  const auto told = ask_mirror(tid);
  for (pid_t at = tid; at > 0 && strangers.size() < kMaxAncestors;) {
    const auto stat = proc_.stat(at);
    const auto status = proc_.status(at);
    if (!stat || !status) break;
    const pid_t tgid = status.value().tgid;
    // A "parent" younger than its child is somebody else under a used id.
    if (!strangers.empty() && stat.value().start_ticks > strangers.back().stat.start_ticks) break;
    strangers.push_back({at, tgid, stat.value()});
    if (told) {
      group = *told;
      break;
    }
    if (const auto process = table_.group_of_process(tgid)) {
      group = *process;
      break;
    }
    at = at == tgid ? stat.value().ppid : tgid;
    if (const auto ancestor = known(at)) {
      group = ancestor->group;
      break;
    }
  }
  for (const auto& stranger : strangers) {
    if (stranger.stat.dead() || table_.find(stranger.tid)) continue;
    table_.add(stranger.tid, {.group = group,
                              .tgid = stranger.tgid,
                              .kernel_thread = stranger.stat.kernel_thread(),
                              .start = start_print(stranger.stat.start_ticks)});
  }
  return table_.find(tid);
}

}  // namespace blkio::control_plane
