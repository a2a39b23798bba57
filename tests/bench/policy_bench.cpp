// SPDX-License-Identifier: MIT
/// What one scheduling decision costs: arrive(), next() and complete() of the I/O queue, no I/O, no
/// system call.
///
///   policy_bench            a table: groups, depth of the tree, limits on or off -> ns per request
#include <chrono>
#include <cstdio>
#include <deque>
#include <memory>
#include <vector>

#include "io_queue.hpp"

namespace {

using namespace blkio;
using data_plane::GroupMap;
using data_plane::IoQueue;
using data_plane::QueuedIo;

constexpr int kRequests = 2'000'000;

/// Chains of `depth` groups below the root; the last of each does the I/O.
struct Forest {
  Forest(std::uint32_t leaves, int depth, bool limited)
      : map(root), queue({7, 0}, Hierarchy::kTree, map, true) {
    std::uint32_t id = 1;
    for (std::uint32_t leaf = 0; leaf < leaves; ++leaf) {
      GroupId parent = GroupId::kRoot;
      for (int level = 0; level < depth; ++level) {
        const GroupId group{++id};
        map.group_added(group, parent, stats.emplace_back());
        parent = group;
      }
      groups.push_back(parent);
      // Never closed for long: what is measured is the arithmetic and the heap, not the waiting.
      if (limited) queue.set_limit(parent, Limit::kReadIops, 1'000'000'000 / leaves, 0);
    }
    for (const GroupId group : groups) queue.arrive(ios.emplace_back(), group, 0);
  }

  /// Every request that goes completes and arrives again; ns per arrive(), next() and complete().
  double run() {
    const auto begin = std::chrono::steady_clock::now();
    TimeNs now = 0;
    for (int went = 0; went < kRequests;) {
      QueuedIo* io = queue.next(now);
      if (io == nullptr) {
        now = queue.deadline();
        continue;
      }
      ++went;
      now += 1;
      queue.complete(*io, now);
      queue.arrive(*io, io->group, now);
    }
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    return took.count() / kRequests;
  }

  std::deque<QueuedIo> ios;
  std::deque<stats::GroupStats> stats;
  stats::GroupStats root;
  GroupMap map;
  IoQueue queue;
  std::vector<GroupId> groups;
};

}  // namespace

int main() {
  std::printf("| groups | depth | limits | ns per request |\n|---|---|---|---|\n");
  for (const bool limited : {false, true}) {
    for (const std::uint32_t groups : {1U, 1'000U, 10'000U, 100'000U}) {
      for (const int depth : {1, 3}) {
        Forest forest(groups, depth, limited);
        const double ns = forest.run();
        std::printf("| %u | %d | %s | %.0f |\n", groups, depth, limited ? "on" : "off", ns);
        std::fflush(stdout);
      }
    }
  }
}
