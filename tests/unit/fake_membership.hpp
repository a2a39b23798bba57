// SPDX-License-Identifier: MIT
/// A Membership without processes: tasks are what a test says they are.
#pragma once

#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "blkio/controller.hpp"

namespace blkio::test {

class FakeMembership final : public Membership {
 public:
  struct Attach {
    pid_t id;
    TaskScope scope;
    GroupId group;
    Writer writer;
  };

  /// A thread of the process `tgid` appears, in the root group.
  void add_thread(pid_t tid, pid_t tgid) { threads_[tid] = {tgid, GroupId::kRoot}; }
  void exit_thread(pid_t tid) { threads_.erase(tid); }
  /// The last attach that was asked for, refused ones too.
  const std::optional<Attach>& last_attach() const { return last_attach_; }
  /// The next attach fails so, as the attach rule would.
  void refuse_next(int error) { refusal_ = error; }
  /// No group may be made or renamed, as if a mirror could not follow.
  void refuse_groups(int error) { groups_refusal_ = error; }

  Result<void> add_group(GroupId, GroupId, std::string_view) override { return groups_verdict(); }
  Result<void> rename_group(GroupId, std::string_view) override { return groups_verdict(); }

  Result<void> attach(pid_t id, TaskScope scope, GroupId group, const Writer& writer) override {
    last_attach_ = Attach{id, scope, group, writer};
    if (const int error = std::exchange(refusal_, 0); error != 0) return failure(error);
    const auto target = threads_.find(id == 0 ? writer.tid : id);
    if (target == threads_.end()) return failure(ESRCH);
    const pid_t tgid = target->second.tgid;
    for (auto& [tid, thread] : threads_) {
      const bool moves = scope == TaskScope::kThread ? tid == target->first : thread.tgid == tgid;
      if (moves) thread.group = group;
    }
    return success();
  }
  std::vector<pid_t> members(GroupId group, TaskScope scope) override {
    std::set<pid_t> ids;
    for (const auto& [tid, thread] : threads_) {
      if (thread.group == group) ids.insert(scope == TaskScope::kThread ? tid : thread.tgid);
    }
    return {ids.begin(), ids.end()};
  }
  bool has_tasks(GroupId group) override { return !members(group, TaskScope::kThread).empty(); }

 private:
  struct Thread {
    pid_t tgid = 0;
    GroupId group = GroupId::kRoot;
  };
  std::map<pid_t, Thread> threads_;
  Result<void> groups_verdict() const {
    if (groups_refusal_ != 0) return failure(groups_refusal_);
    return success();
  }

  std::optional<Attach> last_attach_;
  int refusal_ = 0;
  int groups_refusal_ = 0;
};

}  // namespace blkio::test
