// SPDX-License-Identifier: MIT
#include "state_keeper.hpp"

#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "cgroupfs/rules.hpp"
#include "fingerprint.hpp"

namespace blkio::control_plane {
namespace {

using cgroupfs::Group;
using nlohmann::json;

constexpr auto kEvery = std::chrono::seconds(1);
/// Groups looked at before others get a turn: well below a millisecond.
constexpr std::size_t kGroupsAtOnce = 64;
/// A file is written anew when what was appended outweighs its snapshot so many times.
constexpr std::size_t kMostAppended = 4;
constexpr std::size_t kSmallFileBytes = 1 << 20;

TimeNs boot_time() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::uint64_t pid_namespace() {
  struct stat found {};
  return ::stat("/proc/self/ns/pid", &found) == 0 ? found.st_ino : 0;
}

}  // namespace

StateKeeper::StateKeeper(const Parts& parts)
    : parts_(parts),
      timer_(parts.context),
      boot_(boot_id()),
      pid_namespace_(blkio::control_plane::pid_namespace()) {}

Result<std::unique_ptr<StateKeeper>> StateKeeper::open(const Parts& parts,
                                                       const std::string& path) {
  std::unique_ptr<StateKeeper> keeper(new StateKeeper(parts));
  BLKIO_TRY(keeper->file_, StateFile::open(parts.context, path, [&](const json& record) {
              keeper->saved_.apply(record);
            }));
  return keeper;
}

// ---- bringing back -----------------------------------------------------------------------------

void StateKeeper::restore() {
  // One answer of the engine to wait for, not one for each of a hundred thousand rules.
  parts_.controller.together([&] { restore_groups(); });
  restore_tasks();
  if (!restored_.empty()) {
    spdlog::info("{}: {} groups are back", file_->path(), restored_.size() - 1);
  }
  saved_ = {};
}

void StateKeeper::restore_groups() {
  parts_.tree.release_agent = saved_.globals.release_agent;
  for (const DeviceNumber device : saved_.globals.counting) {
    if (parts_.controller.has_device(device)) parts_.controller.start_throttle_counters(device);
  }
  for (const auto& [id, saved] : saved_.groups) restore_group(saved);
  for (const auto& [then, now] : restored_) {  // making a child has changed its parent's times
    parts_.tree.find(now)->directory = saved_.groups.at(then).group.directory;
  }
}

void StateKeeper::restore_group(const SavedGroup& saved) {
  const Group& from = saved.group;
  GroupId id = GroupId::kRoot;
  if (!from.is_root()) {
    const auto parent = restored_.find(from.parent);
    if (parent == restored_.end()) return;
    const auto made = parts_.tree.mkdir(parent->second, from.name, from.creator);
    if (!made) {
      spdlog::warn("{}: group {} does not come back: {}", file_->path(), from.name,
                   made.error().to_string());
      return;
    }
    id = made.value();
  }
  restored_[from.id] = id;
  Group& group = *parts_.tree.find(id);
  group.creator = from.creator;
  group.files = from.files;
  group.notify_on_release = from.notify_on_release;
  group.clone_children = from.clone_children;
  group.rules = from.rules;
  group.weights = from.weights;
  group.leaf_weights = from.leaf_weights;
  cgroupfs::apply_weights(parts_.controller, group);
  for (const auto& [device, counts] : saved.counts) {
    absent_[id][device] = counts;
    restore_device(id, device);
  }
  for (const auto& [device, rules] : group.rules) restore_device(id, device);
  for (const auto& [device, weight] : group.weights.of_device) restore_device(id, device);
  for (const auto& [device, weight] : group.leaf_weights.of_device) restore_device(id, device);
}

void StateKeeper::restore_device(GroupId group, DeviceNumber device) {
  if (!parts_.controller.has_device(device)) return;
  if (const auto of_group = absent_.find(group); of_group != absent_.end()) {
    const auto counts = of_group->second.find(device);
    if (counts != of_group->second.end()) {
      parts_.controller.restore_counts(group, device, counts->second);
      of_group->second.erase(counts);
    }
    if (of_group->second.empty()) absent_.erase(of_group);
  }
  cgroupfs::apply_rules(parts_.controller, *parts_.tree.find(group), device);
}

void StateKeeper::device_added(DeviceNumber device) {
  parts_.controller.together([&] {
    parts_.tree.for_each_in_subtree(parts_.tree.root(),
                                    [&](const Group& group) { restore_device(group.id, device); });
  });
}

/// The id is that of the very task: it has not started after it was seen.
bool StateKeeper::still_lives(const SavedTask& task) const {
  const auto stat = parts_.proc.stat(task.tid);
  if (!stat || stat.value().dead()) return false;
  static const auto ticks_per_second = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  const auto started = stat.value().start_ticks * (std::uint64_t{kSecondNs} / ticks_per_second);
  return started <= static_cast<std::uint64_t>(task.seen_ns);
}

bool StateKeeper::attach(pid_t id, TaskScope scope, GroupId group) {
  Issuer now;
  parts_.tasks.resolve(&id, &now, 1);
  if (now.group == group && scope == TaskScope::kThread) return true;
  // As root: the right was checked when it was moved the first time.
  return parts_.tasks.attach(id, scope, group, Writer{getpid(), 0}).has_value();
}

void StateKeeper::restore_tasks() {
  if (saved_.tasks.empty()) return;
  if (saved_.globals.boot != boot_ || saved_.globals.pid_namespace != pid_namespace_) {
    spdlog::info("{}: the machine was started anew, nobody is in the groups", file_->path());
    return;
  }
  std::size_t back = 0;
  std::map<pid_t, std::vector<const SavedTask*>> processes;
  for (const auto& [tid, task] : saved_.tasks) {
    if (restored_.contains(task.group) && still_lives(task)) processes[task.tgid].push_back(&task);
  }
  for (const auto& [tgid, tasks] : processes) {
    const SavedTask& first = *tasks.front();
    // Together, if no thread was elsewhere: those born since are where the others are.
    const auto threads = parts_.proc.threads(tgid);
    const bool whole =
        first.process || (threads && threads.value().size() <= tasks.size() &&
                          std::all_of(tasks.begin(), tasks.end(), [&](const SavedTask* task) {
                            return task->group == first.group;
                          }));
    if (whole) {
      if (attach(first.tid, TaskScope::kProcess, restored_.at(first.group))) ++back;
      continue;
    }
    for (const SavedTask* task : tasks) {
      if (attach(task->tid, TaskScope::kThread, restored_.at(task->group))) ++back;
    }
  }
  spdlog::info("{}: {} processes and threads are back in their groups", file_->path(), back);
}

// ---- changes -----------------------------------------------------------------------------------

Result<void> StateKeeper::start() {
  started_ = true;
  parts_.tasks.on_attached(
      [this](pid_t id, TaskScope scope, GroupId group) { task_moved(id, scope, group); });
  BLKIO_TRY(write_all_now());
  snapshot_bytes_ = file_->bytes();
  wait();
  return success();
}

void StateKeeper::finish() {
  timer_.cancel();
  if (!std::exchange(started_, false)) return;
  note(write_all_now());
}

Result<void> StateKeeper::write_all_now() {
  begin_pass(true);
  while (pass_->next < pass_->groups.size()) visit(pass_->groups[pass_->next++]);
  put_members();
  const std::unique_ptr<Pass> all = std::move(pass_);
  return file_->replace_now(all->text, all->lines);
}

void StateKeeper::put(const json& record) {
  pass_->text += StateFile::line(record);
  ++pass_->lines;
}

void StateKeeper::write(const std::vector<json>& records) {
  std::string lines;
  for (const json& record : records) lines += StateFile::line(record);
  append(lines);
  if (pass_ == nullptr || !pass_->whole) return;
  pass_->text += lines;
  pass_->lines += records.size();
}

void StateKeeper::append(std::string_view lines) {
  if (started_ && file_->whole() && !lines.empty()) note(file_->append(lines));
}

void StateKeeper::note(const Result<void>& written) {
  const std::string trouble = written ? "" : written.error().to_string();
  if (trouble == trouble_) return;
  trouble_ = trouble;
  if (written) {
    spdlog::info("state: {} is written again", file_->path());
  } else {
    spdlog::error("state: what changes from now on is lost when the daemon ends: {}", trouble);
  }
}

void StateKeeper::put_globals() {
  SavedGlobals globals{boot_, pid_namespace_, parts_.tree.release_agent, {}};
  for (const DeviceNumber device : parts_.controller.devices()) {
    if (parts_.controller.throttle_counters_started(device)) globals.counting.insert(device);
  }
  const json record = globals_record(globals);
  std::string text = record.dump();
  if (pass_ != nullptr && pass_->whole) {
    put(record);
  } else if (text != written_globals_) {
    append(StateFile::line(record));
  }
  written_globals_ = std::move(text);
}

void StateKeeper::group_changed(GroupId id) {
  const Group* const group = parts_.tree.find(id);
  if (group == nullptr) return;
  write({group_record(*group)});
  put_globals();
}

void StateKeeper::group_removed(GroupId id, GroupId parent) {
  absent_.erase(id);
  written_members_.erase(id);
  written_counts_.erase(written_counts_.lower_bound({id, DeviceNumber{}}),
                        written_counts_.upper_bound({id, DeviceNumber{UINT32_MAX, UINT32_MAX}}));
  std::vector<json> records;
  for (const DeviceNumber device : parts_.controller.devices_met(parent)) {
    const auto counts = SavedCounts::of(*parts_.controller.row_of(parent, device));
    records.push_back(counts_record(parent, device, counts));
  }
  records.push_back(removal_record(id));
  if (const Group* above = parts_.tree.find(parent)) records.push_back(group_record(*above));
  write(records);
}

void StateKeeper::task_moved(pid_t id, TaskScope scope, GroupId group) {
  SavedTask task{id, id, group, scope == TaskScope::kProcess, boot_time()};
  if (!task.process) {
    const auto status = parts_.proc.status(id);
    if (!status) return;
    task.tgid = status.value().tgid;
  }
  append(StateFile::line(task_record(task)));  // a snapshot ends with everybody's place
}

// ---- every second ------------------------------------------------------------------------------

void StateKeeper::wait() {
  timer_.expires_after(kEvery);
  timer_.async_wait([this](const boost::system::error_code& stopped) {
    if (!stopped) tick();
  });
}

bool StateKeeper::wants_snapshot() const {
  const std::size_t enough = std::max(kSmallFileBytes, kMostAppended * snapshot_bytes_);
  return !file_->replacing() && (!file_->whole() || file_->bytes() > enough);
}

void StateKeeper::tick() {
  begin_pass(wants_snapshot());
  step();
}

void StateKeeper::begin_pass(bool whole) {
  pass_ = std::make_unique<Pass>();
  pass_->whole = whole;
  parts_.tree.for_each_in_subtree(parts_.tree.root(),
                                  [&](const Group& group) { pass_->groups.push_back(group.id); });
  std::sort(pass_->groups.begin(), pass_->groups.end());
  if (whole) put_globals();
}

void StateKeeper::step() {
  const std::size_t end = std::min(pass_->next + kGroupsAtOnce, pass_->groups.size());
  while (pass_->next < end) visit(pass_->groups[pass_->next++]);
  if (!pass_->whole) append(std::exchange(pass_->text, {}));
  if (end == pass_->groups.size()) return end_pass();
  boost::asio::post(parts_.context, [this] {
    if (started_) step();
  });
}

void StateKeeper::visit(GroupId id) {
  const Group* const group = parts_.tree.find(id);
  if (group == nullptr) return;
  if (pass_->whole) put(group_record(*group));
  visit_counts(id);
}

void StateKeeper::visit_counts(GroupId id) {
  std::vector<DeviceNumber> devices = parts_.controller.devices_met(id);
  std::reverse(devices.begin(), devices.end());  // the one met first comes first
  for (const DeviceNumber device : devices) {
    const auto counts = SavedCounts::of(*parts_.controller.row_of(id, device));
    const std::uint64_t print = counts.print();
    const auto [known, is_new] = written_counts_.try_emplace({id, device}, print);
    if (!pass_->whole && !is_new && known->second == print) continue;
    known->second = print;
    put(counts_record(id, device, counts));
  }
  if (!pass_->whole) return;
  if (const auto absent = absent_.find(id); absent != absent_.end()) {
    for (const auto& [device, counts] : absent->second) put(counts_record(id, device, counts));
  }
}

void StateKeeper::put_members() {
  const TimeNs now = boot_time();
  auto members = parts_.tasks.outside_root();
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
    return std::tie(a.group, a.tgid, a.tid) < std::tie(b.group, b.tgid, b.tid);
  });
  std::unordered_map<GroupId, std::uint64_t> prints;
  std::vector<SavedTask> tasks;
  const auto put_group = [&](GroupId group) {
    Fingerprint seen;
    for (const SavedTask& task : tasks) seen.mix(static_cast<std::uint64_t>(task.tid));
    const std::uint64_t print = seen.value();
    const auto known = written_members_.find(group);
    if (pass_->whole || known == written_members_.end() || known->second != print) {
      put(members_record(group, tasks));
    }
    if (!tasks.empty()) prints[group] = print;
    tasks.clear();
  };
  for (std::size_t i = 0; i < members.size(); ++i) {
    const auto& member = members[i];
    tasks.push_back({member.tid, member.tgid, member.group, false, now});
    if (i + 1 == members.size() || members[i + 1].group != member.group) put_group(member.group);
  }
  for (const auto& [group, print] : written_members_) {
    if (!prints.contains(group)) put_group(group);  // empty now
  }
  written_members_ = std::move(prints);
}

void StateKeeper::end_pass() {
  put_members();
  const std::unique_ptr<Pass> pass = std::move(pass_);
  if (pass->whole) {
    Result<void> begun = file_->replace(pass->text, pass->lines);
    if (begun) snapshot_bytes_ = pass->text.size();
    note(begun);
  } else {
    append(pass->text);
    file_->sync();
  }
  wait();
}

}  // namespace blkio::control_plane
