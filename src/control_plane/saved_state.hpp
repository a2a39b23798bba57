// SPDX-License-Identifier: MIT
/// What the lines of a state file say: groups, what they counted, who is in them.
#pragma once

#include <sys/types.h>

#include <array>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "blkio/op_counts.hpp"
#include "blkio/types.hpp"
#include "cgroupfs/group.hpp"
#include "stats/group_stats.hpp"

namespace blkio::control_plane {

/// The numbers of a group on a device, as a daemon can hand them to the next.
struct SavedCounts {
  struct Row {
    OpCounts own;
    OpCounts inherited;
  };
  std::array<Row, kCounters> rows{};
  stats::SchedulingStats::Totals scheduling{};

  static SavedCounts of(const stats::DeviceStats& stats);
  void restore_to(stats::DeviceStats& stats) const;
  /// Tells whether something changed; equal ones have equal prints.
  std::uint64_t print() const;
};

struct SavedTask {
  pid_t tid = 0;
  pid_t tgid = 0;
  GroupId group = GroupId::kRoot;
  /// The whole process was moved, whatever threads it has.
  bool process = false;
  /// CLOCK_BOOTTIME when it was seen: a task that started later is another one with its id.
  TimeNs seen_ns = 0;
};

struct SavedGroup {
  cgroupfs::Group group;
  /// The device met first comes first.
  std::vector<std::pair<DeviceNumber, SavedCounts>> counts;
};

/// What is not any group's.
struct SavedGlobals {
  std::string boot;  ///< /proc/sys/kernel/random/boot_id: task ids and times are of that boot
  std::uint64_t pid_namespace = 0;
  std::string release_agent;
  std::set<DeviceNumber> counting;  ///< Dialect::kKernel: a rule was written for them
};

/// A line each. Names and values may hold any bytes.
nlohmann::json globals_record(const SavedGlobals& globals);
nlohmann::json group_record(const cgroupfs::Group& group);
nlohmann::json removal_record(GroupId group);
nlohmann::json counts_record(GroupId group, DeviceNumber device, const SavedCounts& counts);
/// Everybody who is in the group, in order of process.
nlohmann::json members_record(GroupId group, const std::vector<SavedTask>& tasks);
nlohmann::json task_record(const SavedTask& task);

/// The sum of the lines. A line replaces what earlier ones said of the same thing, so it does not
/// matter if a change is told twice. Ids are those of the daemon that wrote; a parent's is always
/// smaller than its children's.
struct SavedState {
  SavedGlobals globals;
  std::map<GroupId, SavedGroup> groups;
  std::map<pid_t, SavedTask> tasks;

  /// Throws nlohmann::json::exception, or std::invalid_argument, for a line that makes no sense.
  /// One that is not known says nothing.
  void apply(const nlohmann::json& record);

 private:
  void apply_group(const nlohmann::json& record);
  void apply_removal(GroupId group);
  void apply_counts(const nlohmann::json& record);
  void apply_members(const nlohmann::json& record);
  void apply_task(const nlohmann::json& record);
};

}  // namespace blkio::control_plane
