// SPDX-License-Identifier: MIT
#include "cgroupfs/stat_files.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr GroupId kRoot = GroupId::kRoot;
constexpr auto* kServiced = "blkio.throttle.io_serviced";
constexpr auto* kServicedRecursive = "blkio.throttle.io_serviced_recursive";

OpCounts reads(std::uint64_t count) {
  return {.read = count, .sync = count};
}

/// What a file shows of one device that was only read, and nothing else.
std::string only_reads(const std::string& device, std::uint64_t count) {
  const std::string n = std::to_string(count);
  return device + " Read " + n + "\n" + device + " Write 0\n" + device + " Sync " + n + "\n" +
         device + " Async 0\n" + device + " Discard 0\n" + device + " Total " + n + "\nTotal " + n +
         "\n";
}

}  // namespace

TEST_CASE_METHOD(KernelCgroup, "throttle counters have rows once a rule was written somewhere") {
  const GroupId a = mkdir("a");
  const GroupId other = mkdir("other");
  controller.count(a, kA, Counter::kThrottleIos, reads(5));
  CHECK(read(a, kServiced) == "Total 0\n");
  CHECK(write(other, "blkio.throttle.read_bps_device", "7:0 0") == 0);
  CHECK(read(a, kServiced) == only_reads("7:0", 5));
}

TEST_CASE_METHOD(KernelCgroup, "a rule makes zero rows in the group and above, not below") {
  const GroupId a = mkdir("a");
  const GroupId below = mkdir("below", a);
  CHECK(write(a, "blkio.throttle.read_bps_device", "7:0 100") == 0);
  CHECK(read(a, kServiced) == only_reads("7:0", 0));
  CHECK(read(kRoot, "blkio.throttle.io_service_bytes_recursive") == only_reads("7:0", 0));
  CHECK(read(below, kServiced) == "Total 0\n");
}

TEST_CASE_METHOD(KernelCgroup, "each file shows its own counter") {
  struct Row {
    const char* file;
    std::uint64_t value;
  };
  const auto row = GENERATE(values<Row>({{"blkio.throttle.io_service_bytes", 1},
                                         {"blkio.throttle.io_serviced", 2},
                                         {"blkio.bfq.io_service_bytes", 3},
                                         {"blkio.bfq.io_serviced", 4}}));
  controller.start_throttle_counters(kA);
  controller.count(kRoot, kA, Counter::kThrottleBytes, reads(1));
  controller.count(kRoot, kA, Counter::kThrottleIos, reads(2));
  controller.count(kRoot, kA, Counter::kBfqBytes, reads(3));
  controller.count(kRoot, kA, Counter::kBfqIos, reads(4));
  CHECK(read(kRoot, row.file) == only_reads("7:0", row.value));
  CHECK(read(kRoot, std::string(row.file) + "_recursive") == only_reads("7:0", row.value));
}

TEST_CASE_METHOD(KernelCgroup, "bfq rows are of devices with weights only") {
  controller.count(kRoot, kB, Counter::kBfqIos, reads(3));
  CHECK(read(kRoot, "blkio.bfq.io_serviced") == "Total 0\n");
}

TEST_CASE_METHOD(DocCgroup, "the names without a prefix show every device") {
  controller.count(kRoot, kB, Counter::kBfqIos, reads(3));
  CHECK(read(kRoot, "blkio.io_serviced") == only_reads("7:1", 3));
  CHECK(read(kRoot, "blkio.io_serviced_recursive") == only_reads("7:1", 3));
  CHECK(read(kRoot, "blkio.bfq.io_serviced") == "Total 0\n");
}

TEST_CASE_METHOD(DocCgroup, "each documented rwstat file shows its own counter") {
  struct Row {
    const char* file;
    std::uint64_t value;
  };
  const auto row = GENERATE(values<Row>(
      {{"io_service_time", 1}, {"io_wait_time", 2}, {"io_merged", 3}, {"io_queued", 4}}));
  for (const DeviceNumber device : {kA, kB}) {
    controller.count(kRoot, device, Counter::kServiceNs, reads(1));
    controller.count(kRoot, device, Counter::kWaitNs, reads(2));
    controller.count(kRoot, device, Counter::kMerged, reads(3));
    controller.count(kRoot, device, Counter::kQueued, reads(4));
  }
  const std::string of_a = only_reads("7:0", row.value);
  const std::string of_b = only_reads("7:1", row.value);
  const std::string both = of_b.substr(0, of_b.rfind("Total")) +
                           of_a.substr(0, of_a.rfind("Total")) + "Total " +
                           std::to_string(2 * row.value) + "\n";
  for (const char* scope : {"", "_recursive"}) {
    CHECK(read(kRoot, "blkio." + std::string(row.file) + scope) == both);
    CHECK(read(kRoot, "blkio.bfq." + std::string(row.file) + scope) == of_a);
  }
}

TEST_CASE_METHOD(DocCgroup, "each debugging aid shows its own number, without a total") {
  struct Row {
    const char* file;
    Scalar scalar;
  };
  const auto row = GENERATE(values<Row>({{"avg_queue_size", Scalar::kAvgQueueSize},
                                         {"group_wait_time", Scalar::kGroupWaitNs},
                                         {"idle_time", Scalar::kIdleNs},
                                         {"empty_time", Scalar::kEmptyNs},
                                         {"dequeue", Scalar::kDequeues}}));
  CAPTURE(row.file);
  const std::string file = row.file;
  CHECK(read(kRoot, "blkio." + file) == "");
  controller.count(kRoot, kA, row.scalar, 123);
  controller.meet_device(kRoot, kB);
  CHECK(read(kRoot, "blkio." + file) == "7:1 0\n7:0 123\n");
  CHECK(read(kRoot, "blkio.bfq." + file) == "7:0 123\n");
}

TEST_CASE_METHOD(DocCgroup, "time: whole milliseconds, summed before they are cut") {
  // 1.6 ms own, 0.7 ms of a child and 0.8 ms left by a removed one: 3.1 ms, though 1 + 0 + 0 = 1.
  const GroupId c = mkdir("c");
  const GroupId gone = mkdir("gone");
  controller.count(kRoot, kA, Scalar::kTimeNs, 1'600'000);
  controller.count(c, kA, Scalar::kTimeNs, 700'000);
  controller.count(gone, kA, Scalar::kTimeNs, 800'000);
  REQUIRE(tree.rmdir(kRoot, "gone", 0));
  CHECK(read(kRoot, "blkio.time") == "7:0 1\n");
  CHECK(read(c, "blkio.time") == "7:0 0\n");
  CHECK(read(kRoot, "blkio.time_recursive") == "7:0 3\n");
  CHECK(read(kRoot, "blkio.bfq.time_recursive") == "7:0 3\n");
}

TEST_CASE_METHOD(DocCgroup, "sectors: bytes / 512, discards in the own number only") {
  const GroupId c = mkdir("c");
  controller.count(kRoot, kA, Counter::kBfqBytes,
                   {.read = 1024, .write = 512, .sync = 5632, .discard = 4096});
  controller.count(c, kA, Counter::kBfqBytes, {.read = 511, .write = 1, .sync = 512});
  CHECK(read(kRoot, "blkio.sectors") == "7:0 11\n");           // (1024 + 512 + 4096) / 512
  CHECK(read(c, "blkio.sectors") == "7:0 1\n");                // (511 + 1) / 512
  CHECK(read(kRoot, "blkio.sectors_recursive") == "7:0 4\n");  // (1024 + 512 + 511 + 1) / 512
  CHECK(read(kRoot, "blkio.bfq.sectors") == "7:0 11\n");
}

TEST_CASE_METHOD(KernelCgroup, "recursive: own and living descendants; a removed child is gone") {
  const GroupId p = mkdir("p");
  const GroupId c = mkdir("c", p);
  const GroupId d = mkdir("d", c);
  controller.start_throttle_counters(kA);
  controller.count(p, kA, Counter::kThrottleIos, reads(1));
  controller.count(c, kA, Counter::kThrottleIos, reads(10));
  controller.count(d, kA, Counter::kThrottleIos, reads(100));
  CHECK(read(p, kServiced) == only_reads("7:0", 1));
  CHECK(read(p, kServicedRecursive) == only_reads("7:0", 111));
  CHECK(read(c, kServicedRecursive) == only_reads("7:0", 110));
  REQUIRE(tree.rmdir(c, "d", 0));
  CHECK(read(p, kServicedRecursive) == only_reads("7:0", 11));
}

TEST_CASE_METHOD(DocCgroup, "recursive: what removed children left stays, at every level above") {
  const GroupId p = mkdir("p");
  const GroupId c = mkdir("c", p);
  mkdir("d", c);
  controller.count(c, kA, Counter::kThrottleIos, reads(10));
  controller.count(tree.resolve("p/c/d")->id, kA, Counter::kThrottleIos, reads(100));
  REQUIRE(tree.rmdir(c, "d", 0));
  CHECK(read(c, kServiced) == only_reads("7:0", 10));
  CHECK(read(c, kServicedRecursive) == only_reads("7:0", 110));
  REQUIRE(tree.rmdir(p, "c", 0));
  CHECK(read(p, kServiced) == only_reads("7:0", 0));
  CHECK(read(p, kServicedRecursive) == only_reads("7:0", 110));
  CHECK(read(kRoot, kServicedRecursive) == only_reads("7:0", 110));
}

TEST_CASE_METHOD(KernelCgroup, "reset_stats checks its number and clears nothing to be seen") {
  controller.start_throttle_counters(kA);
  controller.count(kRoot, kA, Counter::kThrottleIos, reads(5));
  CHECK(write(kRoot, "blkio.reset_stats", "x") == EINVAL);
  CHECK(write(kRoot, "blkio.reset_stats", "99999999999999999999999") == ERANGE);
  CHECK(write(kRoot, "blkio.reset_stats", "0x1") == 0);
  CHECK(read(kRoot, kServiced) == only_reads("7:0", 5));
  CHECK(read(kRoot, "blkio.reset_stats") == "errno " + std::to_string(EINVAL));
}

TEST_CASE_METHOD(DocCgroup, "reset_stats clears the group's own, never children's") {
  const GroupId c = mkdir("c");
  controller.count(kRoot, kA, Counter::kThrottleIos, reads(5));
  controller.count(c, kA, Counter::kThrottleIos, reads(7));
  CHECK(write(kRoot, "blkio.reset_stats", "x") == EINVAL);
  CHECK_FALSE(controller.was_reset(kRoot));
  CHECK(write(kRoot, "blkio.reset_stats", "1") == 0);
  CHECK(read(kRoot, kServiced) == only_reads("7:0", 0));
  CHECK(read(kRoot, kServicedRecursive) == only_reads("7:0", 7));
}

TEST_CASE_METHOD(DocCgroup, "reset_stats clears times and what children left, but no gauge") {
  const GroupId gone = mkdir("gone");
  controller.count(gone, kA, Scalar::kTimeNs, 5 * kMillisecondNs);
  controller.count(gone, kA, Counter::kQueued, reads(1));
  REQUIRE(tree.rmdir(kRoot, "gone", 0));
  controller.count(kRoot, kA, Scalar::kTimeNs, 4 * kMillisecondNs);
  controller.count(kRoot, kA, Counter::kWaitNs, reads(7));
  controller.count(kRoot, kA, Counter::kQueued, reads(3));
  CHECK(read(kRoot, "blkio.time_recursive") == "7:0 9\n");
  CHECK(write(kRoot, "blkio.reset_stats", "1") == 0);
  CHECK(read(kRoot, "blkio.time") == "7:0 0\n");
  CHECK(read(kRoot, "blkio.time_recursive") == "7:0 0\n");
  CHECK(read(kRoot, "blkio.io_wait_time") == only_reads("7:0", 0));
  CHECK(read(kRoot, "blkio.io_queued_recursive") == only_reads("7:0", 3));
}
