// SPDX-License-Identifier: MIT
/// Notices that a group has been left by all, and has the release agent run.
#pragma once

#include <utility>  // before Asio: its headers use std::exchange without it
//
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "blkio/result.hpp"
#include "blkio/types.hpp"
#include "cgroupfs/group_tree.hpp"
#include "release_agents.hpp"
#include "task_directory.hpp"

namespace blkio::control_plane {

/// A group is released when its last task leaves it, by an exit or a move, or its last child group
/// is removed, and it then has neither; if its notify_on_release says so. What happens to it until
/// the agent looks is the agent's business, as it is in the kernel. Control thread only.
class GroupRelease {
 public:
  /// All outlive it, and the io_context does not run any more when it ends.
  GroupRelease(boost::asio::io_context& context, cgroupfs::GroupTree& tree, TaskDirectory& tasks);
  ~GroupRelease();
  GroupRelease(const GroupRelease&) = delete;
  GroupRelease& operator=(const GroupRelease&) = delete;

  Result<void> start();

 private:
  void look();
  void run_agent(GroupId group);

  boost::asio::io_context& context_;
  boost::asio::steady_timer again_;
  cgroupfs::GroupTree& tree_;
  TaskDirectory& tasks_;
  ReleaseAgents agents_;
};

}  // namespace blkio::control_plane
