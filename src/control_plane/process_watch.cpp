// SPDX-License-Identifier: MIT
#include "control_plane/process_watch.hpp"

#include <algorithm>

namespace blkio::control_plane {
namespace {

bool thread_ends(ProcFiles& proc, pid_t tid) {
  const Result<ProcStat> stat = proc.stat(tid);
  return stat ? stat.value().exiting() : is_gone(stat.error());
}

}  // namespace

bool process_gone(ProcFiles& proc, pid_t tgid) {
  if (!thread_ends(proc, tgid)) return false;
  const Result<std::vector<pid_t>> threads = proc.threads(tgid);
  if (!threads) return is_gone(threads.error());
  return std::all_of(threads.value().begin(), threads.value().end(),
                     [&](pid_t tid) { return thread_ends(proc, tid); });
}

bool thread_killed(ProcFiles& proc, pid_t tid) {
  const Result<ProcStat> stat = proc.stat(tid);
  return stat ? stat.value().killed() || stat.value().exiting() : is_gone(stat.error());
}

std::optional<unsigned> cpu_of(ProcFiles& proc, pid_t tid) {
  const Result<ProcStat> stat = proc.stat(tid);
  if (!stat) return std::nullopt;
  return stat.value().cpu;
}

}  // namespace blkio::control_plane
