// SPDX-License-Identifier: MIT
/// The time of a weighted fair queue: cost per weight, in integers.
#pragma once

#include <cassert>
#include <cstdint>
#include <limits>

namespace blkio::bfq_weights {

/// Cost per unit of weight, 64 bits before the point and 64 behind it. Alone on a device at 10 GB/s
/// with weight 1 a group needs 29 years to leave the range; any other takes longer.
__extension__ typedef __int128 VirtualTime;

/// The most that one request may cost.
inline constexpr std::uint64_t kMostCost = std::uint64_t{1} << 40;

/// What one unit of cost is to somebody of this weight, in 2^-64. Rounded down by less than 2^-63,
/// whatever the weight: two contenders that were each charged 2^62 units, years of I/O, are apart
/// by less than one unit of cost per weight because of it.
constexpr std::uint64_t slope_of(std::uint64_t weight) {
  return std::numeric_limits<std::uint64_t>::max() / weight;
}

constexpr VirtualTime passed(std::uint64_t cost, std::uint64_t slope) {
  __extension__ typedef unsigned __int128 Product;
  return static_cast<VirtualTime>(static_cast<Product>(cost) * slope);
}

/// Virtual time cut to what fits into a heap's entry: 43 bits before the point, 21 behind it,
/// modulo 2^64. Two keys can be compared while they are less than 2^42 apart; a start tag is at
/// most kMostCost / 1 ahead of its level's time, a finish tag twice that. The cut is made anew from
/// the exact tag each time, so nothing adds up.
using Key = std::uint64_t;
inline constexpr int kKeyCut = 43;

constexpr Key key_of(VirtualTime time) {
  return static_cast<Key>(time >> kKeyCut);
}
/// From a start key to a finish key: 24 bits and an exponent, so that it fits beside the key.
using Span = float;
constexpr Span span_of(VirtualTime time) {
  return static_cast<Span>(key_of(time));
}
constexpr Key after(Key start, Span span) {
  return start + static_cast<Key>(span);
}
constexpr bool before(Key a, Key b) {
  return static_cast<std::int64_t>(a - b) < 0;
}

}  // namespace blkio::bfq_weights
