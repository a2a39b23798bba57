// SPDX-License-Identifier: MIT
#include "cgroupfs/weight_files.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

#include "cgroupfs/rules.hpp"
#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr auto* kWeight = "blkio.bfq.weight";
constexpr auto* kDevice = "blkio.bfq.weight_device";

/// Weight 111, and 77 on device A.
template <class Cgroup>
struct Weighted : Cgroup {
  Weighted() {
    REQUIRE(this->write(a, kWeight, "111") == 0);
    REQUIRE(this->write(a, kDevice, "7:0 77") == 0);
  }
  GroupId a = this->mkdir("a");
};

}  // namespace

TEST_CASE_METHOD(KernelCgroup, "a fresh group's weights") {
  const GroupId a = mkdir("a");
  CHECK(read(a, kWeight) == "100\n");
  CHECK(read(a, kDevice) == "default 100\n");
}

TEST_CASE_METHOD(Weighted<KernelCgroup>, "weights: 1 to 1000, and a setting drops the devices'") {
  for (const auto* text : {"0", "1001", "4294967396", "18446744073709551716"}) {
    CAPTURE(text);
    CHECK(write(a, kWeight, text) == ERANGE);
  }
  CHECK(write(a, kWeight, "default 200") == EINVAL);
  CHECK(read(a, kDevice) == "default 111\n7:0 77\n");  // a refused one drops nothing
  CHECK(write(a, kWeight, "111") == 0);                // the same value does
  CHECK(read(a, kDevice) == "default 111\n");
  CHECK(write(a, kWeight, "1000") == 0);
  CHECK(write(a, kWeight, "0x1") == 0);
  CHECK(read(a, kWeight) == "1\n");
}

TEST_CASE_METHOD(Weighted<KernelCgroup>, "device weights: the order of the refusals") {
  CHECK(write(a, kDevice, "7:0") == EINVAL);
  CHECK(write(a, kDevice, "99:99 x") == ENODEV);
  CHECK(write(a, kDevice, "7:1 x") == EOPNOTSUPP);  // weights do not act there
  CHECK(write(a, kDevice, "7:1 default") == EOPNOTSUPP);
  CHECK(write(a, kDevice, "7:0 x") == EINVAL);
  CHECK(write(a, kDevice, "7:0 1001") == ERANGE);
  CHECK(write(a, kDevice, "7:0 0") == ERANGE);
  CHECK(write(a, kDevice, "\n") == ERANGE);  // reads as a group weight of 0
  CHECK(read(a, kDevice) == "default 111\n7:0 77\n");
  CHECK(controller.devices_met(a) == std::vector{kA});
}

TEST_CASE_METHOD(Weighted<KernelCgroup>, "device weights: set, replaced, removed") {
  CHECK(write(a, kDevice, "7:0 300") == 0);
  CHECK(read(a, kDevice) == "default 111\n7:0 300\n");
  CHECK(write(a, kDevice, "7:0 default\n") == 0);
  CHECK(read(a, kDevice) == "default 111\n");
  CHECK(write(a, kDevice, "7:0 default") == 0);
  CHECK(write(a, kDevice, "default 250x") == 0);
  CHECK(read(a, kWeight) == "250\n");
  // A weight is no throttle rule: the throttle files do not start to count.
  CHECK_FALSE(controller.throttle_counters_started(kA));
}

TEST_CASE_METHOD(Weighted<DocCgroup>,
                 "documented dialect: 0 removes, a new weight keeps the devices'") {
  CHECK(write(a, kWeight, "200") == 0);
  CHECK(read(a, kDevice) == "dev     weight\n7:0     77\n");
  CHECK(write(a, kDevice, "default 300") == 0);
  CHECK(read(a, kWeight) == "300\n");
  CHECK(write(a, kDevice, "dev     weight\n") == 0);  // what was read may be written
  CHECK(write(a, kDevice, "7:0     77\n") == 0);
  CHECK(read(a, kDevice) == "dev     weight\n7:0     77\n");
  CHECK(write(a, kDevice, "7:0 1001") == ERANGE);
  CHECK(write(a, kDevice, "7:0 0") == 0);
  CHECK(read(a, kDevice) == "dev     weight\n");
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: the old names are the same weights") {
  const GroupId a = mkdir("a");
  CHECK(write(a, "blkio.weight", "300") == 0);
  CHECK(read(a, kWeight) == "300\n");
  CHECK(write(a, kDevice, "7:0 5") == 0);
  CHECK(read(a, "blkio.weight_device") == "dev     weight\n7:0     5\n");
  CHECK(read(a, "blkio.leaf_weight") == "100\n");
  CHECK(write(a, "blkio.leaf_weight", "400") == 0);
  CHECK(read(a, "blkio.weight") == "300\n");
  CHECK(write(a, "blkio.leaf_weight_device", "7:0 9") == 0);
  CHECK(read(a, "blkio.leaf_weight_device") == "dev     weight\n7:0     9\n");
  CHECK(read(a, "blkio.weight_device") == "dev     weight\n7:0     5\n");
}

TEST_CASE_METHOD(DocCgroup, "documented dialect: the root has leaf weights under every name") {
  CHECK(write(GroupId::kRoot, "blkio.weight", "300") == 0);
  for (const auto* name : {"blkio.weight", "blkio.bfq.weight", "blkio.leaf_weight"}) {
    CAPTURE(name);
    CHECK(read(GroupId::kRoot, name) == "300\n");
  }
}

TEST_CASE_METHOD(Weighted<KernelCgroup>, "weights: the data plane is told, of what was accepted") {
  const DeviceNumber device{7, 0};
  CHECK(controller.weights(a).value == 111);
  CHECK(controller.weights(a).on(device) == 77);
  CHECK(write(a, kDevice, "7:0 0") == ERANGE);
  CHECK(controller.weights(a).on(device) == 77);
  CHECK(write(a, kDevice, "7:0 default") == 0);
  CHECK(controller.weights(a).on(device) == 111);
  CHECK(write(a, kDevice, "7:0 5") == 0);
  CHECK(write(a, kWeight, "222") == 0);  // drops the device's
  CHECK(controller.weights(a).on(device) == 222);
}

TEST_CASE_METHOD(DocCgroup, "weights: leaf weights are the own tasks', in the root all are") {
  const GroupId a = mkdir("a");
  CHECK(write(a, "blkio.leaf_weight", "300") == 0);
  CHECK(controller.leaf_weights(a).value == 300);
  CHECK(controller.weights(a).value == 100);
  CHECK(write(GroupId::kRoot, "blkio.weight", "40") == 0);
  CHECK(controller.leaf_weights(GroupId::kRoot).value == 40);
}

TEST_CASE_METHOD(Weighted<DocCgroup>, "rules of a group are told again, and forgotten") {
  const DeviceNumber device{7, 0};
  REQUIRE(write(a, "blkio.throttle.read_bps_device", "7:0 1000") == 0);
  cgroupfs::Group& group = *tree.find(a);
  FakeController later;
  later.add_device(device, true);
  later.group_added(a, GroupId::kRoot);
  cgroupfs::apply_rules(later, group, device);
  cgroupfs::apply_weights(later, group);
  CHECK(later.limit(a, device, Limit::kReadBps) == 1000);
  CHECK_FALSE(later.limit(a, device, Limit::kWriteBps));
  CHECK(later.weights(a).on(device) == 77);
  CHECK(later.devices_met(a) == std::vector{device});
  CHECK_FALSE(cgroupfs::forget_rules(group, DeviceNumber{8, 8}));
  CHECK(cgroupfs::forget_rules(group, device));
  CHECK_FALSE(cgroupfs::forget_rules(group, device));
  CHECK(group.weights.value == 111);
  CHECK(group.rules.empty());
}
