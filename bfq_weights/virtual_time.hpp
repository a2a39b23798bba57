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

/// A tag and whose it is: the time with its last 32 bits cut off, a number in their place, so that
/// of equal ones the lower number is first. The cut is made anew from the exact tag each time, so
/// nothing adds up.
using Word = VirtualTime;
inline constexpr int kCutBits = 32;
/// Later than any other.
inline constexpr Word kNobody = ~(Word{1} << 127);

constexpr VirtualTime time_of(Word word) {
  return word >> kCutBits << kCutBits;
}
constexpr Word word_of(VirtualTime time, std::uint32_t number) {
  return time_of(time) | number;
}
constexpr std::uint32_t number_of(Word word) {
  return static_cast<std::uint32_t>(word);
}

/// The way from a start tag to a finish tag, in 2^-21, rounded to 24 bits and an exponent.
using Span = float;
inline constexpr int kSpanBits = 43;
constexpr Span span_of(VirtualTime time) {
  return static_cast<Span>(static_cast<std::uint64_t>(time >> kSpanBits));
}
constexpr VirtualTime after(VirtualTime start, Span span) {
  return start + (VirtualTime{static_cast<std::uint64_t>(span)} << kSpanBits);
}

}  // namespace blkio::bfq_weights
