// SPDX-License-Identifier: MIT
#include "release_agents.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <poll.h>
#include <spawn.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <mutex>
#include <utility>
#include <vector>

namespace blkio::control_plane {
namespace {

constexpr auto kPatience = std::chrono::seconds(1);

/// What posix_spawn() is to do in the child, taken down at the end.
class SpawnPlan {
 public:
  SpawnPlan() {
    posix_spawn_file_actions_init(&files_);
    posix_spawn_file_actions_addchdir_np(&files_, "/");
    posix_spawn_file_actions_addopen(&files_, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&files_, 0, 1);
    posix_spawn_file_actions_adddup2(&files_, 0, 2);
    posix_spawn_file_actions_addclosefrom_np(&files_, 3);
    posix_spawnattr_init(&attributes_);
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes_, &none);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  Result<pid_t> run(const std::string& program, const std::string& argument) const {
    char home[] = "HOME=/";
    char path[] = "PATH=/sbin:/bin:/usr/sbin:/usr/bin";
    char* environment[] = {home, path, nullptr};
    char* arguments[] = {const_cast<char*>(program.c_str()), const_cast<char*>(argument.c_str()),
                         nullptr};
    pid_t pid = 0;
    const int error =
        ::posix_spawn(&pid, program.c_str(), &files_, &attributes_, arguments, environment);
    if (error != 0) return failure(error, program);
    return pid;
  }

 private:
  posix_spawn_file_actions_t files_;
  posix_spawnattr_t attributes_;
};

bool same_user_namespace(pid_t pid) {
  struct stat own {};
  struct stat theirs {};
  return ::stat("/proc/self/ns/user", &own) == 0 &&
         ::stat(fmt::format("/proc/{}/ns/user", pid).c_str(), &theirs) == 0 &&
         own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino;
}

bool has_admin_capability(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  constexpr std::string_view kTag = "CapEff:";
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(kTag)) continue;
    const std::uint64_t capabilities = std::strtoull(line.c_str() + kTag.size(), nullptr, 16);
    return (capabilities >> CAP_SYS_ADMIN & 1U) != 0;
  }
  return false;
}

}  // namespace

/// Shared with the thread, which may outlive us.
struct ReleaseAgents::State {
  struct Job {
    std::string agent;
    std::string group_path;
    bool operator==(const Job&) const = default;
  };
  struct Child {
    pid_t pid = 0;
    int pidfd = -1;
  };

  State() = default;
  ~State() {
    for (const Child& child : running) ::close(child.pidfd);
    if (wake >= 0) ::close(wake);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  void serve();
  void start_waiting();
  void collect(const std::vector<pollfd>& watched);
  void spawn(const Job& job);

  int wake = -1;  ///< eventfd
  std::mutex mutex;
  std::deque<Job> waiting;     // under mutex
  bool stop = false;           // under mutex
  std::vector<Child> running;  // of the thread
};

void ReleaseAgents::State::serve() {
  for (;;) {
    std::vector<pollfd> watched{{wake, POLLIN, 0}};
    for (const Child& child : running) watched.push_back({child.pidfd, POLLIN, 0});
    ::poll(watched.data(), watched.size(), -1);
    eventfd_t ignored = 0;
    ::eventfd_read(wake, &ignored);
    collect(watched);
    {
      const std::lock_guard lock(mutex);
      if (stop) return;
    }
    start_waiting();
  }
}

void ReleaseAgents::State::collect(const std::vector<pollfd>& watched) {
  for (std::size_t i = running.size(); i-- > 0;) {
    if (watched[i + 1].revents == 0) continue;
    ::waitpid(running[i].pid, nullptr, 0);  // by its id: other children are other people's
    ::close(running[i].pidfd);
    running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void ReleaseAgents::State::start_waiting() {
  while (running.size() < kMaxRunning) {
    Job job;
    {
      const std::lock_guard lock(mutex);
      if (stop || waiting.empty()) return;
      job = std::move(waiting.front());
      waiting.pop_front();
    }
    spawn(job);
  }
}

void ReleaseAgents::State::spawn(const Job& job) {
  const auto pid = SpawnPlan().run(job.agent, job.group_path);
  if (!pid) {
    spdlog::warn("release agent for {}: {}", job.group_path, pid.error().to_string());
    return;
  }
  // Not pidfd_open(): glibc 2.36 declares it without C linkage.
  const int pidfd = static_cast<int>(::syscall(SYS_pidfd_open, pid.value(), 0));
  if (pidfd >= 0) {
    running.push_back({pid.value(), pidfd});
  } else {
    ::waitpid(pid.value(), nullptr, 0);  // no descriptor left: one after the other
  }
}

ReleaseAgents::ReleaseAgents() : state_(std::make_shared<State>()) {}

Result<void> ReleaseAgents::start() {
  state_->wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (state_->wake < 0) return failure(errno, "release agents");
  std::promise<void> ended;
  ended_ = ended.get_future();
  thread_ = std::thread([state = state_, ended = std::move(ended)]() mutable {
    state->serve();
    ended.set_value();
  });
  return success();
}

ReleaseAgents::~ReleaseAgents() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stop = true;
  }
  ::eventfd_write(state_->wake, 1);
  if (ended_.wait_for(kPatience) == std::future_status::ready) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void ReleaseAgents::run(std::string agent, std::string group_path) {
  State::Job job{std::move(agent), std::move(group_path)};
  {
    const std::lock_guard lock(state_->mutex);
    auto& waiting = state_->waiting;
    if (std::find(waiting.begin(), waiting.end(), job) != waiting.end()) return;
    if (waiting.size() >= kMaxWaiting) {
      spdlog::warn("release agent: {} others wait, not run for {}", kMaxWaiting, job.group_path);
      return;
    }
    waiting.push_back(std::move(job));
  }
  ::eventfd_write(state_->wake, 1);
}

bool may_name_release_agent(pid_t writer, uid_t uid) {
  if (::geteuid() != 0) return uid == ::geteuid();
  return writer > 0 && has_admin_capability(writer) && same_user_namespace(writer);
}

}  // namespace blkio::control_plane
