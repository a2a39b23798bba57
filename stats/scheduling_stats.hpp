// SPDX-License-Identifier: MIT
/// How one group fared at one device: the numbers behind blkio.time and the debugging aids.
#pragma once

#include <cstdint>

#include "blkio/op_counts.hpp"
#include "blkio/types.hpp"
#include "stats/counts.hpp"
#include "stats/device_time.hpp"

namespace blkio::stats {

/// Follows the requests of a group from arrival to completion, as numbers, and keeps what a Scalar
/// can ask for (its definitions are there).
///
///     arrived          dispatched   completed        arrived
///     |--- group wait ---|             |----- empty -----|
///     |------ waiting ---|- at device -|
///
/// Threads: as DeviceCounters. No clock: `now` is given and must not run backwards.
class SchedulingStats {
 public:
  using Parts = DeviceTime::Parts;

  void arrived(TimeNs now);
  /// A waiting one goes to the device; DeviceTime::enter() has been called.
  void dispatched(TimeNs now, Parts per_request);
  /// A waiting one is gone.
  void cancelled(TimeNs now);
  /// One at the device has ended; `rest` is what DeviceTime::leave() returned.
  void completed(TimeNs now, Parts per_request, Parts rest);
  /// The group's own tasks do not compete for the device any more: nothing waits, or a limit holds
  /// it.
  void dequeued() { counts_.add(kDequeues, 1); }
  /// The scheduler kept the device free for the group for so long, until now. Before arrived() if
  /// that ended it.
  void idled(TimeNs duration_ns);

  /// Takes over the requests of a removed child and what it leaves. DeviceTime::advance() has been
  /// called.
  void inherit(SchedulingStats& child, TimeNs now, Parts per_request);

  /// Since the last reset(). Any thread.
  std::uint64_t scalar(Scalar scalar) const;

  /// What all of them are made of.
  struct Totals {
    std::uint64_t time_ns = 0;
    std::uint64_t time_left_ns = 0;
    std::uint64_t queue_sizes = 0;  ///< seen at the picks, summed
    std::uint64_t picks = 0;
    std::uint64_t group_wait_ns = 0;
    std::uint64_t idle_ns = 0;
    std::uint64_t empty_ns = 0;
    std::uint64_t dequeues = 0;
  };
  /// Since the last reset(). Any thread.
  Totals totals() const;
  /// Adds what an earlier daemon had counted.
  void restore(const Totals& totals);

  /// Any thread.
  void reset() { counts_.reset(); }

 private:
  enum Count : std::uint8_t {
    kTime,      ///< Parts
    kTimeLeft,  ///< Parts
    kQueueSizes,
    kPicks,
    kGroupWait,
    kIdle,
    kEmpty,
    kDequeues,
    kCountsStored
  };

  void take_share(Parts per_request);
  void add_requests(std::uint32_t waiting, std::uint32_t at_device, TimeNs now);
  void note_empty(TimeNs now);
  void add_ns(Count count, TimeNs ns) { counts_.add(count, static_cast<std::uint64_t>(ns)); }

  Counts<kCountsStored> counts_;
  // The engine's alone.
  std::uint32_t waiting_ = 0;
  std::uint32_t at_device_ = 0;
  Parts share_taken_at_ = 0;
  TimeNs waits_since_ = kNever;  ///< kNever: nothing waits, or something went since
  TimeNs empty_since_ = kNever;  ///< kNever: there are requests, or never were any
};

}  // namespace blkio::stats
