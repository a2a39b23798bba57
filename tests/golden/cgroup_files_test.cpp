// SPDX-License-Identifier: MIT
// Texts of the files to the byte. The kernel's were printed by a kernel (6.18) after the same
// I/O: 5 direct reads of 4 KiB and 2 direct writes of 8 KiB on 7:0, then a read of 4 KiB on 7:1.
// The documented ones are those of Documentation/admin-guide/cgroup-v1/blkio-controller.rst.
#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr GroupId kRoot = GroupId::kRoot;

/// Counts what a group's direct I/O counts: all of it Sync.
void count_io(FakeController& controller, GroupId group, DeviceNumber device, std::uint64_t reads,
              std::uint64_t read_size, std::uint64_t writes, std::uint64_t write_size) {
  const OpCounts ios{.read = reads, .write = writes, .sync = reads + writes};
  const std::uint64_t read_bytes = reads * read_size;
  const std::uint64_t written = writes * write_size;
  const OpCounts bytes{.read = read_bytes, .write = written, .sync = read_bytes + written};
  controller.start_throttle_counters(device);
  for (const Counter counter : {Counter::kThrottleIos, Counter::kBfqIos}) {
    controller.count(group, device, counter, ios);
  }
  for (const Counter counter : {Counter::kThrottleBytes, Counter::kBfqBytes}) {
    controller.count(group, device, counter, bytes);
  }
}

template <class Cgroup>
struct AfterIo : Cgroup {
  AfterIo() {
    count_io(this->controller, a, kA, 5, 4096, 2, 8192);
    count_io(this->controller, a, kB, 1, 4096, 0, 0);
  }
  GroupId a = this->mkdir("a");
};

const std::string kServicedB =
    "7:1 Read 1\n"
    "7:1 Write 0\n"
    "7:1 Sync 1\n"
    "7:1 Async 0\n"
    "7:1 Discard 0\n"
    "7:1 Total 1\n";

const std::string kServicedA =
    "7:0 Read 5\n"
    "7:0 Write 2\n"
    "7:0 Sync 7\n"
    "7:0 Async 0\n"
    "7:0 Discard 0\n"
    "7:0 Total 7\n";

const std::string kBytes =
    "7:1 Read 4096\n"
    "7:1 Write 0\n"
    "7:1 Sync 4096\n"
    "7:1 Async 0\n"
    "7:1 Discard 0\n"
    "7:1 Total 4096\n"
    "7:0 Read 20480\n"
    "7:0 Write 16384\n"
    "7:0 Sync 36864\n"
    "7:0 Async 0\n"
    "7:0 Discard 0\n"
    "7:0 Total 36864\n"
    "Total 40960\n";

}  // namespace

TEST_CASE_METHOD(AfterIo<KernelCgroup>, "kernel dialect: throttle.io_serviced") {
  CHECK(read(a, "blkio.throttle.io_serviced") == kServicedB + kServicedA + "Total 8\n");
}

TEST_CASE_METHOD(AfterIo<KernelCgroup>, "kernel dialect: throttle.io_service_bytes") {
  CHECK(read(a, "blkio.throttle.io_service_bytes") == kBytes);
}

TEST_CASE_METHOD(AfterIo<KernelCgroup>, "kernel dialect: bfq.io_serviced") {
  CHECK(read(a, "blkio.bfq.io_serviced") == kServicedA + "Total 7\n");
}

TEST_CASE_METHOD(AfterIo<KernelCgroup>,
                 "kernel dialect: the parent has zero rows of a child's I/O") {
  CHECK(read(kRoot, "blkio.throttle.io_serviced") ==
        "7:1 Read 0\n7:1 Write 0\n7:1 Sync 0\n7:1 Async 0\n7:1 Discard 0\n7:1 Total 0\n"
        "7:0 Read 0\n7:0 Write 0\n7:0 Sync 0\n7:0 Async 0\n7:0 Discard 0\n7:0 Total 0\n"
        "Total 0\n");
  CHECK(read(kRoot, "blkio.throttle.io_service_bytes_recursive") == kBytes);
}

TEST_CASE_METHOD(KernelCgroup, "kernel dialect: a fresh group") {
  struct Row {
    const char* file;
    const char* text;
  };
  const auto row = GENERATE(values<Row>({
      {"blkio.throttle.read_bps_device", ""},
      {"blkio.throttle.write_bps_device", ""},
      {"blkio.throttle.read_iops_device", ""},
      {"blkio.throttle.write_iops_device", ""},
      {"blkio.throttle.io_service_bytes", "Total 0\n"},
      {"blkio.throttle.io_service_bytes_recursive", "Total 0\n"},
      {"blkio.throttle.io_serviced", "Total 0\n"},
      {"blkio.throttle.io_serviced_recursive", "Total 0\n"},
      {"blkio.bfq.io_service_bytes", "Total 0\n"},
      {"blkio.bfq.io_service_bytes_recursive", "Total 0\n"},
      {"blkio.bfq.io_serviced", "Total 0\n"},
      {"blkio.bfq.io_serviced_recursive", "Total 0\n"},
      {"blkio.bfq.weight", "100\n"},
      {"blkio.bfq.weight_device", "default 100\n"},
      {"tasks", ""},
      {"cgroup.procs", ""},
      {"notify_on_release", "0\n"},
      {"cgroup.clone_children", "0\n"},
  }));
  CAPTURE(row.file);
  CHECK(read(mkdir("a"), row.file) == row.text);
}

TEST_CASE_METHOD(KernelCgroup, "kernel dialect: the root's own files") {
  CHECK(read(kRoot, "cgroup.sane_behavior") == "0\n");
  CHECK(read(kRoot, "release_agent") == "\n");
}

TEST_CASE_METHOD(KernelCgroup, "kernel dialect: weight_device") {
  const GroupId a = mkdir("a");
  REQUIRE(write(a, "blkio.bfq.weight", "111") == 0);
  REQUIRE(write(a, "blkio.bfq.weight_device", "7:0 300") == 0);
  CHECK(read(a, "blkio.bfq.weight_device") == "default 111\n7:0 300\n");
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: the session of the documentation, weight_device") {
  const GroupId group = GENERATE(true, false) ? kRoot : mkdir("a");
  const auto* file = GENERATE("blkio.bfq.weight_device", "blkio.weight_device");
  CAPTURE(group, file);
  controller.add_device({8, 16}, true);  // /dev/sdb
  controller.add_device({8, 0}, true);   // /dev/sda
  REQUIRE(write(group, file, "8:16 300\n") == 0);
  CHECK(read(group, file) ==
        "dev     weight\n"
        "8:16    300\n");
  REQUIRE(write(group, file, "8:0 500\n") == 0);
  CHECK(read(group, file) ==
        "dev     weight\n"
        "8:0     500\n"
        "8:16    300\n");
  REQUIRE(write(group, file, "8:0 0\n") == 0);
  CHECK(read(group, file) ==
        "dev     weight\n"
        "8:16    300\n");
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: a number wider than its column") {
  const GroupId a = mkdir("a");
  controller.add_device({253, 1048575}, true);
  REQUIRE(write(a, "blkio.weight_device", "253:1048575 1") == 0);
  CHECK(read(a, "blkio.weight_device") == "dev     weight\n253:1048575 1\n");
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: the documentation's rule, with its two blanks") {
  const auto* file =
      GENERATE("blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device",
               "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device");
  const GroupId group = GENERATE(true, false) ? kRoot : mkdir("a");
  CAPTURE(group, file);
  controller.add_device({8, 16}, true);
  REQUIRE(write(group, file, "8:16  1048576\n") == 0);
  CHECK(read(group, file) == "8:16 1048576\n");
  REQUIRE(write(group, file, "8:16  0\n") == 0);
  CHECK(read(group, file).empty());
}

TEST_CASE_METHOD(AfterIo<DocCgroup>, "documented dialect: io_serviced and io_service_bytes") {
  CHECK(read(a, "blkio.io_serviced") == kServicedB + kServicedA + "Total 8\n");
  CHECK(read(a, "blkio.io_service_bytes") == kBytes);
  CHECK(read(kRoot, "blkio.io_service_bytes_recursive") == kBytes);
}

TEST_CASE_METHOD(AfterIo<DocCgroup>, "documented dialect: times of operations") {
  const auto* file = GENERATE("blkio.io_wait_time", "blkio.io_service_time");
  for (const Counter counter : {Counter::kWaitNs, Counter::kServiceNs}) {
    controller.count(a, kA, counter, {.read = 1500, .write = 300, .sync = 1800});
  }
  CHECK(read(a, file) ==
        "7:1 Read 0\n"
        "7:1 Write 0\n"
        "7:1 Sync 0\n"
        "7:1 Async 0\n"
        "7:1 Discard 0\n"
        "7:1 Total 0\n"
        "7:0 Read 1500\n"
        "7:0 Write 300\n"
        "7:0 Sync 1800\n"
        "7:0 Async 0\n"
        "7:0 Discard 0\n"
        "7:0 Total 1800\n"
        "Total 1800\n");
}

TEST_CASE_METHOD(AfterIo<DocCgroup>, "documented dialect: one number per device") {
  // 7:0: (5 * 4096 + 2 * 8192) / 512 = 72 sectors; 7:1: 4096 / 512 = 8.
  CHECK(read(a, "blkio.sectors") == "7:1 8\n7:0 72\n");
  CHECK(read(a, "blkio.bfq.sectors") == "7:0 72\n");
  CHECK(read(kRoot, "blkio.sectors") == "7:1 0\n7:0 0\n");
  CHECK(read(kRoot, "blkio.sectors_recursive") == "7:1 8\n7:0 72\n");
  controller.count(a, kA, Scalar::kTimeNs, 2'999'999);
  CHECK(read(a, "blkio.time") == "7:1 0\n7:0 2\n");
  controller.count(a, kB, Scalar::kGroupWaitNs, 2'999'999);
  CHECK(read(a, "blkio.group_wait_time") == "7:1 2999999\n7:0 0\n");
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: statistics of a fresh group") {
  struct Row {
    const char* file;
    const char* text;
  };
  const auto row = GENERATE(values<Row>({
      {"io_service_time", "Total 0\n"},
      {"io_service_time_recursive", "Total 0\n"},
      {"io_wait_time", "Total 0\n"},
      {"io_wait_time_recursive", "Total 0\n"},
      {"io_merged", "Total 0\n"},
      {"io_merged_recursive", "Total 0\n"},
      {"io_queued", "Total 0\n"},
      {"io_queued_recursive", "Total 0\n"},
      {"time", ""},
      {"time_recursive", ""},
      {"sectors", ""},
      {"sectors_recursive", ""},
      {"avg_queue_size", ""},
      {"group_wait_time", ""},
      {"idle_time", ""},
      {"empty_time", ""},
      {"dequeue", ""},
  }));
  CAPTURE(row.file);
  const GroupId fresh = mkdir("a");
  CHECK(read(fresh, "blkio." + std::string(row.file)) == row.text);
  CHECK(read(fresh, "blkio.bfq." + std::string(row.file)) == row.text);
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: the root's own files") {
  CHECK(read(kRoot, "cgroup.sane_behavior") == "1\n");
  CHECK(read(kRoot, "blkio.weight") == "100\n");
  CHECK(read(kRoot, "blkio.weight_device") == "dev     weight\n");
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: rules the kernel does not have") {
  struct Row {
    const char* file;
    const char* written;
    const char* shown;
  };
  const GroupId group = GENERATE(true, false) ? kRoot : mkdir("a");
  controller.add_device({8, 16}, true);
  controller.add_device({8, 0}, true);
  // In an order in which each finds what it needs.
  const std::vector<Row> rows{
      {"blkio.throttle.total_bps_device", "8:16  1048576\n", "8:16 1048576\n"},
      {"blkio.throttle.total_bps_max_device", "8:16 10485760\n", "8:16 10485760\n"},
      {"blkio.throttle.total_bps_max_length_device", "8:16 60\n", "8:16 60\n"},
      {"blkio.throttle.write_iops_device", "8:16 100\n", "8:16 100\n"},
      {"blkio.throttle.write_iops_max_device", "8:16 2000\n", "8:16 2000\n"},
      {"blkio.throttle.write_iops_max_length_device", "8:16 1\n", ""},  // as it is without a rule
      {"blkio.throttle.iops_size_device", "8:16 16384\n", "8:16 16384\n"},
      {"blkio.throttle.max_hold_device", "8:16 30000\n", "8:16 30000\n"},
      {"blkio.throttle.dry_run_device", "8:16 1\n", "8:16 1\n"},
      {"blkio.tokens.max_device", "8:16 60000\n", "8:16 60000\n"},
      {"blkio.tokens.refill_device", "8:16 5000/s@0050ms\n", "8:16 5000/s@50ms\n"},
      {"blkio.throttle.shared_device", "8:16  8:0\n", "8:16 8:0\n"},  // and has no others any more
  };
  for (const Row& row : rows) {
    CAPTURE(group, row.file);
    CHECK(read(group, row.file).empty());
    CHECK(write(group, row.file, row.written) == 0);
    CHECK(read(group, row.file) == row.shown);
  }
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: what limits and tokens did") {
  const GroupId a = mkdir("a");
  for (const char* name : {"total_iops", "write_iops", "read_bps", "write_bps"}) {
    REQUIRE(write(a, "blkio.throttle." + std::string(name) + "_device", "7:0 1000") == 0);
  }
  REQUIRE(write(a, "blkio.throttle.read_iops_device", "7:1 1000") == 0);
  REQUIRE(write(a, "blkio.tokens.max_device", "7:0 60000") == 0);
  REQUIRE(write(a, "blkio.tokens.refill_device", "7:0 2000") == 0);
  ThrottleReport report;
  report.of(Limit::kReadBps) = {118, 5'120'931'127, true};
  controller.set_report(a, kA, report);
  controller.set_token_status(a, kA, {60412, 1998, -1, {2000, 1000, false}, 60000});
  CHECK(read(a, "blkio.throttle.stat") ==
        "7:1 read_iops delayed=0 held_ns=0 binding=0\n"
        "7:0 read_bps delayed=118 held_ns=5120931127 binding=1\n"
        "7:0 write_bps delayed=0 held_ns=0 binding=0\n"
        "7:0 write_iops delayed=0 held_ns=0 binding=0\n"
        "7:0 total_iops delayed=0 held_ns=0 binding=0\n"
        "7:0 tokens delayed=0 held_ns=0 binding=0\n");
  CHECK(read(a, "blkio.tokens.status") ==
        "7:0 io_count=60412 io_rate=1998 io_tokens=-1 token_refill=2000 token_max=60000\n");
}
