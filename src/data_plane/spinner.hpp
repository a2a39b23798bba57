// SPDX-License-Identifier: MIT
/// Whether to look for what comes next for a moment before going to sleep.
#pragma once

#include <algorithm>

#include "blkio/types.hpp"

namespace blkio::data_plane {

/// With one request at a time, waking up is most of its cost; with many, or with few that come
/// seldom, looking is a waste. So this follows how the last looks ended: after kFailures in vain it
/// lets twice as many sleeps pass as the last time before it tries again, and one that finds
/// something resets that. A look after one in vain is kPatience times as long: a client that had to
/// be woken on an idle CPU is slow once, and fast from then on if it finds us awake.
///
/// No clock: the caller measures. One thread.
class Spinner {
 public:
  /// longest_ns: 0 never spins.
  explicit Spinner(TimeNs longest_ns) : longest_ns_(longest_ns) {}

  /// How long to look before this sleep; `busy`: more is under way than one client's next request.
  TimeNs budget(bool busy) {
    if (longest_ns_ == 0 || busy) return 0;
    if (skip_ > 0) {
      --skip_;
      return 0;
    }
    return failures_ == 0 ? longest_ns_ : kPatience * longest_ns_;
  }
  void found() {
    failures_ = 0;
    pause_ = kFirstPause;
  }
  void in_vain() {
    if (++failures_ < kFailures) return;
    failures_ = kFailures - 1;  // from now on one attempt at a time
    skip_ = pause_;
    pause_ = std::min(2 * pause_, kLongestPause);
  }

 private:
  static constexpr unsigned kFailures = 4;
  static constexpr TimeNs kPatience = 5;
  static constexpr unsigned kFirstPause = 16;
  static constexpr unsigned kLongestPause = 1024;

  TimeNs longest_ns_;
  unsigned failures_ = 0;
  unsigned pause_ = kFirstPause;
  unsigned skip_ = 0;
};

}  // namespace blkio::data_plane
