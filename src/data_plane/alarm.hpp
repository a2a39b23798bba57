// SPDX-License-Identifier: MIT
/// The timer of an engine's ring.
#pragma once

#include <utility>

#include "ring.hpp"

namespace blkio::data_plane {

/// Set once for a deadline, not once for each sleep before it: an engine with much to do sleeps ten
/// times in a millisecond, and to set the processor's timer costs microseconds where that is a
/// virtual one. So it is never put off. It goes off early, once, when the deadline it was set for
/// has moved away.
///
/// Must not move; belongs to one ring and its thread.
class Alarm : private Completion {
 public:
  explicit Alarm(Ring& ring) : ring_(ring) {
    handler = [](Completion& self, std::int32_t) {
      auto& alarm = static_cast<Alarm&>(self);
      alarm.rung_ = std::exchange(alarm.at_, kNever);
    };
  }
  Alarm(const Alarm&) = delete;
  Alarm& operator=(const Alarm&) = delete;

  /// The ring will wake at `at` (CLOCK_MONOTONIC), or earlier.
  void set(TimeNs at) {
    if (at >= at_) return;
    at_ == kNever ? ring_.start_timer(*this, at) : ring_.move_timer(*this, at);
    at_ = at;
  }
  /// What it was set to when it went off; kNever if it has not since this was last asked.
  TimeNs take_rung() { return std::exchange(rung_, kNever); }

 private:
  Ring& ring_;
  TimeNs at_ = kNever;
  TimeNs rung_ = kNever;
};

}  // namespace blkio::data_plane
