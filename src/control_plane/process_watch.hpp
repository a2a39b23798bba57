// SPDX-License-Identifier: MIT
/// Is anybody left who waits for a process's I/O?
#pragma once

#include <sys/types.h>

#include <optional>

#include "control_plane/proc_files.hpp"

namespace blkio::control_plane {

/// True if the process is gone or all its threads are on their way out: nobody will look at what
/// its requests answer. A leader that has ended while other threads run does not count. Any thread.
bool process_gone(ProcFiles& proc, pid_t tgid);

/// True if a thread that waits for its I/O has been killed, or is gone. A signal that is handled or
/// ignored does not count: no device's I/O ends early for one. Any thread.
bool thread_killed(ProcFiles& proc, pid_t tid);

/// The CPU the thread runs on, or ran on last; nullopt if it is gone. Any thread.
std::optional<unsigned> cpu_of(ProcFiles& proc, pid_t tid);

}  // namespace blkio::control_plane
