// SPDX-License-Identifier: MIT
#include "task_directory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "pid_namespace.hpp"
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

Result<std::unique_ptr<TaskDirectory>> TaskDirectory::open(std::unique_ptr<GroupMirror> mirror) {
  if (auto directory = open(Source::kConnector, std::move(mirror))) return directory;
  return open(Source::kProcWalk, std::move(mirror));
}

Result<std::unique_ptr<TaskDirectory>> TaskDirectory::open(Source source,
                                                           std::unique_ptr<GroupMirror>&& mirror) {
  BLKIO_TRY(auto proc, KernelProcFiles::open());
  std::unique_ptr<TaskEvents> events;
  if (source == Source::kConnector) {
    BLKIO_TRY(auto connector, ProcConnector::open());
    events = std::move(connector);
  }
  auto directory = std::make_unique<TaskDirectory>(
      std::make_unique<KernelProcFiles>(std::move(proc)), std::move(events), std::move(mirror));
  BLKIO_TRY(directory->start());
  return directory;
}

TaskDirectory::TaskDirectory(std::unique_ptr<ProcFiles> proc, std::unique_ptr<TaskEvents> events,
                             std::unique_ptr<GroupMirror> mirror)
    : proc_(std::move(proc)),
      events_(std::move(events)),
      mirror_(std::move(mirror)),
      tracker_(*proc_, events_.get(), mirror_.get()) {}

Result<void> TaskDirectory::start() {
  const std::lock_guard lock(mutex_);
  return tracker_.start();
}

Result<void> TaskDirectory::add_group(GroupId group, GroupId parent, std::string_view name) {
  if (!mirror_) return success();
  return mirror_->add(group, parent, name);
}

Result<void> TaskDirectory::rename_group(GroupId group, std::string_view name) {
  if (!mirror_) return success();
  return mirror_->rename(group, name);
}

Result<void> TaskDirectory::remove_group(GroupId group) {
  if (mirror_) {
    BLKIO_TRY(mirror_->remove(group));
    const std::lock_guard lock(mutex_);
    tracker_.forget(group);
  } else if (has_tasks(group)) {
    return failure(EBUSY);
  }
  occupied_.erase(group);
  leaving_.erase(group);
  return success();
}

void TaskDirectory::adopt(GroupId group) {
  occupied_.insert(group);
  const std::lock_guard lock(mutex_);
  tracker_.table().doubt_all();
}

Result<void> TaskDirectory::attach(pid_t id, TaskScope scope, GroupId group, const Writer& writer) {
  BLKIO_TRY(const auto target, examine(id == 0 ? writer.tid : id, scope, writer));
  if (mirror_) {
    BLKIO_TRY(attach_in_mirror(target, scope, group));
  } else if (scope == TaskScope::kProcess) {
    move_process(target.tid, group);
  } else if (!target.exiting) {
    // A process is exiting only when its last thread is: the leader may be a zombie among the
    // living.
    move_thread(target.tid, group);
  }
  if (group != GroupId::kRoot) occupied_.insert(group);
  if (told_) told_(target.tid, scope, group);
  return success();
}

std::vector<TaskDirectory::Member> TaskDirectory::outside_root() {
  std::vector<Member> found;
  std::vector<pid_t> doubtful;
  const std::lock_guard lock(mutex_);
  tracker_.refresh_for_lookup();
  if (!tracker_.table().any_outside_root()) return found;
  tracker_.table().for_each([&](pid_t tid, const TaskInfo& task) {
    if (task.in_doubt) {
      doubtful.push_back(tid);
    } else if (task.group != GroupId::kRoot) {
      found.push_back({tid, task.tgid, task.group});
    }
  });
  for (const pid_t tid : doubtful) {
    const auto task = tracker_.look_up(tid);
    if (task && task->group != GroupId::kRoot) found.push_back({tid, task->tgid, task->group});
  }
  announce_departures();
  return found;
}

// The kernel takes its time, and the engine must not wait for it: no lock meanwhile.
Result<void> TaskDirectory::attach_in_mirror(const Target& target, TaskScope scope, GroupId group) {
  {
    const std::lock_guard lock(mutex_);
    tracker_.refresh();
    tracker_.about_to_move(target.tid);
  }
  const auto attached = mirror_->attach(target.tid, scope, group);
  const std::lock_guard lock(mutex_);
  tracker_.moved(target.tid, scope, attached ? std::optional(group) : std::nullopt);
  announce_departures();
  return attached;
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
  announce_departures();
}

void TaskDirectory::move_process(pid_t tgid, GroupId group) {
  for (int listing = 0; listing < kMaxListings; ++listing) {
    const auto listed = proc_->threads(tgid);  // before the lock: there may be thousands
    const std::lock_guard lock(mutex_);
    tracker_.refresh();
    std::size_t moved = move_listed(tracker_.table().threads(tgid), tgid, group);
    if (listed) moved += move_listed(listed.value(), tgid, group);
    announce_departures();
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
  if (mirror_) {
    auto listed = mirror_->members(group, scope);
    return listed ? std::move(listed).value() : std::vector<pid_t>{};
  }
  std::vector<std::pair<pid_t, pid_t>> found;  // tid, tgid
  {
    const std::lock_guard lock(mutex_);
    tracker_.refresh();
    found.reserve(tracker_.table().count(group));
    tracker_.table().for_each_member(
        group, [&](pid_t tid, const TaskInfo& task) { found.emplace_back(tid, task.tgid); });
    announce_departures();
  }
  if (group != GroupId::kRoot) drop_ended(found);
  std::vector<pid_t> ids;
  ids.reserve(found.size());
  for (const auto& [tid, tgid] : found) ids.push_back(scope == TaskScope::kProcess ? tgid : tid);
  return sorted_unique(std::move(ids));
}

// An exit event comes a moment after wait(2) returned, and somebody may wait for the group to
// become empty; nobody waits for the root group. Who can be waited for is the process: while its
// leader lives, its threads are not looked at one by one.
void TaskDirectory::drop_ended(std::vector<std::pair<pid_t, pid_t>>& members) {
  const auto ended = [this](pid_t tid) {
    const auto stat = proc_->stat(tid);
    return stat ? stat.value().dead() : is_gone(stat.error());
  };
  std::unordered_map<pid_t, bool> leader_ended;
  std::erase_if(members, [&](const auto& member) {
    const auto [tid, tgid] = member;
    const auto [leader, is_new] = leader_ended.try_emplace(tgid);
    if (is_new) leader->second = ended(tgid);
    return leader->second && (tid == tgid || ended(tid));
  });
}

bool TaskDirectory::has_tasks(GroupId group) {
  if (mirror_) return !members(group, TaskScope::kThread).empty();
  const std::lock_guard lock(mutex_);
  tracker_.refresh();
  const bool any = tracker_.any_alive(group);
  announce_departures();
  return any;
}

std::shared_ptr<Membership> TaskDirectory::seen_by(pid_t opener) {
  return membership_seen_by(*this, opener);
}

void TaskDirectory::on_departures(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

// Called with the mutex held, after everything that may have seen somebody leave.
void TaskDirectory::announce_departures() {
  if (announced_ || !wake_ || !tracker_.table().departures().any()) return;
  announced_ = true;
  wake_();
}

TaskDirectory::Emptied TaskDirectory::take_emptied(const std::function<bool(GroupId)>& matters) {
  cgroupfs::Departures departures;
  {
    const std::lock_guard lock(mutex_);
    announced_ = false;
    departures = tracker_.table().take_departures();
  }
  std::set<GroupId> candidates = std::exchange(leaving_, {});
  candidates.insert(departures.emptied.begin(), departures.emptied.end());
  if (departures.others) {
    std::copy_if(occupied_.begin(), occupied_.end(), std::inserter(candidates, candidates.end()),
                 matters);
  }
  Emptied emptied;
  for (const GroupId group : candidates) {
    if (!occupied_.contains(group)) continue;
    if (!has_tasks(group)) {
      occupied_.erase(group);
      if (matters(group)) emptied.groups.push_back(group);
    } else if (looks_empty(group)) {
      leaving_.insert(group);
    }
  }
  emptied.look_again = !leaving_.empty();
  return emptied;
}

bool TaskDirectory::looks_empty(GroupId group) {
  const std::lock_guard lock(mutex_);
  return tracker_.table().doubtful() == 0 && tracker_.table().count(group) == 0;
}

void TaskDirectory::resolve(const pid_t* tids, Issuer* issuers, std::size_t count) {
  const std::lock_guard lock(mutex_);
  tracker_.refresh_for_lookup();
  for (std::size_t i = 0; i < count; ++i) issuers[i] = tracker_.issuer(tids[i]);
  announce_departures();
}

void TaskDirectory::drain() {
  if (!events_) return;
  const std::lock_guard lock(mutex_);
  tracker_.refresh();
  announce_departures();
}

TrackerHealth TaskDirectory::health() const {
  const std::lock_guard lock(mutex_);
  return tracker_.health();
}

}  // namespace blkio::control_plane
