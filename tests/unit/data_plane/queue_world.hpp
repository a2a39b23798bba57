// SPDX-License-Identifier: MIT
/// An I/O queue with three groups, for tests that go step by step.
#pragma once

#include <deque>
#include <vector>

#include "io_queue.hpp"

namespace blkio::test {

using data_plane::GroupMap;
using data_plane::IoQueue;
using data_plane::QueuedIo;

inline constexpr DeviceNumber kDevice{7, 0};
inline constexpr GroupId kA{2};   // a child of the root
inline constexpr GroupId kAA{3};  // a child of a
inline constexpr GroupId kB{4};   // a child of the root

/// A queue, the groups a, a/aa and b, and the requests.
struct World {
  explicit World(Hierarchy hierarchy = Hierarchy::kTree, bool count = true,
                 const data_plane::Sharing& sharing = {})
      : queue(kDevice, hierarchy, map, count, sharing) {
    map.group_added(kA, GroupId::kRoot, a);
    map.group_added(kAA, kA, aa);
    map.group_added(kB, GroupId::kRoot, b);
  }

  QueuedIo& arrive(GroupId group, TimeNs now, Op op = Op::kRead, std::uint64_t bytes = 4096) {
    QueuedIo& io = ios.emplace_back();
    io.op = op;
    io.bytes = bytes;
    queue.arrive(io, group, now);
    return io;
  }
  void set_weights(GroupId group, std::uint32_t weight, std::uint32_t leaf_weight, TimeNs now) {
    map.set_weights(group, {weight, {}}, {leaf_weight, {}});
    queue.weights_changed(group, now);
  }
  /// All that goes now, by the groups that pay.
  std::vector<GroupId> go(TimeNs now) {
    std::vector<GroupId> groups;
    while (QueuedIo* io = queue.next(now)) groups.push_back(io->group);
    return groups;
  }

  std::deque<QueuedIo> ios;  // outlive the queue
  stats::GroupStats root;
  stats::GroupStats a;
  stats::GroupStats aa;
  stats::GroupStats b;
  GroupMap map{root};
  IoQueue queue;
};

}  // namespace blkio::test
