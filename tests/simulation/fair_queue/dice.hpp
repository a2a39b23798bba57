// SPDX-License-Identifier: MIT
/// What the worlds have in common.
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>

#include "blkio/types.hpp"

namespace blkio::simulation {

inline constexpr std::array kEachDirection{Direction::kRead, Direction::kWrite};

inline std::size_t index_of(Direction direction) {
  return static_cast<std::size_t>(direction);
}

/// Random numbers of one seed, and the way to say what went wrong.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed), random_(seed) {}
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  std::uint32_t weight() {
    static constexpr std::array<std::uint32_t, 6> kUsual{100, 100, 200, 500, 1, 1000};
    if (one_in(2)) return kUsual[below(kUsual.size())];
    return static_cast<std::uint32_t>(1 + below(1000));
  }
  [[noreturn]] void fail(const std::string& what, TimeNs now) const {
    throw std::logic_error("seed " + std::to_string(seed_) + ", " + std::to_string(now) +
                           " ns: " + what);
  }

 private:
  std::uint64_t seed_;
  std::mt19937_64 random_;
};

}  // namespace blkio::simulation
