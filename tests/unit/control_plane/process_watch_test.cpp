// SPDX-License-Identifier: MIT
#include "control_plane/process_watch.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <map>
#include <string>

using namespace blkio;
using namespace blkio::control_plane;

namespace {

struct Tasks final : ProcFiles {
  Result<ProcStat> stat(pid_t tid) override {
    if (broken) return failure(EMFILE);
    const auto task = tasks.find(tid);
    if (task == tasks.end()) return failure(ENOENT);
    return task->second;
  }
  Result<ProcStatus> status(pid_t) override { return failure(ENOENT); }
  Result<std::vector<pid_t>> processes() override { return failure(ENOENT); }
  Result<std::vector<pid_t>> threads(pid_t tgid) override {
    if (!tasks.contains(tgid)) return failure(ENOENT);
    std::vector<pid_t> all;
    for (const auto& [tid, task] : tasks) all.push_back(tid);
    return all;
  }
  std::map<pid_t, ProcStat> tasks;
  bool broken = false;
};

constexpr std::uint64_t bit(int signal) {
  return 1u << (signal - 1);
}

}  // namespace

TEST_CASE(
    "watch: a thread is killed by SIGKILL, by its exit, by being gone, not by other signals") {
  Tasks tasks;
  tasks.tasks[9].state = 'D';
  CHECK_FALSE(thread_killed(tasks, 9));
  tasks.tasks[9].pending = bit(SIGALRM) | bit(SIGTERM);
  CHECK_FALSE(thread_killed(tasks, 9));
  tasks.tasks[9].pending |= bit(SIGKILL);
  CHECK(thread_killed(tasks, 9));
  tasks.tasks[9] = {};
  tasks.tasks[9].flags = kPfExiting;
  CHECK(thread_killed(tasks, 9));
  CHECK(thread_killed(tasks, 10));
  tasks.broken = true;
  CHECK_FALSE(thread_killed(tasks, 10));  // nothing is known
}

TEST_CASE("watch: where a thread ran last, unless it is gone") {
  Tasks tasks;
  tasks.tasks[9].cpu = 3;
  CHECK(cpu_of(tasks, 9) == 3u);
  CHECK(cpu_of(tasks, 10) == std::nullopt);
}

TEST_CASE("watch: a process is gone when its last thread is") {
  Tasks tasks;
  tasks.tasks[9].state = 'Z';
  tasks.tasks[10].state = 'S';
  CHECK_FALSE(process_gone(tasks, 9));
  tasks.tasks[10].flags = kPfExiting;
  CHECK(process_gone(tasks, 9));
  CHECK(process_gone(tasks, 11));
  tasks.broken = true;
  CHECK_FALSE(process_gone(tasks, 9));
}

TEST_CASE("watch: what the machine tells of a stopped child that is killed") {
  const pid_t child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    _exit(0);
  }
  waitpid(child, nullptr, WUNTRACED);
  auto proc = KernelProcFiles::open();
  REQUIRE(proc);
  CHECK_FALSE(thread_killed(proc.value(), child));
  kill(child, SIGTERM);  // pending for the process, stopped as it is; then deadly
  kill(child, SIGKILL);
  siginfo_t info{};
  waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT);  // not reaped yet
  CHECK(thread_killed(proc.value(), child));
  waitpid(child, nullptr, 0);
  CHECK(thread_killed(proc.value(), child));
}
