// SPDX-License-Identifier: MIT
/// Keeps the groups in a file, and brings them back.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "cgroupfs/change_listener.hpp"
#include "cgroupfs/group_tree.hpp"
#include "engine_controller.hpp"
#include "proc_files.hpp"
#include "saved_state.hpp"
#include "state_file.hpp"
#include "task_directory.hpp"

namespace blkio::control_plane {

/// Groups, owners, rules and weights are in the file before whoever changed them has the answer;
/// so is a move of a task. What was counted, and who was born since, follows every second.
///
/// Control thread only. A full disk or a lost one is told once and tried again every second; the
/// groups go on.
class StateKeeper final : public cgroupfs::ChangeListener {
 public:
  struct Parts {
    boost::asio::io_context& context;
    cgroupfs::GroupTree& tree;
    EngineController& controller;
    TaskDirectory& tasks;
    ProcFiles& proc;
  };

  /// Reads the file, see StateFile::open(). Everything in `parts` outlives the keeper.
  static Result<std::unique_ptr<StateKeeper>> open(const Parts& parts, const std::string& path);

  /// Makes the groups again, with everything they had, in a tree that has none; counters and rules
  /// of the devices that are proxied now. Those of others wait for device_added().
  void restore();
  /// From here on changes are kept. EACCES and others: the file cannot be written.
  Result<void> start();
  /// Writes all down once more. The engine must have stopped counting.
  void finish();

  /// A device is proxied that was not: what the file said of it is brought back.
  void device_added(DeviceNumber device);

  // ChangeListener
  void group_changed(GroupId group) override;
  void group_removed(GroupId group, GroupId parent) override;

  const std::string& path() const { return file_->path(); }
  /// Empty while all is well.
  const std::string& trouble() const { return trouble_; }

 private:
  /// A pass over all groups, some at a time, so that nobody waits for it.
  struct Pass {
    std::vector<GroupId> groups;  ///< parents before children
    std::size_t next = 0;
    bool whole = false;  ///< a snapshot; else only what has been counted since the last pass
    std::string text;    ///< not written yet
    std::size_t lines = 0;
  };

  explicit StateKeeper(const Parts& parts);

  void restore_groups();
  void restore_group(const SavedGroup& saved);
  void restore_device(GroupId group, DeviceNumber device);
  void restore_tasks();
  bool still_lives(const SavedTask& task) const;
  bool attach(pid_t id, TaskScope scope, GroupId group);

  void task_moved(pid_t id, TaskScope scope, GroupId group);
  void put_globals();
  /// Joins what a pass writes.
  void put(const nlohmann::json& record);
  /// Into the file at once, and into a snapshot that is being made: it may have passed the group.
  void write(const std::vector<nlohmann::json>& records);
  void append(std::string_view lines);
  void note(const Result<void>& written);
  Result<void> write_all_now();

  void wait();
  void tick();
  void begin_pass(bool whole);
  void step();
  void visit(GroupId group);
  void visit_counts(GroupId group);
  void put_members();
  void end_pass();
  bool wants_snapshot() const;

  Parts parts_;
  std::unique_ptr<StateFile> file_;
  boost::asio::steady_timer timer_;
  SavedState saved_;                     ///< of the file as it was found; empty when restored
  std::map<GroupId, GroupId> restored_;  ///< id in the file -> id now
  /// Of devices that are not proxied: kept for the day they are.
  std::map<GroupId, std::map<DeviceNumber, SavedCounts>> absent_;
  std::map<std::pair<GroupId, DeviceNumber>, std::uint64_t> written_counts_;  ///< prints
  std::unordered_map<GroupId, std::uint64_t> written_members_;                ///< prints
  std::string written_globals_;
  const std::string boot_;
  const std::uint64_t pid_namespace_;
  std::unique_ptr<Pass> pass_;
  std::size_t snapshot_bytes_ = 0;
  bool started_ = false;
  std::string trouble_;
};

}  // namespace blkio::control_plane
