// SPDX-License-Identifier: MIT
#include "simulation/bookkeeper.hpp"

#include <utility>

namespace blkio::simulation {

using data_plane::QueuedIo;

namespace {

void count(std::array<OpCounts, kCounters>& table, Counter counter, Op op, std::uint64_t n) {
  if (op == Op::kFlush && counter != Counter::kThrottleIos) return;
  OpCounts& counts = table[static_cast<std::size_t>(counter)];
  (op == Op::kRead ? counts.read : op == Op::kDiscard ? counts.discard : counts.write) += n;
  counts.sync += n;
}

std::uint64_t elapsed(TimeNs from, TimeNs to) {
  return static_cast<std::uint64_t>(to - from);
}

}  // namespace

void Bookkeeper::pass(TimeNs now) {
  const std::uint64_t ns = elapsed(std::exchange(passed_, now), now);
  if (at_device_ == 0 || ns == 0) return;
  busy_ns_ += ns;
  ++intervals_;
  for (auto& [id, group] : groups_) {
    group.time_ns += static_cast<long double>(ns) * static_cast<long double>(group.at_device) /
                     static_cast<long double>(at_device_);
  }
}

void Bookkeeper::occupy(Group& group, std::uint64_t waiting, std::uint64_t at_device, TimeNs now) {
  if (waiting + at_device == 0) return;
  if (group.empty_since != kNever) group.empty_ns += elapsed(group.empty_since, now);
  group.empty_since = kNever;
  if (waiting != 0 && group.waiting == 0) group.waits_since = now;
  group.waiting += waiting;
  group.at_device += at_device;
}

void Bookkeeper::group_removed(GroupId group, GroupId parent, TimeNs now) {
  pass(now);
  Group& gone = groups_.at(group);
  Group& heir = groups_.at(parent);
  for (std::size_t c = 0; c < kCounters; ++c) {
    if (is_gauge(static_cast<Counter>(c))) {
      heir.own[c] += gone.own[c];  // the requests themselves move
      continue;
    }
    heir.inherited[c] += gone.own[c];
    heir.inherited[c] += gone.inherited[c];
  }
  heir.time_left_ns += gone.time_ns + gone.time_left_ns;
  occupy(heir, gone.waiting, gone.at_device, now);
  for (auto& [io, request] : requests_) {
    if (request.group == group) request.group = parent;
  }
  groups_.erase(group);
}

void Bookkeeper::arrived(const QueuedIo& io, TimeNs now) {
  Group& group = groups_.at(io.group);
  requests_[&io] = {io.group, now, now};
  count(group.own, Counter::kThrottleIos, io.op, 1);
  count(group.own, Counter::kThrottleBytes, io.op, io.bytes);
  count(group.own, Counter::kQueued, io.op, 1);
  occupy(group, 1, 0, now);
}

void Bookkeeper::cancelled(const QueuedIo& io, TimeNs now) {
  Group& group = groups_.at(requests_.at(&io).group);
  requests_.erase(&io);
  count(group.own, Counter::kQueued, io.op, ~std::uint64_t{0});
  if (--group.waiting == 0) group.waits_since = kNever;
  if (group.waiting + group.at_device == 0) group.empty_since = now;
}

void Bookkeeper::went(const QueuedIo& io, TimeNs now) {
  pass(now);
  Request& request = requests_.at(&io);
  Group& group = groups_.at(request.group);
  request.dispatched_ns = now;
  count(group.own, Counter::kBfqIos, io.op, 1);
  count(group.own, Counter::kBfqBytes, io.op, io.bytes);
  count(group.own, Counter::kWaitNs, io.op, elapsed(request.arrived_ns, now));
  group.queue_sizes += group.waiting;
  ++group.picks;
  if (group.waits_since != kNever) group.group_wait_ns += elapsed(group.waits_since, now);
  group.waits_since = kNever;
  --group.waiting;
  ++group.at_device;
  ++at_device_;
}

void Bookkeeper::completed(const QueuedIo& io, TimeNs now) {
  pass(now);
  const Request request = requests_.at(&io);
  requests_.erase(&io);
  Group& group = groups_.at(request.group);
  count(group.own, Counter::kServiceNs, io.op, elapsed(request.dispatched_ns, now));
  count(group.own, Counter::kQueued, io.op, ~std::uint64_t{0});
  --group.at_device;
  --at_device_;
  if (group.waiting + group.at_device == 0) group.empty_since = now;
}

std::string Bookkeeper::difference(GroupId group, const stats::DeviceStats& stats) const {
  const Group& expected = groups_.at(group);
  for (std::size_t c = 0; c < kCounters; ++c) {
    const auto counter = static_cast<Counter>(c);
    const std::string name = "counter " + std::to_string(c);
    if (stats.counters.own(counter) != expected.own[c]) return name;
    if (stats.counters.inherited(counter) != expected.inherited[c]) return "inherited " + name;
  }
  const auto differs = [&](Scalar scalar, std::uint64_t value) {
    return stats.scheduling.scalar(scalar) != value;
  };
  if (differs(Scalar::kGroupWaitNs, expected.group_wait_ns)) return "group wait time";
  // Time in which the device was kept free for the group is idle time and not empty time. It may
  // also fall into times in which the group has requests that a limit holds.
  const std::uint64_t idle = stats.scheduling.scalar(Scalar::kIdleNs);
  const std::uint64_t empty = stats.scheduling.scalar(Scalar::kEmptyNs);
  if (empty > expected.empty_ns || empty + idle < expected.empty_ns) return "empty time";
  const std::uint64_t mean = expected.picks == 0 ? 0 : expected.queue_sizes / expected.picks;
  if (differs(Scalar::kAvgQueueSize, mean)) return "average queue size";
  return difference_of_time(expected, stats);
}

// A division's remainder goes to the next interval: of each, a group may be owed, or have, up to a
// nanosecond (at most 16 requests at the device, each short of a sixteenth). What a group's
// requests have had since it last sent or ended one is not counted yet.
std::string Bookkeeper::difference_of_time(const Group& expected,
                                           const stats::DeviceStats& stats) const {
  const long double tolerance = static_cast<long double>(intervals_) + 2;
  const auto time = static_cast<long double>(stats.scheduling.scalar(Scalar::kTimeNs));
  const auto left = static_cast<long double>(stats.scheduling.scalar(Scalar::kTimeLeftNs));
  const bool settled = expected.at_device == 0;
  if (time > expected.time_ns + tolerance) return "too much time";
  if (settled && time < expected.time_ns - tolerance) return "too little time";
  if (left > expected.time_left_ns + tolerance || left < expected.time_left_ns - tolerance) {
    return "time left by children";
  }
  return {};
}

// Each group's two numbers are cut to whole nanoseconds.
std::string Bookkeeper::difference_of_sums(std::uint64_t time_ns) const {
  if (time_ns > busy_ns_) return "the groups have more time than the device was busy";
  const std::uint64_t cut_ns = 2 * groups_.size();
  if (at_device_ == 0 && time_ns + cut_ns < busy_ns_) return "busy time of the device is nobody's";
  return {};
}

}  // namespace blkio::simulation
