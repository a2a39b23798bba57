// SPDX-License-Identifier: MIT
#include "cgroupfs/task_table.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>

using blkio::GroupId;
using blkio::cgroupfs::TaskInfo;
using blkio::cgroupfs::TaskTable;

namespace {

constexpr GroupId kA{2};
constexpr GroupId kB{3};

std::vector<pid_t> members(const TaskTable& table, GroupId group) {
  std::vector<pid_t> tids;
  table.for_each_member(group, [&](pid_t tid, const TaskInfo&) { tids.push_back(tid); });
  std::sort(tids.begin(), tids.end());
  return tids;
}

GroupId group_of(const TaskTable& table, pid_t tid) {
  const auto info = table.find(tid);
  REQUIRE(info);
  return info->group;
}

/// init (1), kthreadd (2) and a shell (100).
struct Booted {
  TaskTable table;
  Booted() {
    table.add(1, {.tgid = 1});
    table.add(2, {.tgid = 2, .kernel_thread = true});
    table.add(100, {.tgid = 100});
  }
};

using Tids = std::vector<pid_t>;

}  // namespace

TEST_CASE_METHOD(Booted, "tasks: everything starts in the root group") {
  CHECK(table.size() == 3);
  CHECK(table.count(GroupId::kRoot) == 3);
  CHECK_FALSE(table.any_outside_root());
  CHECK(members(table, GroupId::kRoot) == Tids{1, 2, 100});
  CHECK(members(table, kA).empty());
}

TEST_CASE_METHOD(Booted, "tasks: a child inherits the group of the thread that forked it") {
  REQUIRE(table.move(100, kA));
  table.forked(100, 101, 101);
  table.forked(1, 102, 102);
  CHECK(members(table, kA) == Tids{100, 101});
  CHECK(group_of(table, 102) == GroupId::kRoot);
  CHECK(table.any_outside_root());
  CHECK(table.count(kA) == 2);
}

TEST_CASE_METHOD(Booted, "tasks: a move binds later children, not earlier ones") {
  table.forked(100, 101, 101);
  REQUIRE(table.move(100, kA));
  table.forked(100, 102, 102);
  CHECK(group_of(table, 101) == GroupId::kRoot);
  CHECK(group_of(table, 102) == kA);
}

TEST_CASE_METHOD(Booted, "tasks: a thread that forks gives its own group, not its leader's") {
  table.forked(1, 110, 100);  // clone(CLONE_THREAD): the event names the parent of the process
  REQUIRE(table.move(110, kB));
  table.forked(110, 111, 111);
  table.forked(100, 112, 112);
  CHECK(group_of(table, 111) == kB);
  CHECK(group_of(table, 112) == GroupId::kRoot);
}

TEST_CASE_METHOD(Booted, "tasks: a new thread joins its process's group, not that of the parent") {
  REQUIRE(table.move(100, kA));
  table.forked(1, 110, 100);
  CHECK(group_of(table, 110) == kA);
  CHECK(table.find(110)->tgid == 100);
  auto threads = table.threads(100);
  std::sort(threads.begin(), threads.end());
  CHECK(threads == Tids{100, 110});
}

TEST_CASE_METHOD(Booted, "tasks: an exited task is no member") {
  REQUIRE(table.move(100, kA));
  table.exited(100);
  CHECK_FALSE(table.find(100));
  CHECK(table.count(kA) == 0);
  CHECK(table.size() == 2);
  table.exited(100);  // again, and an unknown one: nothing happens
  table.exited(4711);
  CHECK(table.size() == 2);
  CHECK_FALSE(table.move(100, kB));
}

TEST_CASE_METHOD(Booted, "tasks: a leader may exit before its threads") {
  REQUIRE(table.move(100, kA));
  table.forked(1, 110, 100);
  table.exited(100);
  CHECK(members(table, kA) == Tids{110});
  CHECK(table.group_of_process(100) == kA);
  table.forked(1, 111, 100);  // a thread of a process without a living leader
  CHECK(group_of(table, 111) == kA);
  CHECK(table.threads(100).size() == 2);
  table.exited(110);
  table.exited(111);
  CHECK_FALSE(table.group_of_process(100));
  CHECK(table.size() == 2);
}

TEST_CASE_METHOD(Booted, "tasks: a thread that execs takes the leader's id and keeps its group") {
  table.forked(1, 110, 100);
  REQUIRE(table.move(110, kB));
  table.exited(100);  // the kernel kills the other threads first; 110 never exits
  table.exec(100);
  CHECK(group_of(table, 100) == kB);
  CHECK_FALSE(table.find(110));
  CHECK(table.threads(100) == Tids{100});
  CHECK_FALSE(table.exec_in_doubt(100));
}

TEST_CASE_METHOD(Booted, "tasks: a leader that execs drops the threads whose exits come late") {
  table.forked(1, 110, 100);
  table.exec(100);
  CHECK(table.threads(100) == Tids{100});
  CHECK(table.exec_in_doubt(100));
  table.exited(110);
  CHECK(table.find(100));
  table.exec(100);  // alone now
  CHECK_FALSE(table.exec_in_doubt(100));
}

TEST_CASE_METHOD(Booted, "tasks: a kernel helper is a user task once it execs") {
  table.forked(2, 50, 50);
  CHECK(table.find(50)->kernel_thread);
  table.exec(50);
  CHECK_FALSE(table.find(50)->kernel_thread);
}

TEST_CASE_METHOD(Booted, "tasks: a child that was found first keeps what it was given") {
  table.add(101, {.tgid = 101});
  REQUIRE(table.move(101, kB));
  REQUIRE(table.move(100, kA));
  table.forked(100, 101, 101);
  CHECK(group_of(table, 101) == kB);
}

TEST_CASE_METHOD(Booted, "tasks: an id used again belongs to the new task") {
  table.forked(100, 101, 101);
  REQUIRE(table.move(101, kA));
  table.exited(101);
  table.forked(100, 101, 101);
  CHECK(group_of(table, 101) == GroupId::kRoot);

  // With lost events: what was a process is now a thread of another one.
  table.forked(1, 120, 101);
  table.add(101, {.group = kB, .tgid = 100});
  CHECK(table.find(101)->tgid == 100);
  CHECK_FALSE(table.find(120));
  CHECK(table.threads(100).size() == 2);
  // And what was a thread leads a process.
  table.add(130, {.tgid = 101});
  CHECK(table.threads(100) == Tids{100});
  CHECK(table.threads(101) == Tids{130});
}

TEST_CASE_METHOD(Booted, "tasks: an unknown parent means the root group") {
  table.forked(4711, 4712, 4712);
  CHECK(group_of(table, 4712) == GroupId::kRoot);
}

TEST_CASE("tasks: a random history agrees with a naive model") {
  struct Model {
    pid_t tgid;
    GroupId group;
  };
  const unsigned seed = 20240611;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto below = [&](std::size_t n) { return random() % n; };
  TaskTable table;
  std::map<pid_t, Model> model{{1, {1, GroupId::kRoot}}};
  table.add(1, {.tgid = 1});
  pid_t next = 2;
  const auto any = [&] {
    return *std::next(model.begin(), static_cast<std::ptrdiff_t>(below(model.size())));
  };
  for (int step = 0; step < 20'000; ++step) {
    const auto [tid, task] = any();
    const auto dice = below(10);
    if (dice < 3) {
      model[next] = {next, task.group};
      table.forked(tid, next, next);
      ++next;
    } else if (dice < 5 && model.contains(task.tgid)) {
      model[next] = {task.tgid, model[task.tgid].group};
      table.forked(1, next, task.tgid);
      ++next;
    } else if (dice < 8) {
      const GroupId group{static_cast<std::uint32_t>(1 + below(5))};
      CHECK(table.move(tid, group) == (task.group != group));
      model[tid].group = group;
    } else if (tid != 1) {
      model.erase(tid);
      table.exited(tid);
    }
  }
  REQUIRE(table.size() == model.size());
  std::map<GroupId, Tids> expected;
  for (const auto& [tid, task] : model) {
    expected[task.group].push_back(tid);
    CHECK(table.find(tid)->tgid == task.tgid);
  }
  for (std::uint32_t id = 1; id <= 5; ++id) {
    CHECK(members(table, GroupId{id}) == expected[GroupId{id}]);
    CHECK(table.count(GroupId{id}) == expected[GroupId{id}].size());
  }
}
