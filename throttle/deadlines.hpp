// SPDX-License-Identifier: MIT
/// Which closed gate somebody waits at opens first.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "blkio/types.hpp"

namespace blkio::throttle {

/// A min-heap of (time, node, direction) whose entries can be moved and taken out. Four children to
/// an entry: half the depth of a binary heap, and siblings share a cache line.
///
/// The node's owner embeds one Hook per direction; the heap writes its own position there, so every
/// operation is O(log n) and none searches. No allocation while there are no more entries than
/// reserve() has made room for. One thread.
template <class Node>
class Deadlines {
 public:
  class Hook {
   public:
    Hook(Node& node, Direction direction) : node_(&node), direction_(direction) {}
    Hook(const Hook&) = delete;
    Hook& operator=(const Hook&) = delete;

    Node& node() const { return *node_; }
    Direction direction() const { return direction_; }
    bool armed() const { return position_ != kNowhere; }

   private:
    friend class Deadlines;
    Node* node_;
    std::uint32_t position_ = kNowhere;
    Direction direction_;
  };

  bool empty() const { return heap_.empty(); }
  std::size_t size() const { return heap_.size(); }
  void reserve(std::size_t entries) {
    // Doubling: one more entry at a time must not copy the heap each time.
    if (entries > heap_.capacity()) heap_.reserve(std::max(entries, 2 * heap_.capacity()));
  }

  /// kNever when empty.
  TimeNs earliest() const { return heap_.empty() ? kNever : heap_.front().at; }
  /// Must not be empty.
  Hook& top() const { return *heap_.front().hook; }
  /// The hook must be armed.
  TimeNs at(const Hook& hook) const { return heap_[hook.position_].at; }

  /// The hook must not be armed.
  void insert(Hook& hook, TimeNs at) {
    assert(!hook.armed());
    heap_.push_back({at, &hook});
    sift_up(heap_.size() - 1);
  }

  /// The hook must be armed.
  void update(Hook& hook, TimeNs at) {
    assert(hook.armed());
    const std::size_t position = hook.position_;
    const bool earlier = at < heap_[position].at;
    heap_[position].at = at;
    earlier ? sift_up(position) : sift_down(position);
  }

  /// Moves every entry to at_of(hook). O(n).
  template <class F>
  void replan(F&& at_of) {
    for (Entry& entry : heap_) entry.at = at_of(*entry.hook);
    for (std::size_t position = heap_.size(); position-- > 0;) sift_down(position);
  }

  /// The hook must be armed.
  void erase(Hook& hook) {
    assert(hook.armed());
    const std::size_t position = hook.position_;
    const Entry last = heap_.back();
    heap_.pop_back();
    hook.position_ = kNowhere;
    if (position == heap_.size()) return;
    place(position, last);
    if (position > 0 && last.at < heap_[parent(position)].at) {
      sift_up(position);
    } else {
      sift_down(position);
    }
  }

 private:
  static constexpr std::uint32_t kNowhere = std::numeric_limits<std::uint32_t>::max();
  static constexpr std::size_t kArity = 4;

  struct Entry {
    TimeNs at;
    Hook* hook;
  };

  static std::size_t parent(std::size_t position) { return (position - 1) / kArity; }

  void place(std::size_t position, const Entry& entry) {
    heap_[position] = entry;
    entry.hook->position_ = static_cast<std::uint32_t>(position);
  }

  void sift_up(std::size_t position) {
    const Entry moving = heap_[position];
    while (position > 0 && moving.at < heap_[parent(position)].at) {
      place(position, heap_[parent(position)]);
      position = parent(position);
    }
    place(position, moving);
  }

  void sift_down(std::size_t position) {
    const Entry moving = heap_[position];
    for (;;) {
      const std::size_t first = position * kArity + 1;
      if (first >= heap_.size()) break;
      const std::size_t end = std::min(first + kArity, heap_.size());
      std::size_t least = first;
      for (std::size_t child = first + 1; child < end; ++child) {
        if (heap_[child].at < heap_[least].at) least = child;
      }
      if (heap_[least].at >= moving.at) break;
      place(position, heap_[least]);
      position = least;
    }
    place(position, moving);
  }

  std::vector<Entry> heap_;
};

}  // namespace blkio::throttle
