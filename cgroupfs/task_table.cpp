// SPDX-License-Identifier: MIT
#include "cgroupfs/task_table.hpp"

namespace blkio::cgroupfs {
namespace {

constexpr std::uint32_t kStartMask = (1U << kStartBits) - 1;

}  // namespace

void TaskTable::add(pid_t tid, const TaskInfo& info) {
  Task& task = entry_for(tid, info.tgid);
  task.kernel_thread = info.kernel_thread ? 1 : 0;
  task.start = info.start & kStartMask;
  if (task.alive != 0) leave(task);
  enter(task, info.group);
  set_doubt(task, info.in_doubt);
}

void TaskTable::forked(pid_t parent_tid, pid_t child_tid, pid_t child_tgid) {
  if (living(child_tid) != nullptr) return;
  TaskInfo child{.tgid = child_tgid};
  if (const Task* origin = forker_of(parent_tid, child_tid, child_tgid)) {
    child.group = origin->group;
    child.kernel_thread = origin->kernel_thread != 0;
    child.in_doubt = birth_in_doubt(*origin, child_tid, child_tgid);
    if (child_tid == child_tgid) note_child(origin->tgid);
  }
  add(child_tid, child);
}

// The thread that is most likely to have cloned this one.
const TaskTable::Task* TaskTable::forker_of(pid_t parent_tid, pid_t child_tid, pid_t child_tgid) {
  const Task* named = living(parent_tid);
  const bool foreign = named == nullptr || named->tgid != child_tgid;
  if (child_tid != child_tgid && foreign) {
    if (const Task* sibling = any_living_thread(child_tgid)) return sibling;
  }
  return named;
}

bool TaskTable::birth_in_doubt(const Task& origin, pid_t child_tid, pid_t child_tgid) {
  if (origin.in_doubt != 0) return true;
  const Task* leader = leader_of(origin.tgid);
  if (leader == nullptr) return false;
  return child_tid == child_tgid ? leader->mixed_family != 0 : leader->mixed_threads != 0;
}

void TaskTable::exec(pid_t tgid) {
  const auto found = tasks_.find(tgid);
  if (found == tasks_.end()) return;
  Task& leader = found->second;
  const bool others = leader.next_thread != &leader;
  if (leader.alive == 0) {
    const Task* heir = any_living_thread(tgid);
    if (heir == nullptr) return;
    leader.start = heir->start;
    enter(leader, heir->group);
    set_doubt(leader, heir->in_doubt != 0);
  } else {
    leader.exec_in_doubt = others ? 1 : 0;
  }
  if (leader.mixed_threads != 0) set_doubt(leader, true);
  leader.mixed_threads = 0;
  leader.kernel_thread = 0;
  erase_threads(leader);
}

void TaskTable::exited(pid_t tid) {
  Task* task = living(tid);
  if (task == nullptr) return;
  const pid_t tgid = task->tgid;
  if (tid == tgid) {
    leave(*task);
  } else {
    erase(*task);
  }
  drop_if_useless(tgid);
}

bool TaskTable::move(pid_t tid, GroupId group) {
  Task* task = living(tid);
  if (task == nullptr) return false;
  Task* const leader = leader_of(task->tgid);
  if (leader->next_thread != leader) leader->mixed_threads = 1;
  if (leader->has_children != 0) leader->mixed_family = 1;
  if (task->group == group) {
    set_doubt(*task, false);
    return false;
  }
  leave(*task);
  enter(*task, group);
  return true;
}

void TaskTable::settle(pid_t tid, GroupId group) {
  Task* task = living(tid);
  if (task == nullptr) return;
  if (task->group != group) {
    leave(*task);
    enter(*task, group);
  }
  set_doubt(*task, false);
}

void TaskTable::doubt(pid_t tid, GroupId guess) {
  settle(tid, guess);
  if (Task* task = living(tid)) set_doubt(*task, true);
}

void TaskTable::doubt_all() {
  for (auto& [tid, task] : tasks_) {
    task.mixed_threads = task.mixed_family = 1;
    if (task.alive != 0) set_doubt(task, true);
  }
}

void TaskTable::doubt_family(pid_t tgid) {
  if (Task* leader = leader_of(tgid)) leader->mixed_threads = leader->mixed_family = 1;
}

void TaskTable::doubt_children(pid_t tgid) {
  if (Task* leader = leader_of(tgid)) leader->has_children = leader->mixed_family = 1;
}

void TaskTable::recheck_family(pid_t tgid) {
  Task* const leader = leader_of(tgid);
  if (leader == nullptr) return;
  leader->mixed_family = leader->has_children;
  leader->mixed_threads = 0;
  const Task* const first = any_living_thread(tgid);
  for_each_thread(tgid, [&](const Task& task) {
    leader->mixed_threads = task.group != first->group || task.in_doubt != 0;
    return leader->mixed_threads == 0;
  });
}

void TaskTable::note_child(pid_t tgid) {
  if (Task* leader = leader_of(tgid)) leader->has_children = 1;
}

void TaskTable::set_start(pid_t tid, std::uint32_t start) {
  if (Task* task = living(tid)) task->start = start & kStartMask;
}

std::optional<TaskInfo> TaskTable::find(pid_t tid) const {
  const Task* task = living(tid);
  if (task == nullptr) return std::nullopt;
  return info_of(*task);
}

std::optional<GroupId> TaskTable::group_of_process(pid_t tgid) const {
  const Task* task = any_living_thread(tgid);
  if (task == nullptr) return std::nullopt;
  return task->group;
}

// The leader, if it lives, comes first.
template <class Visit>
void TaskTable::for_each_thread(pid_t tgid, Visit visit) const {
  const auto leader = tasks_.find(tgid);
  if (leader == tasks_.end() || leader->second.tgid != tgid) return;
  const Task* task = &leader->second;
  do {
    if (task->alive != 0 && !visit(*task)) return;
    task = task->next_thread;
  } while (task != &leader->second);
}

std::vector<pid_t> TaskTable::threads(pid_t tgid) const {
  std::vector<pid_t> tids;
  for_each_thread(tgid, [&](const Task& task) {
    tids.push_back(task.tid);
    return true;
  });
  return tids;
}

bool TaskTable::exec_in_doubt(pid_t tid) const {
  const Task* task = living(tid);
  return task != nullptr && task->exec_in_doubt != 0;
}

std::size_t TaskTable::count(GroupId group) const {
  const auto found = groups_.find(group);
  return found == groups_.end() ? 0 : found->second.size();
}

TaskTable::Task* TaskTable::leader_of(pid_t tgid) {
  const auto found = tasks_.find(tgid);
  return found == tasks_.end() || found->second.tgid != tgid ? nullptr : &found->second;
}

const TaskTable::Task* TaskTable::living(pid_t tid) const {
  const auto found = tasks_.find(tid);
  return found == tasks_.end() || found->second.alive == 0 ? nullptr : &found->second;
}

TaskTable::Task* TaskTable::living(pid_t tid) {
  return const_cast<Task*>(static_cast<const TaskTable*>(this)->living(tid));
}

const TaskTable::Task* TaskTable::any_living_thread(pid_t tgid) const {
  const Task* first = nullptr;
  for_each_thread(tgid, [&](const Task& task) {
    first = &task;
    return false;
  });
  return first;
}

// The entry of this id as a thread of this process, linked to its leader's entry. An entry of the
// same id in another process is a leftover of lost events: ids are only used again after an exit.
TaskTable::Task& TaskTable::entry_for(pid_t tid, pid_t tgid) {
  const auto [found, fresh] = tasks_.try_emplace(tid);
  Task& task = found->second;
  if (!fresh && task.tgid == tgid) return task;
  if (!fresh) {
    if (task.tgid == tid) erase_threads(task);
    erase(task);
    return entry_for(tid, tgid);
  }
  task.tid = tid;
  task.tgid = tgid;
  if (tid == tgid) return task;
  Task& leader = entry_for(tgid, tgid);
  task.next_thread = leader.next_thread;
  task.prev_thread = &leader;
  leader.next_thread->prev_thread = &task;
  leader.next_thread = &task;
  return task;
}

void TaskTable::enter(Task& task, GroupId group) {
  task.group = group;
  task.alive = 1;
  groups_[group].push_back(task);
  ++living_;
}

void TaskTable::leave(Task& task) {
  const auto found = groups_.find(task.group);
  found->second.erase(found->second.iterator_to(task));
  if (found->second.empty()) {
    if (task.group != GroupId::kRoot) note_emptied(task.group);
    groups_.erase(found);
  }
  if (doubtful_ != 0) departures_.others = true;
  set_doubt(task, false);
  task.alive = 0;
  task.exec_in_doubt = 0;
  --living_;
}

void TaskTable::note_emptied(GroupId group) {
  constexpr std::size_t kMaxEmptied = 1024;  // if nobody looks
  if (departures_.emptied.size() < kMaxEmptied) {
    departures_.emptied.push_back(group);
  } else {
    departures_.others = true;
  }
}

void TaskTable::set_doubt(Task& task, bool in_doubt) {
  in_doubt = in_doubt && keeps_doubts_;
  if (in_doubt == (task.in_doubt != 0)) return;
  task.in_doubt = in_doubt ? 1 : 0;
  in_doubt ? ++doubtful_ : --doubtful_;
}

void TaskTable::erase(Task& task) {
  if (task.alive != 0) leave(task);
  task.prev_thread->next_thread = task.next_thread;
  task.next_thread->prev_thread = task.prev_thread;
  const pid_t tid =
      task.tid;  // erase() takes its key by reference, and this one dies with the node
  tasks_.erase(tid);
}

void TaskTable::erase_threads(Task& leader) {
  while (leader.next_thread != &leader) erase(*leader.next_thread);
}

// A dead leader is kept for its threads only.
void TaskTable::drop_if_useless(pid_t tgid) {
  const auto found = tasks_.find(tgid);
  if (found == tasks_.end()) return;
  Task& leader = found->second;
  if (leader.alive == 0 && leader.next_thread == &leader) tasks_.erase(found);
}

}  // namespace blkio::cgroupfs
