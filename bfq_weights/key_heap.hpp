// SPDX-License-Identifier: MIT
/// A heap of small numbers ordered by keys of virtual time.
#pragma once

#include <algorithm>
#include <boost/align/aligned_allocator.hpp>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bfq_weights/virtual_time.hpp"

namespace blkio::bfq_weights {

/// Least key first; of equal keys the lower id. Four children to an entry, and the four of them in
/// one cache line. Where an id stands is written into an array shared by all heaps of a scheduler
/// (an id is in one of them at most): 4 bytes an id stay in the cache where the contenders
/// themselves would not. No allocation while there are no more entries than reserve() made room
/// for. One thread.
class KeyHeap {
 public:
  using Positions = std::vector<std::uint32_t>;
  struct Entry {
    Key key;
    std::uint32_t id;
    Span span;  ///< for the owner; goes along
    bool before(const Entry& other) const {
      const auto apart = static_cast<std::int64_t>(key - other.key);
      return apart < 0 || (apart == 0 && id < other.id);
    }
  };

  /// `positions` outlives the heap and has a place for every id.
  explicit KeyHeap(Positions& positions)
      : positions_(&positions), slots_(kFirst, Entry{0, ~0U, 0}) {}

  bool empty() const { return slots_.size() == kFirst; }
  std::size_t size() const { return slots_.size() - kFirst; }
  /// Must not be empty.
  const Entry& top() const { return slots_[kFirst]; }
  void reserve(std::size_t entries) {
    const std::size_t wanted = entries + kFirst;
    if (wanted > slots_.capacity()) slots_.reserve(std::max(wanted, 2 * slots_.capacity()));
  }

  void push(std::uint32_t id, Key key, Span span = 0) {
    slots_.push_back({key, id, span});
    sift_up(slots_.size() - 1, {key, id, span});
  }
  /// The id is in this heap, or in another one that shares the positions.
  bool holds(std::uint32_t id) const {
    const std::size_t position = (*positions_)[id];
    return position < slots_.size() && slots_[position].id == id;
  }
  /// The id is in this heap.
  void erase(std::uint32_t id) {
    const std::size_t position = (*positions_)[id];
    assert(slots_[position].id == id);
    const Entry last = slots_.back();
    slots_.pop_back();
    if (position < slots_.size()) settle(position, last);
  }
  /// The id is in this heap.
  void update(std::uint32_t id, Key key, Span span = 0) {
    assert(slots_[(*positions_)[id]].id == id);
    settle((*positions_)[id], {key, id, span});
  }

 private:
  // The root stands at 3, so the children of position p, at 4 (p - 2) and the next three, begin
  // where a cache line does.
  static constexpr std::size_t kFirst = 3;
  static constexpr std::size_t kArity = 4;
  static std::size_t parent(std::size_t position) { return position / kArity + kFirst - 1; }
  static std::size_t first_child(std::size_t position) { return (position - kFirst + 1) * kArity; }

  void place(std::size_t position, const Entry& entry) {
    slots_[position] = entry;
    (*positions_)[entry.id] = static_cast<std::uint32_t>(position);
  }

  void settle(std::size_t position, const Entry& entry) {
    if (position > kFirst && entry.before(slots_[parent(position)])) {
      sift_up(position, entry);
    } else {
      sift_down(position, entry);
    }
  }

  void sift_up(std::size_t position, const Entry& moving) {
    while (position > kFirst && moving.before(slots_[parent(position)])) {
      place(position, slots_[parent(position)]);
      position = parent(position);
    }
    place(position, moving);
  }

  void sift_down(std::size_t position, const Entry& moving) {
    const std::size_t size = slots_.size();
    for (;;) {
      const std::size_t first = first_child(position);
      if (first >= size) break;
      const std::size_t end = std::min(first + kArity, size);
      std::size_t least = first;
      for (std::size_t child = first + 1; child < end; ++child) {
        if (slots_[child].before(slots_[least])) least = child;
      }
      if (!slots_[least].before(moving)) break;
      place(position, slots_[least]);
      position = least;
    }
    place(position, moving);
  }

  Positions* positions_;
  std::vector<Entry, boost::alignment::aligned_allocator<Entry, 64>> slots_;
};

}  // namespace blkio::bfq_weights
