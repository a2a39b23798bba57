// SPDX-License-Identifier: MIT
/// How long before a deadline to wake up, so as to be awake when it comes.
#pragma once

#include <algorithm>

#include "blkio/types.hpp"

namespace blkio::data_plane {

/// A timer wakes a sleeper late: by a few microseconds, or, on a virtual machine whose CPU has been
/// taken away meanwhile, by a few hundred. So an idle engine asks to be woken somewhat more than it
/// has been late lately before the deadline, and stays awake for the rest. No more than a twentieth
/// of the time is spent so: with many deadlines a second not each is met awake.
///
/// No clock: the caller measures. One thread.
class EarlyWake {
 public:
  static constexpr TimeNs kFirstNs = 50'000;
  static constexpr TimeNs kMostNs = 500'000;
  static constexpr TimeNs kPart = 20;              ///< of the time, spent awake
  static constexpr TimeNs kSavedNs = 4 * kMostNs;  ///< of time awake, while there is no deadline

  /// When to be woken for a deadline.
  TimeNs before(TimeNs deadline, TimeNs now) {
    earn(now);
    return deadline - lead();
  }
  /// True if it is not worth sleeping any more.
  bool is_close(TimeNs deadline, TimeNs now) {
    earn(now);
    return deadline - now <= lead();
  }
  /// So much time has been spent awake, waiting.
  void spent(TimeNs ns) { saved_ns_ -= ns; }
  /// Woken by a timer that was set to `asked`.
  void woken(TimeNs asked, TimeNs now) {
    const TimeNs late = std::max<TimeNs>(now - asked, 0);
    const TimeNs wanted = std::min(late + late / 4 + kSlackNs, 2 * lead_ns_);
    lead_ns_ = std::clamp(wanted, lead_ns_ - lead_ns_ / kForget, kMostNs);
  }

 private:
  static constexpr TimeNs kSlackNs = 5'000;
  static constexpr TimeNs kForget = 128;  ///< of the lead, a part goes with each wake-up in time

  void earn(TimeNs now) {
    if (now - since_ns_ < kPart) return;
    saved_ns_ = std::min(saved_ns_ + (now - since_ns_) / kPart, kSavedNs);
    since_ns_ = now;
  }
  TimeNs lead() const { return saved_ns_ >= lead_ns_ ? lead_ns_ : 0; }

  TimeNs lead_ns_ = kFirstNs;
  TimeNs saved_ns_ = 0;
  TimeNs since_ns_ = 0;
};

}  // namespace blkio::data_plane
