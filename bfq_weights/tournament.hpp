// SPDX-License-Identifier: MIT
/// Who is first of many, by virtual time.
#pragma once

#include <algorithm>
#include <boost/align/aligned_allocator.hpp>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "bfq_weights/virtual_time.hpp"

namespace blkio::bfq_weights {

/// A tournament of four at a time: every seat has a word or none, and every match knows its least
/// word. Nobody moves: what a new word has to be compared with stands at places known beforehand,
/// so the processor fetches all of them at once, where a heap learns the next place from the last
/// comparison. The four of a match are one cache line. Only grow() allocates. One thread.
class Tournament {
 public:
  /// The least word of all; kNobody if there is none.
  Word first() const { return first_; }
  bool empty() const { return first_ == kNobody; }
  Word at(std::uint32_t seat) const { return words_[first_seat() + seat]; }
  /// set() comes soon.
  void fetch(std::uint32_t seat) const { __builtin_prefetch(&words_[first_seat() + seat], 1); }

  /// Makes room for so many seats; those there are keep their words.
  void grow(std::size_t seats) {
    const std::size_t had = words_.empty() ? 0 : words_.size() - first_seat();
    if (seats <= had) return;
    const std::size_t needed = std::max<std::size_t>(1, (seats + 1) / (kArity - 1));
    const std::size_t matches = std::max(needed, 2 * words_.size() / kArity);
    const std::vector<Word, Aligned> before(
        std::exchange(words_, std::vector<Word, Aligned>(kArity * matches, kNobody)));
    for (std::size_t i = 0; i < had; ++i) {
      set(static_cast<std::uint32_t>(i), before[before.size() - had + i]);
    }
  }
  /// `seat`: less than what grow() was told. `word`: kNobody leaves it empty.
  void set(std::uint32_t seat, Word word) {
    std::size_t at = first_seat() + seat;
    assert(at < words_.size());
    words_[at] = word;
    for (; at >= kArity; at = winner_of(at)) {
      const Word least = least_of(at);
      if (words_[winner_of(at)] == least) return;
      words_[winner_of(at)] = least;
    }
    first_ = least_of(at);
  }

 private:
  // Matches are numbered from the final, 0, down; match m is between the words at 4 m and the next
  // three, and its winner stands at m - 1, the final's in first_. So n matches have 3 n + 1 seats,
  // which are the last words.
  static constexpr std::size_t kArity = 4;
  using Aligned = boost::alignment::aligned_allocator<Word, 64>;
  static std::size_t winner_of(std::size_t position) { return position / kArity - 1; }
  std::size_t first_seat() const { return words_.size() / kArity - 1; }

  Word least_of(std::size_t position) const {
    const Word* words = &words_[position / kArity * kArity];
    return std::min(std::min(words[0], words[1]), std::min(words[2], words[3]));
  }

  Word first_ = kNobody;
  std::vector<Word, Aligned> words_;
};

}  // namespace blkio::bfq_weights
