// SPDX-License-Identifier: MIT
// The files that the kernel does not have: totals, bursts, sizes, tokens, what they did.
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <vector>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr GroupId kRoot = GroupId::kRoot;

struct LimitFiles {
  Limit limit;
  std::string name;  ///< read_bps ...
  std::string rate() const { return "blkio.throttle." + name + "_device"; }
  std::string burst() const { return "blkio.throttle." + name + "_max_device"; }
  std::string length() const { return "blkio.throttle." + name + "_max_length_device"; }
};

const std::vector<LimitFiles> kAllLimits{
    {Limit::kReadBps, "read_bps"},   {Limit::kWriteBps, "write_bps"},
    {Limit::kReadIops, "read_iops"}, {Limit::kWriteIops, "write_iops"},
    {Limit::kTotalBps, "total_bps"}, {Limit::kTotalIops, "total_iops"}};

/// Files of one number that needs nothing else.
const std::vector<std::string> kPlainFiles{
    "blkio.throttle.total_bps_device", "blkio.throttle.total_iops_device",
    "blkio.throttle.iops_size_device", "blkio.throttle.max_hold_device",
    "blkio.tokens.max_device",         "blkio.tokens.refill_device"};

}  // namespace

TEST_CASE_METHOD(DocCgroup, "rule files: a limit, its burst, its length, in every group") {
  for (const GroupId group : {kRoot, mkdir("a")}) {
    for (const LimitFiles& files : kAllLimits) {
      CAPTURE(group, files.name);
      CHECK(write(group, files.rate(), "7:0 1000\n") == 0);
      CHECK(write(group, files.burst(), "7:0 5000\n") == 0);
      CHECK(write(group, files.length(), "7:0 60\n") == 0);
      CHECK(read(group, files.rate()) == "7:0 1000\n");
      CHECK(read(group, files.burst()) == "7:0 5000\n");
      CHECK(read(group, files.length()) == "7:0 60\n");
      CHECK(controller.rules(group, kA).of(files.limit) == RateRule{1000, 5000, 60});
    }
    // All six, totals beside the directions, and none has disturbed another.
    for (const LimitFiles& files : kAllLimits) {
      CHECK(controller.rules(group, kA).of(files.limit) == RateRule{1000, 5000, 60});
    }
  }
}

TEST_CASE_METHOD(DocCgroup, "rule files: a burst needs its limit, and goes before it") {
  for (const LimitFiles& files : kAllLimits) {
    CAPTURE(files.name);
    CHECK(write(kRoot, files.burst(), "7:0 100") == EINVAL);
    REQUIRE(write(kRoot, files.rate(), "7:0 100") == 0);
    CHECK(write(kRoot, files.burst(), "7:0 99") == EINVAL);  // below it
    CHECK(write(kRoot, files.burst(), "7:0 100") == 0);
    CHECK(write(kRoot, files.rate(), "7:0 101") == EINVAL);  // above the burst
    CHECK(write(kRoot, files.rate(), "7:0 0") == EINVAL);
    CHECK(read(kRoot, files.rate()) == "7:0 100\n");
    CHECK(write(kRoot, files.rate(), "7:0 50") == 0);
    CHECK(write(kRoot, files.burst(), "7:0 0") == 0);
    CHECK(read(kRoot, files.burst()).empty());
    CHECK(write(kRoot, files.rate(), "7:0 0") == 0);
  }
  CHECK(tree.find(kRoot)->rules.empty());
}

TEST_CASE_METHOD(DocCgroup, "rule files: a length needs its burst, and goes with it") {
  for (const LimitFiles& files : kAllLimits) {
    CAPTURE(files.name);
    REQUIRE(write(kRoot, files.rate(), "7:0 1") == 0);
    CHECK(write(kRoot, files.length(), "7:0 2") == EINVAL);
    CHECK(write(kRoot, files.length(), "7:0 1") == 0);  // as it is
    CHECK(write(kRoot, files.length(), "7:0 0") == 0);
    REQUIRE(write(kRoot, files.burst(), "7:0 1000") == 0);
    CHECK(read(kRoot, files.length()).empty());
    CHECK(write(kRoot, files.length(), "7:0 4294967295") == 0);
    CHECK(write(kRoot, files.length(), "7:0 4294967296") == EINVAL);
    CHECK(read(kRoot, files.length()) == "7:0 4294967295\n");
    // A burst of 10^15 / 4294967295 = 232830.6 a second is the last that fits.
    CHECK(write(kRoot, files.burst(), "7:0 232831") == EINVAL);
    CHECK(write(kRoot, files.burst(), "7:0 232830") == 0);
    CHECK(write(kRoot, files.length(), "7:0 0") == 0);  // 1 second again
    CHECK(read(kRoot, files.length()).empty());
    CHECK(write(kRoot, files.length(), "7:0 3") == 0);
    CHECK(write(kRoot, files.burst(), "7:0 0") == 0);
    CHECK(controller.rules(kRoot, kA).of(files.limit) == RateRule{1, 0, 1});
  }
}

TEST_CASE_METHOD(DocCgroup, "rule files: numbers are strict") {
  for (const std::string& file : kPlainFiles) {
    CAPTURE(file);
    REQUIRE(write(kRoot, file, "7:0 77") == 0);
    for (const char* bad : {"7:0", "7:0 ", "7:0 x", "7:0 -1", "7:0 +1", "7:0 1 2", "7:0 1k",
                            "7:0 0x10", "7:0 1.5", "7:0 1\n7:1 2\n", "7:0 18446744073709551616",
                            "7:0 99999999999999999999999", "x 1", "7 1", ""}) {
      CAPTURE(bad);
      CHECK(write(kRoot, file, bad) == (*bad == '\0' ? 0 : EINVAL));
    }
    CHECK(read(kRoot, file) == "7:0 77\n");
    CHECK(write(kRoot, file, "7:0 78 \n\n") == 0);  // white space behind it
    CHECK(write(kRoot, file, "7:0  010") == 0);     // decimal, whatever it starts with
    CHECK(read(kRoot, file) == "7:0 10\n");
    CHECK(write(kRoot, file, "7:0 0") == 0);
    CHECK(read(kRoot, file).empty());
  }
  CHECK(tree.find(kRoot)->rules.empty());
}

TEST_CASE_METHOD(DocCgroup, "rule files: the largest numbers") {
  struct Row {
    const char* file;
    const char* most;
    const char* more;
  };
  const auto row = GENERATE(values<Row>({
      {"blkio.throttle.total_bps_device", "1000000000000000", "1000000000000001"},
      {"blkio.throttle.total_iops_device", "1000000000000000", "1000000000000001"},
      {"blkio.throttle.iops_size_device", "18446744073709551615", "18446744073709551616"},
      {"blkio.throttle.max_hold_device", "4294967295", "4294967296"},
      {"blkio.throttle.dry_run_device", "1", "2"},
      {"blkio.tokens.max_device", "1000000000000000", "1000000000000001"},
      {"blkio.tokens.refill_device", "1000000000000000", "1000000000000001"},
      {"blkio.tokens.refill_device", "1@4294967295ms", "1@4294967296ms"},
  }));
  CAPTURE(row.file);
  CHECK(write(kRoot, row.file, std::string("7:0 ") + row.more) == EINVAL);
  CHECK(write(kRoot, row.file, std::string("7:0 ") + row.most) == 0);
  CHECK(read(kRoot, row.file) == std::string("7:0 ") + row.most + "\n");
}

TEST_CASE_METHOD(DocCgroup, "rule files: the device is looked at before the value") {
  const GroupId a = mkdir("a");
  for (const std::string& file : kPlainFiles) {
    CAPTURE(file);
    CHECK(write(a, file, "99:99 x") == ENODEV);
    CHECK(write(a, file, "99:99 0") == ENODEV);
    CHECK(write(a, file, "7:0:1 1") == EINVAL);
  }
  CHECK(controller.devices_met(a).empty());
  CHECK(write(a, kPlainFiles.front(), "7:1 x") == EINVAL);
  CHECK(controller.devices_met(a) == std::vector{kB});  // the kernel's way, see throttle_files_test
  CHECK(controller.devices_met(kRoot) == std::vector{kB});
  CHECK(controller.limits_set() == 0);
}

TEST_CASE_METHOD(DocCgroup,
                 "rule files: rows in the order of the other files, the last met first") {
  CHECK(write(kRoot, "blkio.throttle.read_bps_device", "7:0 1") == 0);
  for (const std::string& file : kPlainFiles) {
    CHECK(write(kRoot, file, "7:1 2") == 0);
    CHECK(write(kRoot, file, "7:0 1") == 0);
    CHECK(read(kRoot, file) == "7:1 2\n7:0 1\n");
  }
}

TEST_CASE_METHOD(DocCgroup, "rule files: the three forms of a refill, and how they are shown") {
  struct Row {
    const char* text;
    const char* shown;
    TokenRefill refill;
  };
  const auto row = GENERATE(values<Row>({
      {"10", "10", {10, 1000, false}},
      {"250@50ms", "250@50ms", {250, 50, false}},
      {"5000/s@50ms", "5000/s@50ms", {5000, 50, true}},
      {"1/s@1ms\n", "1/s@1ms", {1, 1, true}},
      {"3@1000ms", "3", {3, 1000, false}},    // every second, like 3 alone
      {"3/s@1000ms", "3", {3, 1000, false}},  // and so is this
      {"010@05ms", "10@5ms", {10, 5, false}},
      {"1@60000ms", "1@60000ms", {1, 60000, false}},  // one a minute
  }));
  CAPTURE(row.text);
  CHECK(write(kRoot, "blkio.tokens.refill_device", std::string("7:0 ") + row.text) == 0);
  CHECK(read(kRoot, "blkio.tokens.refill_device") == std::string("7:0 ") + row.shown + "\n");
  CHECK(controller.rules(kRoot, kA).tokens.refill == row.refill);
  CHECK(write(kRoot, "blkio.tokens.refill_device", std::string("7:0 ") + row.shown) == 0);
  CHECK(controller.rules(kRoot, kA).tokens.refill == row.refill);
}

TEST_CASE_METHOD(DocCgroup, "rule files: what is no refill") {
  const auto* bad =
      GENERATE("", "x", "-1", "@50ms", "/s@50ms", "5@", "5@ms", "5@0ms", "5@50", "5@50s", "5@50us",
               "5@-1ms", "5 @50ms", "5@ 50ms", "5@50 ms", "5/s", "5/s50ms", "5/m@50ms", "5B/s@50ms",
               "5@50msx", "5@50ms 1", "5k", "5@99999999999ms");
  CAPTURE(bad);
  CHECK(write(kRoot, "blkio.tokens.refill_device", "7:0 4@40ms") == 0);
  CHECK(write(kRoot, "blkio.tokens.refill_device", std::string("7:0 ") + bad) == EINVAL);
  CHECK(read(kRoot, "blkio.tokens.refill_device") == "7:0 4@40ms\n");
}

TEST_CASE_METHOD(DocCgroup, "rule files: a refill of 0, in any form, removes it") {
  const auto* nothing = GENERATE("0", "0@50ms", "0/s@50ms");
  REQUIRE(write(kRoot, "blkio.tokens.refill_device", "7:0 4") == 0);
  CHECK(write(kRoot, "blkio.tokens.refill_device", std::string("7:0 ") + nothing) == 0);
  CHECK(tree.find(kRoot)->rules.empty());
}

TEST_CASE_METHOD(DocCgroup, "rule files: dry_run is a switch") {
  const std::string file = "blkio.throttle.dry_run_device";
  CHECK(read(kRoot, file).empty());
  CHECK(write(kRoot, file, "7:0 1") == 0);
  CHECK(read(kRoot, file) == "7:0 1\n");
  CHECK(controller.rules(kRoot, kA).dry_run);
  CHECK(write(kRoot, file, "7:0 yes") == EINVAL);
  CHECK(write(kRoot, file, "7:0 0") == 0);
  CHECK(tree.find(kRoot)->rules.empty());
}

TEST_CASE_METHOD(DocCgroup, "rule files: under qemu_strict the files keep to QEMU's rules") {
  DeviceRules strict;
  strict.of(Limit::kTotalBps).per_second = 100;
  strict.qemu_strict = true;
  tree.find(kRoot)->rules[kA] = strict;
  CHECK(write(kRoot, "blkio.throttle.read_bps_device", "7:0 10") == EINVAL);
  CHECK(write(kRoot, "blkio.throttle.read_iops_device", "7:0 10") == 0);
  CHECK(write(kRoot, "blkio.throttle.total_iops_device", "7:0 10") == EINVAL);
  CHECK(write(kRoot, "blkio.throttle.total_bps_device", "7:0 0") == 0);
  CHECK(write(kRoot, "blkio.throttle.read_bps_device", "7:0 10") == 0);
}

TEST_CASE_METHOD(DocCgroup, "rule files: alone, the kernel's limits keep the kernel's range") {
  const std::string huge = "7:0 18446744073709551614";
  CHECK(write(kRoot, "blkio.throttle.read_bps_device", huge) == 0);
  CHECK(read(kRoot, "blkio.throttle.read_bps_device") == huge + "\n");
  // A burst goes with QEMU's range only.
  CHECK(write(kRoot, "blkio.throttle.read_bps_max_device", "7:0 1000000000000000") == EINVAL);
}

TEST_CASE_METHOD(DocCgroup, "status files: nothing without limits, a row for each that is set") {
  const GroupId a = mkdir("a");
  CHECK(read(a, "blkio.throttle.stat").empty());
  CHECK(read(a, "blkio.tokens.status").empty());
  ThrottleReport report;
  report.of(Limit::kWriteBps) = {7, 1500, true};
  report.of(Limit::kTotalIops) = {1, 2, false};
  report.of(Limit::kReadIops) = {9, 9, true};  // not set (any more)
  report.tokens = {3, 4, false};
  controller.set_report(a, kA, report);
  CHECK(write(a, "blkio.throttle.total_iops_device", "7:0 5") == 0);
  CHECK(write(a, "blkio.throttle.write_bps_device", "7:0 5") == 0);
  CHECK(write(a, "blkio.tokens.max_device", "7:0 5") == 0);
  const std::string limits =
      "7:0 write_bps delayed=7 held_ns=1500 binding=1\n"
      "7:0 total_iops delayed=1 held_ns=2 binding=0\n";
  CHECK(read(a, "blkio.throttle.stat") == limits);
  CHECK(read(a, "blkio.tokens.status").empty());  // they bind when both are set
  CHECK(write(a, "blkio.tokens.refill_device", "7:0 5000/s@50ms") == 0);
  controller.set_token_status(a, kA, {123, 45, -6, {5000, 50, true}, 60000});
  CHECK(read(a, "blkio.throttle.stat") == limits + "7:0 tokens delayed=3 held_ns=4 binding=0\n");
  CHECK(read(a, "blkio.tokens.status") ==
        "7:0 io_count=123 io_rate=45 io_tokens=-6 token_refill=5000 token_max=60000\n");
  CHECK(write(a, "blkio.throttle.stat", "1") == EINVAL);
  CHECK(write(a, "blkio.tokens.status", "1") == EINVAL);
}

TEST_CASE_METHOD(KernelCgroup, "rule files: the kernel has none of them") {
  for (const bool in_root : {true, false}) {
    for (const LimitFiles& files : kAllLimits) {
      CAPTURE(files.name);
      CHECK(cgroupfs::find_file(files.burst(), dialect, in_root) == nullptr);
      CHECK(cgroupfs::find_file(files.length(), dialect, in_root) == nullptr);
    }
    for (const std::string& file : kPlainFiles) {
      CHECK(cgroupfs::find_file(file, dialect, in_root) == nullptr);
    }
    for (const char* file : {"blkio.throttle.dry_run_device", "blkio.throttle.shared_device",
                             "blkio.throttle.stat", "blkio.tokens.status"}) {
      CHECK(cgroupfs::find_file(file, dialect, in_root) == nullptr);
    }
  }
}
