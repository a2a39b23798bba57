// SPDX-License-Identifier: MIT
/// The port through which forks, execs and exits become known.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>

namespace blkio::control_plane {

struct TaskEvent {
  enum class Kind : std::uint8_t { kFork, kExec, kExit };
  Kind kind = Kind::kFork;
  pid_t tid = 0;  ///< of the child, for a fork
  pid_t tgid = 0;
  pid_t parent_tid = 0;  ///< for a fork only
};

/// A stream of the system's task events. The owner serialises the calls.
///
/// The fork event of a task is there to be drained before the task runs for the first time; its
/// exit event may come a little after others see the exit.
class TaskEvents {
 public:
  using Sink = std::function<void(const TaskEvent&)>;

  virtual ~TaskEvents() = default;

  /// Hands over every event that is there, oldest first, and does not wait. False: some were lost
  /// before these.
  virtual bool drain(const Sink& sink) = 0;
  /// Readable when there are events.
  virtual int fd() const = 0;
  virtual const char* name() const = 0;
};

}  // namespace blkio::control_plane
