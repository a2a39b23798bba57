// SPDX-License-Identifier: MIT
/// How many requests may be at a device at once while groups compete for it.
#pragma once

#include <cstdint>
#include <optional>

#include "blkio/types.hpp"

namespace blkio::bfq_weights {

/// The dial between fairness and throughput: what is at the device is out of the scheduler's hands,
/// and counts in each of its bounds; but a device that has too little to do is slow.
///
/// Fixed, or found by trying: from time to time twice the depth is tried, and kept if the device
/// does a tenth more with it; or half, kept if it does no more than a twentieth less than the best.
/// Only times in which the limit was reached all along tell anything.
///
/// No clock; one thread. All costs and times O(1).
class Depth {
 public:
  static constexpr unsigned kLeast = 1;
  static constexpr unsigned kMost = 256;
  static constexpr unsigned kFirst = 32;
  /// Shortest time that is compared with another, and the fewest requests.
  static constexpr TimeNs kWindowNs = 25 * kMillisecondNs;
  static constexpr unsigned kWindowRequests = 32;
  /// Windows between two trials.
  static constexpr unsigned kRest = 8;

  /// nullopt: adapts.
  explicit Depth(std::optional<unsigned> fixed = {})
      : adapts_(!fixed), depth_(fixed.value_or(kFirst)) {}

  unsigned limit() const { return depth_; }
  /// A request of that cost has ended; `limited`: another waited for its place.
  void completed(TimeNs now, std::uint64_t cost, bool limited);

 private:
  enum class Trial : std::uint8_t { kNone, kMore, kLess };

  void begin_window(TimeNs now);
  void judge(double rate);
  void set(unsigned depth, Trial trial);

  bool adapts_;
  unsigned depth_;
  unsigned kept_ = kFirst;  ///< to go back to after a trial
  Trial trial_ = Trial::kNone;
  Trial last_ = Trial::kMore;  ///< so the first one is for less
  TimeNs since_ns_ = kNever;   ///< kNever: no window is open
  std::uint64_t done_ = 0;     ///< cost, in this window
  unsigned requests_ = 0;
  unsigned settling_ = 0;  ///< requests that still belong to the depth before
  unsigned rested_ = 0;
  double best_ = 0;  ///< rate, forgotten slowly
};

}  // namespace blkio::bfq_weights
