// SPDX-License-Identifier: MIT
/// What one scheduling decision costs: no I/O, no system call.
///
///   policy_bench [queue]    arrive(), next() and complete() of the I/O queue: groups, depth of the
///                           tree, limits on or off -> ns per request
///   policy_bench weights    pick(), set_head(), charge() and completed() of the fair queue beside
///                           the replace-top of a plain 4-ary heap with as many entries -> ratio
///                           per level of the tree. ROUNDS in the environment: repetitions, best
///                           counts
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "bfq_weights/fair_queue.hpp"
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

// ---- the fair queue ----------------------------------------------------------------------------

template <class F>
double ns_each(int times, F&& once) {
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < times; ++i) once();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / times;
}

enum class Weights { kEqual, kRandom };

std::uint32_t some_weight(Weights weights, std::mt19937_64& random) {
  return weights == Weights::kEqual ? 100 : static_cast<std::uint32_t>(1 + random() % 1000);
}

/// The measure: nothing but the top replaced by a later key. Entries of 16 bytes, no positions. The
/// steps differ: with equal ones the processor learns the few ways down by heart.
class PlainHeap {
 public:
  explicit PlainHeap(std::uint32_t entries) {
    std::mt19937_64 random(7);
    for (std::uint32_t i = 0; i < entries; ++i) {
      entries_.push_back({0, 4096 * 65536 / some_weight(Weights::kRandom, random)});
    }
  }
  double run(int times) {
    return ns_each(times, [this] {
      Entry moving = entries_[0];
      moving.key += moving.step;
      sift_down(moving);
    });
  }

 private:
  struct Entry {
    std::uint64_t key;
    std::uint64_t step;
  };
  void sift_down(const Entry& moving) {
    std::size_t position = 0;
    for (;;) {
      const std::size_t first = 4 * position + 1;
      if (first >= entries_.size()) break;
      const std::size_t end = std::min(first + 4, entries_.size());
      std::size_t least = first;
      for (std::size_t child = first + 1; child < end; ++child) {
        if (entries_[child].key < entries_[least].key) least = child;
      }
      if (entries_[least].key >= moving.key) break;
      entries_[position] = entries_[least];
      position = least;
    }
    entries_[position] = moving;
  }
  std::vector<Entry> entries_;
};

/// `leaves` groups, all at the same depth below the root, as evenly as it goes; each backlogged.
class Backlog {
 public:
  Backlog(std::uint32_t leaves, int depth, Weights weights) {
    std::mt19937_64 random(7);
    std::vector<bfq_weights::Scheduler::Node*> level{&queue_.add(nullptr, nullptr)};
    for (int i = 1; i <= depth; ++i) {
      const auto size = static_cast<std::size_t>(std::lround(std::pow(leaves, double(i) / depth)));
      std::vector<bfq_weights::Scheduler::Node*> next(size);
      for (std::size_t n = 0; n < size; ++n) {
        next[n] = &queue_.add(level[n * level.size() / size], nullptr);
        queue_.set_weights(*next[n], some_weight(weights, random), 100, 0);
      }
      level = std::move(next);
    }
    for (auto* leaf : level) queue_.set_head(*leaf, Direction::kRead, kHead, 0);
  }
  double run(int times) {
    return ns_each(times, [this] {
      const auto pick = queue_.pick(bfq_weights::DirectionMask::both(), ++now_);
      queue_.set_head(*pick->node, pick->direction, kHead, now_);
      queue_.charge(*pick->node, pick->direction, kHead.cost, now_);
      queue_.completed(*pick->node, now_);
    });
  }

 private:
  static constexpr bfq_weights::Head kHead{0, 4096};
  bfq_weights::FairQueue queue_;
  TimeNs now_ = 0;
};

int measure_weights() {
  const char* asked = std::getenv("ROUNDS");
  const int rounds = asked == nullptr ? 3 : std::atoi(asked);
  std::printf("| weights | groups | depth | ns per decision | heap, ns | ratio per level |\n");
  std::printf("|---|---|---|---|---|---|\n");
  for (const Weights weights : {Weights::kEqual, Weights::kRandom}) {
    for (const std::uint32_t groups : {1'000U, 10'000U, 100'000U}) {
      PlainHeap heap(groups);
      for (const int depth : {1, 2, 8}) {
        Backlog backlog(groups, depth, weights);
        double decision = 1e9;
        double replaced = 1e9;
        for (int round = 0; round <= rounds; ++round) {  // the first one warms up
          const double heap_ns = heap.run(kRequests / 4);
          const double decision_ns = backlog.run(kRequests / 4);
          if (round == 0) continue;
          replaced = std::min(replaced, heap_ns);
          decision = std::min(decision, decision_ns);
        }
        std::printf("| %s | %u | %d | %.0f | %.0f | %.2f |\n",
                    weights == Weights::kEqual ? "equal" : "random", groups, depth, decision,
                    replaced, decision / depth / replaced);
        std::fflush(stdout);
      }
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "weights") == 0) return measure_weights();
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
