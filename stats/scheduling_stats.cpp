// SPDX-License-Identifier: MIT
#include "stats/scheduling_stats.hpp"

#include <cassert>
#include <utility>

namespace blkio::stats {

void SchedulingStats::add_requests(std::uint32_t waiting, std::uint32_t at_device, TimeNs now) {
  if (waiting + at_device == 0) return;
  if (empty_since_ != kNever) add_ns(kEmpty, now - std::exchange(empty_since_, kNever));
  if (waiting_ == 0 && waiting != 0) waits_since_ = now;
  waiting_ += waiting;
  at_device_ += at_device;
}

void SchedulingStats::note_empty(TimeNs now) {
  if (waiting_ + at_device_ == 0) empty_since_ = now;
}

// Before the number of requests at the device changes.
void SchedulingStats::take_share(Parts per_request) {
  const Parts each = per_request - std::exchange(share_taken_at_, per_request);
  if (at_device_ != 0) counts_.add(kTime, each * at_device_);
}

void SchedulingStats::arrived(TimeNs now) {
  add_requests(1, 0, now);
}

void SchedulingStats::dispatched(TimeNs now, Parts per_request) {
  assert(waiting_ != 0);
  counts_.add(kQueueSizes, waiting_);
  counts_.add(kPicks, 1);
  if (waits_since_ != kNever) add_ns(kGroupWait, now - std::exchange(waits_since_, kNever));
  take_share(per_request);
  --waiting_;
  ++at_device_;
}

void SchedulingStats::cancelled(TimeNs now) {
  assert(waiting_ != 0);
  if (--waiting_ == 0) waits_since_ = kNever;
  note_empty(now);
}

void SchedulingStats::completed(TimeNs now, Parts per_request, Parts rest) {
  assert(at_device_ != 0);
  take_share(per_request);
  if (rest != 0) counts_.add(kTime, rest);
  --at_device_;
  note_empty(now);
}

void SchedulingStats::idled(TimeNs duration_ns) {
  add_ns(kIdle, duration_ns);
  if (empty_since_ != kNever) empty_since_ += duration_ns;
}

void SchedulingStats::inherit(SchedulingStats& child, TimeNs now, Parts per_request) {
  child.take_share(per_request);
  take_share(per_request);
  counts_.add(kTimeLeft, child.counts_.since_reset(kTime) + child.counts_.since_reset(kTimeLeft));
  add_requests(std::exchange(child.waiting_, 0), std::exchange(child.at_device_, 0), now);
}

SchedulingStats::Totals SchedulingStats::totals() const {
  const auto count = [&](Count which) { return counts_.since_reset(which); };
  return {.time_ns = count(kTime) / DeviceTime::kPartsPerNs,
          .time_left_ns = count(kTimeLeft) / DeviceTime::kPartsPerNs,
          .queue_sizes = count(kQueueSizes),
          .picks = count(kPicks),
          .group_wait_ns = count(kGroupWait),
          .idle_ns = count(kIdle),
          .empty_ns = count(kEmpty),
          .dequeues = count(kDequeues)};
}

void SchedulingStats::restore(const Totals& totals) {
  counts_.add(kTime, totals.time_ns * DeviceTime::kPartsPerNs);
  counts_.add(kTimeLeft, totals.time_left_ns * DeviceTime::kPartsPerNs);
  counts_.add(kQueueSizes, totals.queue_sizes);
  counts_.add(kPicks, totals.picks);
  counts_.add(kGroupWait, totals.group_wait_ns);
  counts_.add(kIdle, totals.idle_ns);
  counts_.add(kEmpty, totals.empty_ns);
  counts_.add(kDequeues, totals.dequeues);
}

std::uint64_t SchedulingStats::scalar(Scalar scalar) const {
  switch (scalar) {
    case Scalar::kTimeNs:
      return counts_.since_reset(kTime) / DeviceTime::kPartsPerNs;
    case Scalar::kTimeLeftNs:
      return counts_.since_reset(kTimeLeft) / DeviceTime::kPartsPerNs;
    case Scalar::kAvgQueueSize: {
      const std::uint64_t picks = counts_.since_reset(kPicks);
      return picks == 0 ? 0 : counts_.since_reset(kQueueSizes) / picks;
    }
    case Scalar::kGroupWaitNs:
      return counts_.since_reset(kGroupWait);
    case Scalar::kIdleNs:
      return counts_.since_reset(kIdle);
    case Scalar::kEmptyNs:
      return counts_.since_reset(kEmpty);
    case Scalar::kDequeues:
      return counts_.since_reset(kDequeues);
  }
  return 0;
}

}  // namespace blkio::stats
