// SPDX-License-Identifier: MIT
// TaskDirectory against the kernel of this machine: real forks, threads, execs and exits.
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "control_plane/cgroup_mirror.hpp"
#include "control_plane/task_directory.hpp"

using namespace blkio;
using namespace blkio::control_plane;

namespace {

constexpr GroupId kA{2};
constexpr GroupId kB{3};
constexpr Writer kRootUser{.tid = 1, .uid = 0};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kStormRounds = 3;  // a fork of a sanitized process costs ten times as much
#else
constexpr int kStormRounds = 30;
#endif

/// Where a directory has its knowledge from; the walk of /proc has a test of its own.
enum class By : std::uint8_t { kConnector, kMirror, kMirrorAlone };

/// A directory, and the hierarchy behind it if it has one.
class Opened {
 public:
  explicit Opened(By by) {
    const auto source = by == By::kMirrorAlone ? TaskDirectory::Source::kProcWalk
                                               : TaskDirectory::Source::kConnector;
    std::unique_ptr<CgroupMirror> mirror;
    if (by != By::kConnector) {
      auto hierarchy = open_named_hierarchy(mountpoint_);
      if (!hierarchy) {
        skip(hierarchy.error());
        return;
      }
      hierarchy_ = hierarchy.value();
      mirror = CgroupMirror::open(*hierarchy_).value();
    }
    auto directory = TaskDirectory::open(source, std::move(mirror));
    if (!directory) {
      skip(directory.error());
      return;
    }
    directory_ = std::move(directory).value();
    REQUIRE(directory_->add_group(kA, GroupId::kRoot, "a"));
    REQUIRE(directory_->add_group(kB, GroupId::kRoot, "b"));
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() {
    directory_.reset();
    if (!hierarchy_) return;
    CgroupMirror::remove_all(*hierarchy_);
    close_hierarchy(*hierarchy_);
  }

  bool operator!() const { return directory_ == nullptr; }
  TaskDirectory& operator*() const { return *directory_; }
  TaskDirectory* operator->() const { return directory_.get(); }

 private:
  static void skip(const Error& error) { WARN("skipped: " << error.to_string()); }

  std::string mountpoint_ = "/unit-test-" + std::to_string(::getpid());
  std::optional<CgroupHierarchy> hierarchy_;
  std::unique_ptr<TaskDirectory> directory_;
};

/// The test runs once for each source. Nothing, with a word to the reader, where the kernel grants
/// no such thing.
Opened any_source() {
  const By by = GENERATE(By::kConnector, By::kMirror, By::kMirrorAlone);
  INFO("source " << static_cast<int>(by));
  return Opened(by);
}

/// Words from one process to another.
class Pipe {
 public:
  explicit Pipe(int flags = 0) { REQUIRE(::pipe2(ends_, flags) == 0); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends_[0]);
    if (ends_[1] >= 0) ::close(ends_[1]);
  }
  void send(pid_t word = 0) {
    if (::write(ends_[1], &word, sizeof word) != sizeof word) std::abort();
  }
  pid_t receive() {
    pid_t word = 0;
    if (::read(ends_[0], &word, sizeof word) != sizeof word) std::abort();
    return word;
  }
  /// Returns when no process holds the end to write to any more.
  void wait_for_end() {
    ::close(std::exchange(ends_[1], -1));
    char byte;
    while (::read(ends_[0], &byte, 1) > 0) continue;
  }

 private:
  int ends_[2];
};

template <class Body>
pid_t spawn(Body body) {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    body();
    ::_exit(0);
  }
  return pid;
}

void reap(pid_t pid) {
  REQUIRE(::waitpid(pid, nullptr, 0) == pid);
}
void end(pid_t pid) {
  ::kill(pid, SIGKILL);
  reap(pid);
}

/// True if nobody of them stays: the kernel moves no thread that is about to end, and lists it
/// where it was until it has.
bool all_end(const std::vector<pid_t>& tids) {
  auto proc = KernelProcFiles::open().value();
  return std::all_of(tids.begin(), tids.end(), [&](pid_t tid) {
    const auto stat = proc.stat(tid);
    return stat ? stat.value().exiting() : is_gone(stat.error());
  });
}

/// Ids begin anew when all have been used.
std::vector<pid_t> sorted(std::vector<pid_t> ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

/// GroupId{} if the directory does not know the task.
GroupId group_of(TaskDirectory& directory, pid_t tid) {
  Issuer issuer;
  directory.resolve(&tid, &issuer, 1);
  return issuer.usable ? issuer.group : GroupId{};
}

}  // namespace

TEST_CASE("kernel: every child of a fork storm inherits, orphans too") {
  const auto directory = any_source();
  if (!directory) return;
  constexpr int kPerRound = 100;  // 3000 children in all
  Pipe start;
  Pipe ids;
  Pipe release;
  const auto report_and_wait = [&] {
    ids.send(::getpid());
    release.receive();
    ids.send();  // no word of the next round is taken by a child of this one
    ::_exit(0);
  };
  const pid_t parent = spawn([&] {
    ::signal(SIGCHLD, SIG_IGN);
    for (int round = 0; round < kStormRounds; ++round) {
      start.receive();
      for (int i = 0; i < kPerRound; ++i) {
        if (::fork() != 0) continue;
        if (i % 2 == 0) report_and_wait();
        if (::fork() == 0) report_and_wait();
        ::_exit(0);  // every other child is an orphan before anybody asks
      }
    }
  });
  REQUIRE(directory->attach(parent, TaskScope::kProcess, kA, kRootUser));
  int inherited = 0;
  for (int round = 0; round < kStormRounds; ++round) {
    start.send();
    for (int i = 0; i < kPerRound; ++i) {
      if (group_of(*directory, ids.receive()) == kA) ++inherited;
    }
    for (int i = 0; i < kPerRound; ++i) release.send();
    for (int i = 0; i < kPerRound; ++i) ids.receive();
  }
  CHECK(inherited == kStormRounds * kPerRound);
  CHECK(directory->health().overruns == 0);
  reap(parent);
}

TEST_CASE("kernel: a thread has its own group, and what it forks has it too") {
  const auto directory = any_source();
  if (!directory) return;
  Pipe ids;
  Pipe go;
  const pid_t process = spawn([&] {
    std::thread([&] {
      ids.send(::gettid());
      go.receive();
      if (const pid_t child = ::fork(); child != 0) ids.send(child);
      ::pause();
    }).join();
  });
  const pid_t thread = ids.receive();
  REQUIRE(directory->attach(thread, TaskScope::kThread, kA, kRootUser));
  go.send();
  const pid_t child = ids.receive();
  CHECK(group_of(*directory, process) == GroupId::kRoot);
  CHECK(group_of(*directory, thread) == kA);
  CHECK(group_of(*directory, child) == kA);
  CHECK(directory->members(kA, TaskScope::kProcess) == sorted({process, child}));
  end(process);
  ::kill(child, SIGKILL);
}

TEST_CASE("kernel: exec keeps the group, also when a thread execs") {
  const auto directory = any_source();
  if (!directory) return;
  const bool by_thread = GENERATE(false, true);
  Pipe ids;
  Pipe go;
  Pipe running(O_CLOEXEC);  // closed by the exec
  const auto exec = [&] {
    ids.send(::gettid());
    go.receive();
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
  };
  const pid_t process = spawn([&] {
    if (by_thread) std::thread(exec).join();
    exec();
  });
  const pid_t caller = ids.receive();
  CHECK((caller != process) == by_thread);
  REQUIRE(directory->attach(process, TaskScope::kProcess, kB, kRootUser));
  REQUIRE(directory->attach(caller, TaskScope::kThread, kA, kRootUser));
  go.send();
  running.wait_for_end();
  CHECK(group_of(*directory, process) == kA);
  CHECK(directory->members(kA, TaskScope::kThread) == std::vector{process});
  CHECK_FALSE(directory->has_tasks(kB));
  end(process);
  CHECK_FALSE(directory->has_tasks(kA));
}

TEST_CASE("kernel: an exit counts as soon as wait(2) has returned, and for a zombie before") {
  const auto directory = any_source();
  if (!directory) return;
  for (int i = 0; i < 200; ++i) {
    const pid_t process = spawn([] { ::pause(); });
    REQUIRE(directory->attach(process, TaskScope::kProcess, kA, kRootUser));
    ::kill(process, SIGKILL);
    siginfo_t info;
    REQUIRE(::waitid(P_PID, static_cast<id_t>(process), &info, WEXITED | WNOWAIT) == 0);
    REQUIRE(directory->members(kA, TaskScope::kThread).empty());
    REQUIRE_FALSE(directory->has_tasks(kA));
    REQUIRE(directory->attach(process, TaskScope::kProcess, kA, kRootUser));
    REQUIRE_FALSE(directory->has_tasks(kA));
    reap(process);
    REQUIRE(directory->attach(process, TaskScope::kProcess, kA, kRootUser).error().number == ESRCH);
  }
}

TEST_CASE("kernel: no thread is lost while a process that keeps cloning is moved") {
  const auto directory = any_source();
  if (!directory) return;
  Pipe ready;
  const pid_t process = spawn([&] {
    const auto keep_cloning = [] {
      for (;;) std::thread([] { std::this_thread::yield(); }).join();
    };
    std::vector<std::thread> spawners;
    for (int i = 0; i < 4; ++i) spawners.emplace_back(keep_cloning);
    ready.send();
    ::pause();
  });
  ready.receive();
  constexpr int kMoves = 100;
  for (int move = 0; move < kMoves; ++move) {
    const GroupId to = move % 2 == 0 ? kA : kB;
    const GroupId from = move % 2 == 0 ? kB : kA;
    REQUIRE(directory->attach(process, TaskScope::kProcess, to, kRootUser));
    REQUIRE(all_end(directory->members(from, TaskScope::kThread)));
    REQUIRE(directory->members(to, TaskScope::kProcess) == std::vector{process});
    const auto in_root = directory->members(GroupId::kRoot, TaskScope::kProcess);
    REQUIRE_FALSE(std::binary_search(in_root.begin(), in_root.end(), process));
  }
  end(process);
  CHECK_FALSE(directory->has_tasks(kA));
  CHECK_FALSE(directory->has_tasks(kB));
}

TEST_CASE("kernel: threads of an engine may resolve while tasks move") {
  const auto directory = any_source();
  if (!directory) return;
  const pid_t process = spawn([] { ::pause(); });
  std::atomic<bool> stop = false;
  std::atomic<int> strange = 0;
  std::thread engine([&] {
    const pid_t tids[] = {process, 1};
    Issuer issuers[2];
    while (!stop) {
      directory->resolve(tids, issuers, 2);
      const bool known = issuers[0].usable && issuers[0].tgid == process;
      if (!known || issuers[1].group != GroupId::kRoot) ++strange;
    }
  });
  for (int i = 0; i < 200; ++i) {
    const GroupId group = i % 2 == 0 ? kA : kB;
    CHECK(directory->attach(process, TaskScope::kProcess, group, kRootUser));
  }
  stop = true;
  engine.join();
  CHECK(strange == 0);
  end(process);
}

TEST_CASE("kernel: kernel threads") {
  auto directory = TaskDirectory::open();
  REQUIRE(directory);
  constexpr pid_t kKthreadd = 2;
  const auto stat = KernelProcFiles::open().value().stat(kKthreadd);
  if (!stat || !stat.value().kernel_thread()) {
    WARN("skipped: no kthreadd in this pid namespace");
    return;
  }
  Issuer issuer;
  directory.value()->resolve(&kKthreadd, &issuer, 1);
  CHECK_FALSE(issuer.usable);
  const auto result = directory.value()->attach(kKthreadd, TaskScope::kProcess, kA, kRootUser);
  CHECK(result.error().number == EINVAL);
}

TEST_CASE("kernel: the walk of /proc serves families whose parents live") {
  auto opened = TaskDirectory::open(TaskDirectory::Source::kProcWalk);
  REQUIRE(opened);
  TaskDirectory& directory = *opened.value();
  CHECK(directory.source() == std::string("proc-walk"));
  CHECK(directory.fd() == -1);
  Pipe ids;
  Pipe go;
  const pid_t parent = spawn([&] {
    const auto fork_one = [&] {
      const pid_t child = ::fork();
      if (child == 0) ::pause();
      ids.send(child);
    };
    fork_one();
    go.receive();
    fork_one();
    ::pause();
  });
  const pid_t early = ids.receive();
  REQUIRE(directory.attach(parent, TaskScope::kProcess, kA, kRootUser));
  go.send();
  const pid_t late = ids.receive();
  CHECK(group_of(directory, parent) == kA);
  CHECK(group_of(directory, early) == GroupId::kRoot);
  CHECK(group_of(directory, late) == kA);
  CHECK(directory.members(kA, TaskScope::kProcess) == sorted({parent, late}));
  end(parent);
  CHECK(group_of(directory, late) == kA);
  ::kill(late, SIGKILL);
  while (directory.has_tasks(kA)) std::this_thread::yield();  // it is not our child to wait for
  ::kill(early, SIGKILL);
}

namespace {

/// fork(2) with CLONE_PARENT: the child is our sibling.
pid_t fork_sibling() {
  return static_cast<pid_t>(
      ::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

}  // namespace

TEST_CASE("kernel: whom the connector does not name as the parent") {
  const By by = GENERATE(By::kMirror, By::kMirrorAlone);
  const Opened directory(by);
  if (!directory) return;
  Pipe ids;
  Pipe go;
  const pid_t process = spawn([&] {
    std::thread([&] {
      ids.send(::gettid());
      go.receive();
      const pid_t sibling = fork_sibling();
      if (sibling == 0) ::pause();
      ids.send(sibling);
      std::thread([&] {
        ids.send(::gettid());
        ::pause();
      }).join();
    }).join();
  });
  const pid_t thread = ids.receive();
  REQUIRE(directory->attach(thread, TaskScope::kThread, kA, kRootUser));
  go.send();
  const pid_t sibling = ids.receive();
  const pid_t second_thread = ids.receive();
  CHECK(group_of(*directory, sibling) == kA);
  CHECK(group_of(*directory, second_thread) == kA);
  CHECK(group_of(*directory, process) == GroupId::kRoot);
  CHECK(directory->members(kA, TaskScope::kThread).size() == 3);
  end(process);
  end(sibling);
}
