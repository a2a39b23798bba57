// SPDX-License-Identifier: MIT
/// What /proc tells of a task, from the files that are safe to read.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "blkio/result.hpp"

namespace blkio::control_plane {

/// Flags of a task, from include/linux/sched.h; field 9 of /proc/TID/stat.
inline constexpr std::uint32_t kPfExiting = 0x00000004;
inline constexpr std::uint32_t kPfKthread = 0x00200000;
inline constexpr std::uint32_t kPfNoSetAffinity = 0x04000000;

/// From /proc/TID/task/TID/stat.
struct ProcStat {
  char state = '?';  ///< 'Z': a zombie; 'X', 'x': being reaped
  pid_t ppid = 0;    ///< of the process, the same for all its threads
  std::uint32_t flags = 0;
  std::uint64_t start_ticks = 0;  ///< since boot, in clock ticks
  std::uint64_t pending = 0;      ///< signals 1 (bit 0) to 31 pending for the thread itself
  unsigned cpu = 0;               ///< where it runs, or ran last

  bool dead() const { return state == 'Z' || state == 'X' || state == 'x'; }
  bool exiting() const { return dead() || (flags & kPfExiting) != 0; }
  /// A deadly signal for the process becomes a SIGKILL of each of its threads (kernel/signal.c,
  /// complete_signal), unless it dumps core.
  bool killed() const { return (pending & (1u << (SIGKILL - 1))) != 0; }
  bool kernel_thread() const { return (flags & kPfKthread) != 0; }
};

/// From /proc/TID/status.
struct ProcStatus {
  pid_t tgid = 0;
  uid_t uid = 0;
  uid_t saved_uid = 0;
};

/// nullopt if the text is not a whole /proc/TID/stat. The name of the program in it may hold any
/// bytes, brackets and newlines too.
std::optional<ProcStat> parse_stat(std::string_view text);
/// The text may be cut anywhere behind the uids.
std::optional<ProcStatus> parse_status(std::string_view text);

/// A port, so that races with forks and exits can be staged. Thread-safe. A task that is gone is
/// ENOENT or ESRCH; other errors (EMFILE ...) say nothing about the task.
///
/// Only stat, status and cgroup are ever read: cmdline, environ and maps take the task's mmap lock,
/// which a task that waits for our answer may hold.
class ProcFiles {
 public:
  virtual ~ProcFiles() = default;

  virtual Result<ProcStat> stat(pid_t tid) = 0;
  virtual Result<ProcStatus> status(pid_t tid) = 0;
  /// All processes; the ids of their leaders, zombies included.
  virtual Result<std::vector<pid_t>> processes() = 0;
  /// All threads of a process.
  virtual Result<std::vector<pid_t>> threads(pid_t tgid) = 0;
};

inline bool is_gone(const Error& error) {
  return error.number == ENOENT || error.number == ESRCH;
}

/// The machine's own.
class KernelProcFiles final : public ProcFiles {
 public:
  /// ENOENT, EACCES: no usable /proc.
  static Result<KernelProcFiles> open(const char* root = "/proc");
  KernelProcFiles(KernelProcFiles&& other) noexcept : root_(std::exchange(other.root_, -1)) {}
  KernelProcFiles& operator=(KernelProcFiles&&) = delete;
  ~KernelProcFiles() override;

  Result<ProcStat> stat(pid_t tid) override;
  Result<ProcStatus> status(pid_t tid) override;
  Result<std::vector<pid_t>> processes() override;
  Result<std::vector<pid_t>> threads(pid_t tgid) override;

  /// The text of /proc/TID/cgroup. It takes no lock of the task's; before Linux 6.8 it waits while
  /// tasks are moved between groups anywhere. ENAMETOOLONG: a group's path has 4096 bytes or more.
  Result<std::string> cgroups(pid_t tid) const;

 private:
  explicit KernelProcFiles(int root) : root_(root) {}

  int root_;
};

}  // namespace blkio::control_plane
