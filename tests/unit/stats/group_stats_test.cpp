// SPDX-License-Identifier: MIT
#include "stats/group_stats.hpp"

#include <catch2/catch.hpp>
#include <thread>
#include <vector>

using blkio::Counter;
using blkio::DeviceNumber;
using blkio::Op;
using blkio::stats::DeviceStats;
using blkio::stats::GroupStats;

TEST_CASE("the device met last comes first, and meeting it again changes nothing") {
  GroupStats group;
  CHECK(group.devices().empty());
  group.meet({7, 0});
  group.meet({7, 1});
  group.meet({259, 0});
  group.meet({7, 0});
  CHECK(group.devices() == std::vector<DeviceNumber>{{259, 0}, {7, 1}, {7, 0}});
}

TEST_CASE("a row keeps its address while others are added") {
  GroupStats group;
  DeviceStats& row = group.meet({7, 0});
  row.counters.count_arrival(Op::kRead, 4096);
  for (unsigned minor = 1; minor < 100; ++minor) group.meet({7, minor});
  CHECK(&group.meet({7, 0}) == &row);
  CHECK(group.find({7, 0}) == &row);
  CHECK(group.find({8, 0}) == nullptr);
}

TEST_CASE("a reset clears every device and keeps the rows") {
  GroupStats group;
  group.meet({7, 0}).counters.count_arrival(Op::kRead, 4096);
  group.meet({7, 1}).counters.count_dispatch(Op::kWrite, 512, 0);
  group.meet({7, 1}).scheduling.dequeued();
  group.reset();
  CHECK(group.devices().size() == 2);
  CHECK(group.find({7, 0})->counters.own(Counter::kThrottleBytes).total() == 0);
  CHECK(group.find({7, 1})->counters.own(Counter::kBfqBytes).total() == 0);
  CHECK(group.find({7, 1})->scheduling.scalar(blkio::Scalar::kDequeues) == 0);
}

TEST_CASE("engines meet their own devices at once while a reader looks on") {
  constexpr unsigned kDevices = 200;
  GroupStats group;
  std::vector<std::thread> engines;
  for (unsigned major = 1; major <= 2; ++major) {
    engines.emplace_back([&group, major] {
      for (unsigned minor = 0; minor < kDevices; ++minor) {
        group.meet({major, minor}).counters.count_arrival(Op::kRead, 1);
      }
    });
  }
  // A row once seen never goes away, so the list can only have grown.
  std::size_t seen = 0;
  while (seen < 2 * kDevices) {
    const std::size_t now = group.devices().size();
    REQUIRE(now >= seen);
    seen = now;
  }
  for (std::thread& engine : engines) engine.join();
  std::uint64_t ios = 0;
  for (const DeviceNumber device : group.devices()) {
    ios += group.find(device)->counters.own(Counter::kThrottleIos).total();
  }
  CHECK(ios == 2 * kDevices);
}
