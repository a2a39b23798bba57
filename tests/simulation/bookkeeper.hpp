// SPDX-License-Identifier: MIT
/// Writes down what the statistics of every group must say, in the plainest way there is.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "io_queue.hpp"

namespace blkio::simulation {

/// Sums of what happened, from the definitions of Counter and Scalar. (Dequeues are not among them:
/// they depend on when gates close, which only the queue knows.)
class Bookkeeper {
 public:
  Bookkeeper() { groups_[GroupId::kRoot]; }

  void group_added(GroupId group) { groups_[group]; }
  void group_removed(GroupId group, GroupId parent, TimeNs now);

  void arrived(const data_plane::QueuedIo& io, TimeNs now);
  void cancelled(const data_plane::QueuedIo& io, TimeNs now);
  void went(const data_plane::QueuedIo& io, TimeNs now);
  void completed(const data_plane::QueuedIo& io, TimeNs now);

  /// What is wrong with a group's statistics, in words; empty if nothing is.
  std::string difference(GroupId group, const stats::DeviceStats& stats) const;
  /// The same of the whole device: `time_ns` is what all groups have of it.
  std::string difference_of_sums(std::uint64_t time_ns) const;

 private:
  struct Request {
    GroupId group;
    TimeNs arrived_ns;
    TimeNs dispatched_ns;
  };
  struct Group {
    std::array<OpCounts, kCounters> own;
    std::array<OpCounts, kCounters> inherited;
    std::uint64_t waiting = 0;
    std::uint64_t at_device = 0;
    long double time_ns = 0;
    long double time_left_ns = 0;
    std::uint64_t group_wait_ns = 0;
    std::uint64_t empty_ns = 0;
    std::uint64_t queue_sizes = 0;
    std::uint64_t picks = 0;
    TimeNs waits_since = kNever;
    TimeNs empty_since = kNever;
  };

  /// Gives the time since the last call to those at the device.
  void pass(TimeNs now);
  void occupy(Group& group, std::uint64_t waiting, std::uint64_t at_device, TimeNs now);
  std::string difference_of_time(const Group& expected, const stats::DeviceStats& stats) const;

  std::map<GroupId, Group> groups_;
  std::map<const data_plane::QueuedIo*, Request> requests_;
  std::uint64_t at_device_ = 0;
  std::uint64_t busy_ns_ = 0;
  std::uint64_t intervals_ = 0;
  TimeNs passed_ = 0;
};

}  // namespace blkio::simulation
