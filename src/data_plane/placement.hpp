// SPDX-License-Identifier: MIT
/// Which CPU an engine had better keep off.
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "blkio/types.hpp"

namespace blkio::data_plane {

/// An engine and a client with many requests can both be at work all the time, on two CPUs. But who
/// is woken while the other CPU is busy for a moment queues up behind its waker, and stays there:
/// the kernel does not move a task that has just run. So the engine looks where a client is, and
/// when that is its own CPU three times of four, it keeps off that CPU until the clients have left
/// it. While they are apart it looks seldom.
///
/// With one request at a time the two never work at once, and together is where they are best: such
/// clients are not to be told of.
///
/// No clock and no system calls: the caller looks. One thread.
class Placement {
 public:
  static constexpr TimeNs kShortestNs = kMillisecondNs;
  static constexpr TimeNs kLongestNs = 16 * kMillisecondNs;
  static constexpr TimeNs kRefusedNs = kSecondNs;
  static constexpr unsigned kLooks = 4;  ///< that a judgement is based on
  static constexpr unsigned kOften = 3;  ///< of them

  /// A request of this thread has come, and it was not the only one under way.
  void heard(pid_t client) { client_ = client; }

  /// Whose CPU to look up now and tell to looked(); 0: nobody's.
  pid_t due(TimeNs now) { return now < next_ns_ ? 0 : std::exchange(client_, 0); }

  /// Where both were; true if avoided() has changed.
  bool looked(TimeNs now, unsigned engine, unsigned client) {
    ++looks_;
    if (engine == client) {
      ++together_;
      shared_ = engine;
    }
    if (avoided_ == client) ++there_;
    const bool changed = looks_ == kLooks && judge();
    next_ns_ = now + interval_ns_;
    return changed;
  }

  /// It could not be done: there is no other CPU, or the kernel forbids it.
  void refused(TimeNs now) {
    avoided_.reset();
    next_ns_ = now + kRefusedNs;
  }

  /// The CPU to keep off.
  std::optional<unsigned> avoided() const { return avoided_; }

 private:
  bool judge() {
    const std::optional<unsigned> before = avoided_;
    if (together_ >= kOften) {
      avoided_ = shared_;
      interval_ns_ = kShortestNs;
    } else if (together_ == 0) {
      if (there_ == 0) avoided_.reset();
      interval_ns_ = std::min(2 * interval_ns_, kLongestNs);
    }
    looks_ = together_ = there_ = 0;
    return avoided_ != before;
  }

  pid_t client_ = 0;
  TimeNs next_ns_ = 0;
  TimeNs interval_ns_ = kShortestNs;
  std::optional<unsigned> avoided_;
  unsigned looks_ = 0;
  unsigned together_ = 0;
  unsigned shared_ = 0;  ///< the CPU both were on when they last were together
  unsigned there_ = 0;   ///< looks that found a client on the avoided CPU
};

}  // namespace blkio::data_plane
