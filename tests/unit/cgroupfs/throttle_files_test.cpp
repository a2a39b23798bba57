// SPDX-License-Identifier: MIT
#include "cgroupfs/throttle_files.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr GroupId kRoot = GroupId::kRoot;
constexpr auto* kReadBps = "blkio.throttle.read_bps_device";
constexpr auto* kWriteIops = "blkio.throttle.write_iops_device";

}  // namespace

TEST_CASE_METHOD(KernelCgroup, "a rule is shown and reaches the engine") {
  struct Row {
    const char* file;
    Limit limit;
  };
  const auto row = GENERATE(values<Row>({{"blkio.throttle.read_bps_device", Limit::kReadBps},
                                         {"blkio.throttle.write_bps_device", Limit::kWriteBps},
                                         {"blkio.throttle.read_iops_device", Limit::kReadIops},
                                         {"blkio.throttle.write_iops_device", Limit::kWriteIops}}));
  const GroupId a = mkdir("a");
  CHECK(write(a, row.file, "7:0 1048576\n") == 0);
  CHECK(read(a, row.file) == "7:0 1048576\n");
  CHECK(controller.limit(a, kA, row.limit) == 1048576U);
  CHECK(controller.limits_set() == 1);  // the other three are left alone
  CHECK(read(kRoot, row.file).empty());

  CHECK(write(a, row.file, "7:0 0") == 0);
  CHECK(read(a, row.file).empty());
  CHECK(controller.limit(a, kA, row.limit) == std::nullopt);
  CHECK(controller.limits_set() == 2);
  CHECK(tree.find(a)->rules.empty());
}

TEST_CASE_METHOD(KernelCgroup, "an iops rule of 2^32 is a limit of 0, and shown") {
  CHECK(write(kRoot, kWriteIops, "7:0 4294967296") == 0);
  CHECK(read(kRoot, kWriteIops) == "7:0 0\n");
  CHECK(controller.limit(kRoot, kA, Limit::kWriteIops) == 0U);
}

TEST_CASE_METHOD(KernelCgroup, "the device's form, then the device, then the value") {
  CHECK(write(kRoot, kReadBps, "7:0 77") == 0);
  CHECK(write(kRoot, kReadBps, "99:99") == EINVAL);
  CHECK(write(kRoot, kReadBps, "99:99 x") == ENODEV);
  CHECK(write(kRoot, kReadBps, "99:99 0") == ENODEV);
  CHECK(write(kRoot, kReadBps, "7:0 x") == EINVAL);
  CHECK(read(kRoot, kReadBps) == "7:0 77\n");
  CHECK(controller.limits_set() == 1);
}

TEST_CASE_METHOD(KernelCgroup,
                 "a refused value still makes the group and its ancestors know the device") {
  const GroupId a = mkdir("a");
  CHECK(write(a, kReadBps, "7:1 x") == EINVAL);
  CHECK(controller.devices_met(a) == std::vector{kB});
  CHECK(controller.devices_met(kRoot) == std::vector{kB});
  CHECK(controller.throttle_counters_started(kB));
  CHECK(write(a, kReadBps, "7:0") == EINVAL);  // not even the device could be read
  CHECK_FALSE(controller.throttle_counters_started(kA));
}

TEST_CASE_METHOD(KernelCgroup, "the device met last is first, in all files of the group") {
  CHECK(write(kRoot, kWriteIops, "7:0 1") == 0);
  CHECK(write(kRoot, kReadBps, "7:1 200") == 0);
  CHECK(write(kRoot, kReadBps, "7:0 100") == 0);
  CHECK(read(kRoot, kReadBps) == "7:1 200\n7:0 100\n");
  CHECK(write(kRoot, kReadBps, "7:1 0") == 0);
  CHECK(write(kRoot, kReadBps, "7:1 300") == 0);  // back to its old place
  CHECK(read(kRoot, kReadBps) == "7:1 300\n7:0 100\n");
}

TEST_CASE_METHOD(KernelCgroup, "one rule per write, cut at the first NUL") {
  using namespace std::string_view_literals;
  CHECK(write(kRoot, kReadBps, "7:0 100\n7:1 200\n") == 0);
  CHECK(read(kRoot, kReadBps) == "7:0 100\n");
  CHECK(write(kRoot, kReadBps, "7:0 5\0junk"sv) == 0);
  CHECK(read(kRoot, kReadBps) == "7:0 5\n");
  CHECK(write(kRoot, kReadBps, "7:0\0 5"sv) == EINVAL);
  CHECK(write(kRoot, kReadBps, "\0"sv) == EINVAL);
}
