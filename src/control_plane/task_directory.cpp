// SPDX-License-Identifier: MIT
#include "task_directory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "proc_connector.hpp"

namespace blkio::control_plane {
namespace {

using cgroupfs::TaskInfo;

// A move is done when a listing shows nothing new, after two or three. A process can keep us from
// that only where the source is a walk of /proc and its leader is a zombie.
constexpr int kMaxListings = 64;

Error no_such_task(pid_t id) {
  return {ESRCH, fmt::format("task {}", id)};
}

// As __cgroup1_procs_write() in kernel/cgroup/cgroup-v1.c: one of them must be the other, or root.
bool may_move(const Writer& writer, const ProcStatus& target) {
  return writer.uid == 0 || writer.uid == target.uid || writer.uid == target.saved_uid;
}

std::vector<pid_t> sorted_unique(std::vector<pid_t> ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace

Result<std::unique_ptr<TaskDirectory>> TaskDirectory::open() {
  if (auto directory = open(Source::kConnector)) return directory;
  return open(Source::kProcWalk);
}

Result<std::unique_ptr<TaskDirectory>> TaskDirectory::open(Source source) {
  BLKIO_TRY(auto proc, KernelProcFiles::open());
  std::unique_ptr<TaskEvents> events;
  if (source == Source::kConnector) {
    BLKIO_TRY(auto connector, ProcConnector::open());
    events = std::move(connector);
  }
  auto directory = std::make_unique<TaskDirectory>(
      std::make_unique<KernelProcFiles>(std::move(proc)), std::move(events));
  BLKIO_TRY(directory->start());
  return directory;
}

TaskDirectory::TaskDirectory(std::unique_ptr<ProcFiles> proc, std::unique_ptr<TaskEvents> events)
    : proc_(std::move(proc)), events_(std::move(events)), tracker_(*proc_, events_.get()) {}

Result<void> TaskDirectory::start() {
  const std::lock_guard lock(mutex_);
  return tracker_.start();
}

Result<void> TaskDirectory::attach(pid_t id, TaskScope scope, GroupId group, const Writer& writer) {
  BLKIO_TRY(const auto target, examine(id == 0 ? writer.tid : id, scope, writer));
  // A process is exiting only when its last thread is: the leader may be a zombie among the living.
  if (scope == TaskScope::kProcess) {
    move_process(target.tid, group);
  } else if (!target.exiting) {
    move_thread(target.tid, group);
  }
  return success();
}

// The checks of cgroup_procs_write_start() and __cgroup1_procs_write(), in their order.
Result<TaskDirectory::Target> TaskDirectory::examine(pid_t id, TaskScope scope,
                                                     const Writer& writer) {
  if (id <= 0) return no_such_task(id);
  auto status = proc_->status(id);
  if (!status) return is_gone(status.error()) ? no_such_task(id) : status.error();
  const pid_t tid = scope == TaskScope::kProcess ? status.value().tgid : id;
  if (tid != id) status = proc_->status(tid);
  const auto stat = proc_->stat(tid);
  if (!stat) return is_gone(stat.error()) ? no_such_task(id) : stat.error();
  if (!status) return is_gone(status.error()) ? no_such_task(id) : status.error();
  constexpr pid_t kKthreadd = 2;
  const bool kthreadd = tid == kKthreadd && stat.value().kernel_thread();
  if (kthreadd || (stat.value().flags & kPfNoSetAffinity) != 0) {
    return failure(EINVAL, fmt::format("kernel thread {}", tid));
  }
  if (!may_move(writer, status.value())) return failure(EACCES, fmt::format("task {}", tid));
  return Target{tid, stat.value().exiting()};
}

void TaskDirectory::move_thread(pid_t tid, GroupId group) {
  const std::lock_guard lock(mutex_);
  tracker_.refresh();
  if (tracker_.look_up(tid)) tracker_.table().move(tid, group);
}

void TaskDirectory::move_process(pid_t tgid, GroupId group) {
  for (int listing = 0; listing < kMaxListings; ++listing) {
    const auto listed = proc_->threads(tgid);  // before the lock: there may be thousands
    const std::lock_guard lock(mutex_);
    tracker_.refresh();
    std::size_t moved = move_listed(tracker_.table().threads(tgid), tgid, group);
    if (listed) moved += move_listed(listed.value(), tgid, group);
    if (moved == 0) return;
  }
}

std::size_t TaskDirectory::move_listed(const std::vector<pid_t>& tids, pid_t tgid, GroupId group) {
  std::size_t moved = 0;
  for (const pid_t tid : tids) {
    const auto task = tracker_.look_up(tid);
    if (!task || task->tgid != tgid) continue;  // the id was used again since the listing
    if (tracker_.table().move(tid, group)) ++moved;
  }
  return moved;
}

std::vector<pid_t> TaskDirectory::members(GroupId group, TaskScope scope) {
  std::vector<std::pair<pid_t, pid_t>> found;  // tid, tgid
  {
    const std::lock_guard lock(mutex_);
    tracker_.refresh();
    found.reserve(tracker_.table().count(group));
    tracker_.table().for_each_member(
        group, [&](pid_t tid, const TaskInfo& task) { found.emplace_back(tid, task.tgid); });
  }
  // An exit event comes a moment after wait(2) returned, and somebody may wait for the group to
  // become empty; nobody waits for the root group.
  std::vector<pid_t> ids;
  ids.reserve(found.size());
  for (const auto& [tid, tgid] : found) {
    if (group != GroupId::kRoot) {
      const auto stat = proc_->stat(tid);
      if (stat ? stat.value().dead() : is_gone(stat.error())) continue;
    }
    ids.push_back(scope == TaskScope::kProcess ? tgid : tid);
  }
  return sorted_unique(std::move(ids));
}

bool TaskDirectory::has_tasks(GroupId group) {
  const std::lock_guard lock(mutex_);
  tracker_.refresh();
  return tracker_.any_alive(group);
}

void TaskDirectory::resolve(const pid_t* tids, Issuer* issuers, std::size_t count) {
  const std::lock_guard lock(mutex_);
  tracker_.refresh_for_lookup();
  for (std::size_t i = 0; i < count; ++i) issuers[i] = tracker_.issuer(tids[i]);
}

void TaskDirectory::drain() {
  if (!events_) return;
  const std::lock_guard lock(mutex_);
  tracker_.refresh();
}

TrackerHealth TaskDirectory::health() const {
  const std::lock_guard lock(mutex_);
  return tracker_.health();
}

}  // namespace blkio::control_plane
