// SPDX-License-Identifier: MIT
/// The world of the shard's tests: messages in, replies out, time as the test says.
#pragma once

#include <spdlog/spdlog.h>

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "data_plane/device_shard.hpp"
#include "fake_kernel.hpp"
#include "memory_device.hpp"

namespace blkio::test {

using data_plane::BufferArena;
using data_plane::DeviceShard;
using data_plane::EngineParts;
using data_plane::FileIndex;
using data_plane::GroupMap;
using data_plane::Negotiated;
using data_plane::Placement;
using data_plane::RequestPool;
using data_plane::Ring;
using data_plane::ShardOptions;

inline constexpr std::uint64_t kBytes = 1u << 20;
inline constexpr GroupId kSlow{2};
inline constexpr std::uint32_t kSlowThread = 200;
inline constexpr std::uint32_t kForeignThread = 0;  // of another pid namespace

struct Issuers final : IssuerDirectory {
  void resolve(const pid_t* tids, Issuer* issuers, std::size_t count) override {
    for (std::size_t i = 0; i < count; ++i) {
      const GroupId group = tids[i] == kSlowThread ? kSlow : GroupId::kRoot;
      issuers[i] = {group, tids[i], tids[i] != kForeignThread};
    }
  }
};

/// A shard on its own ring, a kernel played by the test and a device in memory; one group is kSlow.
struct ShardWorld {
  explicit ShardWorld(std::uint32_t block = 512, std::size_t max_held = 16u << 20)
      : disk(kBytes, block) {
    spdlog::set_level(spdlog::level::off);  // the end of a connection is worth a line elsewhere
    REQUIRE(ring.open(256));
    groups.group_added(kSlow, GroupId::kRoot, slow_stats);
    EngineParts parts{ring,
                      arena,
                      pool,
                      groups,
                      issuers,
                      [this](pid_t pid) { return gone.contains(pid); },
                      [this](pid_t tid) { return killed.contains(tid); },
                      placement,
                      now,
                      [this](DeviceNumber, const std::vector<GroupId>& changed) {
                        told.insert(told.end(), changed.begin(), changed.end());
                      }};
    const FileIndex fuse = ring.register_file(kernel.daemon_end()).value();
    const FileIndex file = ring.register_file(disk.device().fd).value();
    ShardOptions options;
    options.max_held_bytes = max_held;
    shard = std::make_unique<DeviceShard>(std::move(parts), disk.device(), fuse, file, options,
                                          false, negotiated);
  }

  void turn() {
    shard->turn(now);
    shard->expect();
    ring.run_once(kMillisecondNs);
  }
  /// Turns until all that can happen at this time has happened.
  std::map<std::uint64_t, FuseReply> settle() {
    std::map<std::uint64_t, FuseReply> replies;
    for (int quiet = 0; quiet < 6; ++quiet) {
      turn();
      while (auto reply = kernel.receive()) {
        CHECK_FALSE(replies.contains(reply->unique));
        CHECK(answered.insert(reply->unique).second);  // exactly once
        replies[reply->unique] = std::move(*reply);
        quiet = 0;
      }
      if (shard->in_flight() != 0) quiet = 0;
    }
    return replies;
  }
  /// The reply to a request that does not wait.
  FuseReply reply_to(std::uint64_t unique) {
    auto replies = settle();
    REQUIRE(replies.contains(unique));
    return replies[unique];
  }
  /// From now on reads and writes of kSlowThread wait: the first of each takes the limit's credit.
  void limit_slow_group() {
    shard->queue().set_limit(kSlow, Limit::kReadBps, 1, now);
    shard->queue().set_limit(kSlow, Limit::kWriteBps, 1, now);
    kernel.set_thread(kSlowThread);
    reply_to(kernel.read(0, 4096));
    reply_to(kernel.write(0, std::string(4096, 'x')));
  }
  /// What is still in use when the connection has ended.
  std::size_t leftover() {
    kernel.unmount();
    for (int i = 0; i < 10; ++i) turn();
    return arena.used_bytes();
  }
  /// A message has been read, and its turn has not come.
  void wait_for_arrival() {
    for (ring.run_once(kMillisecondNs); shard->drained(); ring.run_once(kMillisecondNs)) {
      shard->turn(now);
      shard->expect();
    }
  }
  void lift_limits() {
    shard->queue().set_limit(kSlow, Limit::kReadBps, std::nullopt, now);
    shard->queue().set_limit(kSlow, Limit::kWriteBps, std::nullopt, now);
  }

  FakeKernel kernel;
  MemoryDevice disk;
  Ring ring;
  BufferArena arena{ring, 64u << 20};
  RequestPool pool;
  stats::GroupStats root_stats;
  stats::GroupStats slow_stats;
  GroupMap groups{root_stats};
  Issuers issuers;
  Negotiated negotiated;
  std::set<pid_t> gone;
  std::set<pid_t> killed;
  std::set<std::uint64_t> answered;
  std::vector<GroupId> told;  ///< whose limits began or ceased to hold somebody
  Placement placement;
  TimeNs now = kSecondNs;
  std::unique_ptr<DeviceShard> shard;
};

}  // namespace blkio::test
