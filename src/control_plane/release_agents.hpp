// SPDX-License-Identifier: MIT
/// Runs the release agent for groups that have become empty.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "blkio/result.hpp"

namespace blkio::control_plane {

/// As kernel/cgroup/cgroup-v1.c, cgroup1_release_agent: the program gets the group's path as its
/// only argument, HOME and PATH as its environment, and runs in / without our descriptors.
///
/// A thread of its own starts the programs, because that waits for their file to be read, and
/// collects them; nobody waits for what they do.
class ReleaseAgents {
 public:
  static constexpr std::size_t kMaxRunning = 16;
  static constexpr std::size_t kMaxWaiting = 4096;

  ReleaseAgents();
  /// Agents that run go on; those that wait are forgotten. A program that cannot even be started,
  /// because its file is on a mount of ours that is going down, is left behind with its thread.
  ~ReleaseAgents();
  ReleaseAgents(const ReleaseAgents&) = delete;
  ReleaseAgents& operator=(const ReleaseAgents&) = delete;

  /// Before the first run().
  Result<void> start();
  /// Any thread; returns at once. What is the same as one that waits is not run twice; beyond
  /// kMaxWaiting it is dropped, with a word to the log.
  void run(std::string agent, std::string group_path);

 private:
  struct State;

  std::shared_ptr<State> state_;
  std::future<void> ended_;
  std::thread thread_;
};

/// May the writer name a program that we shall run with our rights? It must have CAP_SYS_ADMIN
/// where we have it: in our user namespace, as the kernel wants it (kernel/cgroup/cgroup-v1.c,
/// cgroup_release_agent_write); if we are no root ourselves, be the same user. uid: the writer's.
bool may_name_release_agent(pid_t writer, uid_t uid);

}  // namespace blkio::control_plane
