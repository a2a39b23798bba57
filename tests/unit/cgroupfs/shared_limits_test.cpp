// SPDX-License-Identifier: MIT
// blkio.throttle.shared_device: one account of limits for several devices of a group.
#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <vector>

#include "cgroupfs/rules.hpp"
#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::test;

namespace {

constexpr DeviceNumber kC{7, 2};
constexpr DeviceNumber kD{7, 3};
const std::string kFile = "blkio.throttle.shared_device";
const std::string kReadIops = "blkio.throttle.read_iops_device";

using Share = FakeController::Share;

struct Shared : DocCgroup {
  Shared() {
    controller.add_device(kC, true);
    controller.add_device(kD, true);
  }
  cgroupfs::Group& group() { return *tree.find(a); }
  GroupId a = mkdir("a");
};

}  // namespace

TEST_CASE_METHOD(Shared, "shared_device: who joins takes over the rules, and all show the same") {
  CHECK(write(a, kReadIops, "7:0 100") == 0);
  CHECK(write(a, kReadIops, "7:1 7") == 0);
  CHECK(write(a, kFile, "7:1 7:0") == 0);
  CHECK(read(a, kFile) == "7:1 7:0\n");
  CHECK(read(a, kReadIops) == "7:1 100\n7:0 100\n");
  CHECK(controller.take_shared() == std::vector<Share>{{a, kB, kA}});
  // Any of them: the last one wins.
  CHECK(write(a, kReadIops, "7:1 200") == 0);
  CHECK(write(a, "blkio.throttle.dry_run_device", "7:0 1") == 0);
  CHECK(read(a, kReadIops) == "7:1 200\n7:0 200\n");
  CHECK(read(a, "blkio.throttle.dry_run_device") == "7:1 1\n7:0 1\n");
  CHECK(controller.rules(a, kA).of(Limit::kReadIops).per_second == 200U);
  CHECK(controller.rules(a, kB).dry_run);
  CHECK(write(a, kReadIops, "7:0 0") == 0);
  CHECK(read(a, kReadIops).empty());
  CHECK(controller.take_shared().empty());
}

TEST_CASE_METHOD(Shared, "shared_device: any number, and through any of them") {
  CHECK(write(a, kFile, "7:1 7:0") == 0);
  CHECK(write(a, kFile, "7:2 7:1\n") == 0);  // as 7:1 has joined 7:0
  CHECK(write(a, kFile, "7:3  7:2 \n") == 0);
  CHECK(read(a, kFile) == "7:3 7:0\n7:2 7:0\n7:1 7:0\n");
  CHECK(cgroupfs::sharers(group(), kC) == std::vector{kA, kB, kC, kD});
  CHECK(controller.take_shared() == std::vector<Share>{{a, kB, kA}, {a, kC, kB}, {a, kD, kC}});
  CHECK(write(a, kReadIops, "7:2 5") == 0);
  CHECK(read(a, kReadIops) == "7:3 5\n7:2 5\n7:0 5\n7:1 5\n");
  // Where they are already.
  for (const char* again : {"7:1 7:0", "7:0 7:3", "7:2 7:1"}) CHECK(write(a, kFile, again) == 0);
  CHECK(controller.take_shared().empty());
  CHECK(read(a, kFile) == "7:3 7:0\n7:2 7:0\n7:1 7:0\n");
}

TEST_CASE_METHOD(Shared, "shared_device: who leaves is without rules, the others go on") {
  CHECK(write(a, kReadIops, "7:0 5") == 0);
  for (const char* line : {"7:1 7:0", "7:2 7:0", "7:3 7:0"}) CHECK(write(a, kFile, line) == 0);
  CHECK(write(a, kFile, "7:1 0\n") == 0);
  CHECK(read(a, kReadIops) == "7:3 5\n7:2 5\n7:0 5\n");
  CHECK(cgroupfs::sharers(group(), kB) == std::vector{kB});
  controller.take_shared();
  CHECK(write(a, kFile, "7:0 0") == 0);  // the one they were named after
  CHECK(read(a, kFile) == "7:3 7:2\n");
  CHECK(read(a, kReadIops) == "7:3 5\n7:2 5\n");
  CHECK(write(a, kFile, "7:2 0") == 0);
  CHECK(read(a, kFile).empty());
  CHECK(read(a, kReadIops) == "7:3 5\n");  // the last one keeps them, as its own
  CHECK(controller.take_shared() == std::vector<Share>{{a, kA, {}}, {a, kC, {}}});
  CHECK(write(a, kFile, "7:3 0") == 0);  // shares none
  CHECK(read(a, kReadIops) == "7:3 5\n");
  CHECK(controller.take_shared().empty());
}

TEST_CASE_METHOD(Shared, "shared_device: from one set to another") {
  CHECK(write(a, kReadIops, "7:0 5") == 0);
  CHECK(write(a, kReadIops, "7:2 9") == 0);
  CHECK(write(a, kFile, "7:1 7:0") == 0);
  CHECK(write(a, kFile, "7:0 7:2") == 0);
  CHECK(read(a, kFile) == "7:0 7:2\n");
  CHECK(read(a, kReadIops) == "7:1 5\n7:2 9\n7:0 9\n");
  CHECK(controller.take_shared() == std::vector<Share>{{a, kB, kA}, {a, kA, {}}, {a, kA, kC}});
}

TEST_CASE_METHOD(Shared, "shared_device: what is refused changes nothing") {
  CHECK(write(a, kReadIops, "7:0 5") == 0);
  CHECK(write(a, kReadIops, "7:1 6") == 0);
  controller.set_apart(kB);
  CHECK(write(a, kFile, "7:1 7:0") == EXDEV);
  CHECK(write(a, kFile, "7:1 9:9") == ENODEV);
  CHECK(write(a, kFile, "9:9 7:0") == ENODEV);
  CHECK(write(a, kFile, "9:9 x") == ENODEV);  // the first is looked at first
  CHECK(write(a, kFile, "7:0 7:0") == EINVAL);
  for (const char* bad : {"7:0", "7:0 ", "7:0 x", "7:0 1", "7:0 7", "7:0 7:", "7:0 :1", "7:0 7:1:0",
                          "7:0 7:1 7:2", "7:0 -7:1", "7:0 7:-1", "7:0 7: 1", "7:0 +0", "7:0 0x0",
                          "7:0 4294967296:1", "7:0 7:4294967296", "x", "7 7:1"}) {
    CAPTURE(bad);
    CHECK(write(a, kFile, bad) == EINVAL);
  }
  CHECK(read(a, kFile).empty());
  CHECK(read(a, kReadIops) == "7:1 6\n7:0 5\n");
  CHECK(controller.take_shared().empty());
}

TEST_CASE_METHOD(Shared, "shared_device: each group shares for itself") {
  const GroupId b = mkdir("b");
  CHECK(write(a, kFile, "7:1 7:0") == 0);
  CHECK(write(b, kFile, "7:0 7:1") == 0);
  CHECK(read(a, kFile) == "7:1 7:0\n");
  CHECK(read(b, kFile) == "7:0 7:1\n");
  CHECK(read(GroupId::kRoot, kFile).empty());
}

TEST_CASE_METHOD(Shared, "shared limits: a device that goes leaves, those left stay together") {
  CHECK(write(a, kReadIops, "7:0 5") == 0);
  for (const char* line : {"7:1 7:0", "7:2 7:0"}) CHECK(write(a, kFile, line) == 0);
  CHECK(cgroupfs::forget_rules(group(), kA));
  CHECK(read(a, kFile) == "7:2 7:1\n");
  CHECK(read(a, kReadIops) == "7:2 5\n7:1 5\n");
  CHECK(cgroupfs::forget_rules(group(), kC));
  CHECK(read(a, kFile).empty());
  CHECK(read(a, kReadIops) == "7:1 5\n");
  CHECK(cgroupfs::forget_rules(group(), kB));
  CHECK_FALSE(cgroupfs::forget_rules(group(), kB));
  CHECK(group().rules.empty());
}

TEST_CASE_METHOD(Shared, "shared limits: restored, with who is there") {
  DeviceRules rules;
  rules.of(Limit::kReadIops).per_second = 5;
  rules.shared_with = DeviceNumber{7, 9};  // absent, and so is its rule
  for (const DeviceNumber device : {kB, kC, DeviceNumber{7, 9}}) group().rules[device] = rules;
  cgroupfs::apply_rules(controller, group(), kB);
  cgroupfs::apply_rules(controller, group(), kC);
  CHECK(controller.take_shared() == std::vector<Share>{{a, kB, kC}, {a, kC, kB}});
  CHECK(controller.rules(a, kB).of(Limit::kReadIops).per_second == 5U);
  CHECK(controller.rules(a, kC).of(Limit::kReadIops).per_second == 5U);
  // On engines that cannot share: each has the rule, and a change is told to each.
  controller.set_apart(kB);
  cgroupfs::apply_rules(controller, group(), kB);
  CHECK(controller.take_shared().empty());
  CHECK(write(a, kReadIops, "7:1 8") == 0);
  CHECK(controller.rules(a, kC).of(Limit::kReadIops).per_second == 8U);
}
