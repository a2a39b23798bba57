// SPDX-License-Identifier: MIT
#include "control_plane/saved_state.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "cgroupfs/device_text.hpp"
#include "cgroupfs/file_table.hpp"

namespace blkio::control_plane {
namespace {

using cgroupfs::Group;

constexpr DeviceNumber kDisk{8, 16};
constexpr GroupId kA{2};
constexpr GroupId kB{3};

Group group(GroupId id, std::string name) {
  Group made;
  made.id = id;
  made.parent = GroupId::kRoot;
  made.name = std::move(name);
  return made;
}

/// As it comes out of a file.
SavedState after(const std::vector<nlohmann::json>& records) {
  SavedState state;
  for (const auto& record : records) state.apply(nlohmann::json::parse(record.dump()));
  return state;
}

}  // namespace

TEST_CASE("saved state: a group comes back as it was") {
  Group from = group(kA, "web \xff%\"\\ x");
  from.creator = {0750, 3, 4, 55};
  from.directory = {0711, 1, 2, -7, 8, 9, {{"user.a\x01", std::string("\0\xfe", 2)}}};
  from.files[cgroupfs::file_number("tasks")] = {0600, 5, 6, 1, 2, 3, {}};
  from.notify_on_release = true;
  from.clone_children = true;
  from.rules[kDisk].of(Limit::kReadBps).per_second = 1;
  from.rules[kDisk].of(Limit::kReadIops).per_second = 0;
  from.rules[kDisk].of(Limit::kTotalIops).per_second = UINT64_MAX;
  from.weights = {500, {{kDisk, 20}}};
  from.leaf_weights = {7, {}};
  const SavedState state = after({group_record(from)});
  REQUIRE(state.groups.size() == 1);
  const Group& to = state.groups.at(kA).group;
  CHECK(to.name == from.name);
  CHECK(to.parent == from.parent);
  CHECK(to.creator.mode == 0750);
  CHECK(to.creator.now == 55);
  CHECK(to.directory.mode == 0711);
  CHECK(to.directory.accessed == -7);
  CHECK(to.directory.xattrs == from.directory.xattrs);
  CHECK(to.files.at(cgroupfs::file_number("tasks")).uid == 5);
  CHECK(to.notify_on_release);
  CHECK(to.clone_children);
  CHECK(to.rules == from.rules);
  CHECK(to.weights.value == 500);
  CHECK(to.weights.of_device == from.weights.of_device);
  CHECK(to.leaf_weights.value == 7);
}

TEST_CASE("saved state: every part of the rules comes back, alone and together") {
  const auto back = [](const DeviceRules& rules) {
    Group from = group(kA, "a");
    from.rules[kDisk] = rules;
    return after({group_record(from)}).groups.at(kA).group.rules.at(kDisk);
  };
  DeviceRules all;
  const auto alone = [&](auto change) {
    DeviceRules one;
    change(one);
    change(all);
    CHECK(back(one) == one);
  };
  for (int i = 0; i < kLimits; ++i) {
    const auto n = static_cast<std::uint64_t>(i);
    const auto limit = static_cast<Limit>(i);
    alone([&](DeviceRules& rules) { rules.of(limit).per_second = 10 + n; });
    alone([&](DeviceRules& rules) { rules.of(limit).burst_per_second = 20 + n; });
    alone([&](DeviceRules& rules) { rules.of(limit).burst_seconds = 30 + n; });
  }
  alone([](DeviceRules& rules) { rules.iops_size = 4096; });
  alone([](DeviceRules& rules) { rules.max_hold_ms = 5000; });
  alone([](DeviceRules& rules) { rules.dry_run = true; });
  alone([](DeviceRules& rules) { rules.qemu_strict = true; });
  alone([](DeviceRules& rules) { rules.shared_with = DeviceNumber{8, 0}; });
  alone([](DeviceRules& rules) { rules.tokens.max = 60000; });
  alone([](DeviceRules& rules) { rules.tokens.refill = TokenRefill{2000, 1000, false}; });
  alone([](DeviceRules& rules) { rules.tokens.refill = TokenRefill{2000, 50, false}; });
  alone([](DeviceRules& rules) { rules.tokens.refill = TokenRefill{5000, 50, true}; });
  CHECK(back(all) == all);
}

TEST_CASE("saved state: limits shared with what is no device") {
  nlohmann::json record = group_record(group(kA, "a"));
  record["limits"]["8:16"]["shared_with"] = "sdb";
  CHECK_THROWS_AS(SavedState().apply(record), std::invalid_argument);
}

TEST_CASE("saved state: a refill that makes no sense") {
  nlohmann::json record = group_record(group(kA, "a"));
  record["limits"]["8:16"]["tokens_refill"] = "5 a second";
  CHECK_THROWS_AS(SavedState().apply(record), std::invalid_argument);
}

TEST_CASE("saved state: counters come back, gauges do not") {
  stats::DeviceStats from;
  from.counters.count_arrival(Op::kRead, 4096);
  from.counters.count_dispatch(Op::kRead, 4096, 10);
  from.counters.count_completion(Op::kRead, 20);
  from.counters.count_dispatch(Op::kDiscard, 512, 1);
  from.counters.enter_queue(Op::kWrite);
  stats::DeviceCounters child;
  child.count_arrival(Op::kWrite, 100);
  from.counters.inherit(child);
  from.scheduling.idled(30);
  from.scheduling.dequeued();
  const SavedCounts saved = SavedCounts::of(from);
  const SavedState state = after({group_record(group(kA, "a")), counts_record(kA, kDisk, saved)});
  const auto& [device, counts] = state.groups.at(kA).counts.at(0);
  CHECK(device == kDisk);
  CHECK(counts.print() == saved.print());
  stats::DeviceStats to;
  counts.restore_to(to);
  CHECK(to.counters.own(Counter::kBfqBytes) == from.counters.own(Counter::kBfqBytes));
  CHECK(to.counters.own(Counter::kServiceNs).read == 20);
  CHECK(to.counters.inherited(Counter::kThrottleBytes).write == 100);
  CHECK(to.counters.own(Counter::kQueued).total() == 0);
  CHECK(to.scheduling.scalar(Scalar::kIdleNs) == 30);
  CHECK(to.scheduling.scalar(Scalar::kDequeues) == 1);
}

TEST_CASE("saved state: the print tells every change") {
  stats::DeviceStats stats;
  const auto before = SavedCounts::of(stats).print();
  stats.counters.count_arrival(Op::kFlush, 0);
  const auto counted = SavedCounts::of(stats).print();
  CHECK(counted != before);
  stats.scheduling.dequeued();
  CHECK(SavedCounts::of(stats).print() != counted);
}

TEST_CASE("saved state: the last word counts") {
  Group renamed = group(kA, "new");
  const SavedState state =
      after({group_record(group(kA, "old")), group_record(group(kB, "b")), group_record(renamed),
             counts_record(kB, kDisk, {}), removal_record(kB), counts_record(kB, kDisk, {})});
  REQUIRE(state.groups.size() == 1);
  CHECK(state.groups.at(kA).group.name == "new");
}

TEST_CASE("saved state: devices are kept in the order they were met") {
  const DeviceNumber other{7, 1};
  const SavedState state = after({group_record(group(kA, "a")), counts_record(kA, kDisk, {}),
                                  counts_record(kA, other, {}), group_record(group(kA, "b")),
                                  counts_record(kA, kDisk, {})});
  const auto& counts = state.groups.at(kA).counts;
  REQUIRE(counts.size() == 2);
  CHECK(counts[0].first == kDisk);
  CHECK(counts[1].first == other);
}

TEST_CASE("saved state: members are those of the last listing, and who was moved since") {
  const auto listing = [](GroupId id, std::vector<SavedTask> tasks) {
    for (SavedTask& task : tasks) task.seen_ns = 100;
    return members_record(id, tasks);
  };
  SavedState state =
      after({listing(kA, {{10, 10, kA}, {11, 10, kA}, {20, 20, kA}}), listing(kB, {{30, 30, kB}}),
             listing(kA, {{10, 10, kA}, {11, 10, kA}})});
  CHECK(state.tasks.size() == 3);
  CHECK(state.tasks.at(11).tgid == 10);
  CHECK(state.tasks.at(11).seen_ns == 100);
  // Thread 11 goes alone, then process 10 with all its threads.
  state.apply(task_record({11, 10, kB, false, 200}));
  CHECK(state.tasks.at(11).group == kB);
  CHECK(state.tasks.at(10).group == kA);
  state.apply(task_record({10, 10, kB, true, 300}));
  CHECK(state.tasks.size() == 2);
  CHECK(state.tasks.at(10).process);
  state.apply(removal_record(kB));
  CHECK(state.tasks.empty());
}

TEST_CASE("saved state: what is not of the whole, and what is not known") {
  SavedState state = after({globals_record({"boot", 77, "/bin/agent \xf0", {kDisk}})});
  CHECK(state.globals.boot == "boot");
  CHECK(state.globals.pid_namespace == 77);
  CHECK(state.globals.release_agent == "/bin/agent \xf0");
  CHECK(state.globals.counting == std::set{kDisk});
  CHECK_NOTHROW(state.apply({{"of a later version", 1}}));
  CHECK_THROWS(state.apply({{"group", "two"}}));
  state.apply(group_record(group(kA, "a")));
  CHECK_THROWS(state.apply({{"counts", 2}, {"device", "8"}}));
}

TEST_CASE("device numbers as text") {
  CHECK(to_text({8, 16}) == "8:16");
  CHECK(parse_device_number("8:16") == kDisk);
  for (const char* bad :
       {"", "8", ":", "8:", ":1", "8:16 ", "+8:1", "8:-1", "4294967296:0", "8:1:2"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_device_number(bad));
  }
}

}  // namespace blkio::control_plane
