// SPDX-License-Identifier: MIT
/// Numbers that can be reset by another thread than the one that counts.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace blkio::stats {

/// N numbers, at first 0.
///
/// Threads: one thread adds, any thread reads, any thread resets. Nothing locks. Only the counting
/// thread writes values_, so its additions need no atomic read-modify-write, and a reset cannot
/// lose one: it moves the baselines, which readers subtract.
template <std::size_t N>
class Counts {
 public:
  void add(std::size_t i, std::uint64_t n) {
    values_[i].store(value(i) + n, std::memory_order_relaxed);
  }
  void subtract(std::size_t i, std::uint64_t n) { add(i, 0 - n); }

  /// As if there were no reset().
  std::uint64_t value(std::size_t i) const { return values_[i].load(std::memory_order_relaxed); }
  /// What was added since the last reset(); nothing must ever have been subtracted.
  std::uint64_t since_reset(std::size_t i) const {
    // The baseline first, with acquire: whoever sees a baseline sees at least the value it was
    // taken from, so the difference is never negative.
    const std::uint64_t from = baselines_[i].load(std::memory_order_acquire);
    return value(i) - from;
  }

  void reset() {
    for (std::size_t i = 0; i < N; ++i) baselines_[i].store(value(i), std::memory_order_release);
  }

 private:
  std::array<std::atomic<std::uint64_t>, N> values_{};
  std::array<std::atomic<std::uint64_t>, N> baselines_{};
};

}  // namespace blkio::stats
