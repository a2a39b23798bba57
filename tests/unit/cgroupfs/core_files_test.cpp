// SPDX-License-Identifier: MIT
#include "cgroupfs/core_files.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::cgroupfs;
using namespace blkio::test;

namespace {

constexpr GroupId kRoot = GroupId::kRoot;

}  // namespace

TEST_CASE_METHOD(KernelCgroup, "tasks lists threads, cgroup.procs processes") {
  const GroupId a = mkdir("a");
  for (const pid_t tid : {12, 11, 10}) membership.add_thread(tid, 10);
  CHECK(read(a, "tasks").empty());
  CHECK(write(a, "tasks", "11\n") == 0);
  CHECK(read(a, "tasks") == "11\n");
  CHECK(read(a, "cgroup.procs") == "10\n");
  CHECK(write(a, "cgroup.procs", " 0xc ") == 0);  // 12: any thread names its process
  CHECK(read(a, "tasks") == "10\n11\n12\n");
  CHECK(read(kRoot, "tasks").empty());
}

TEST_CASE_METHOD(KernelCgroup, "who writes is told to the membership, whose errors are answered") {
  const GroupId a = mkdir("a");
  membership.refuse_next(EACCES);
  CHECK(write(a, "cgroup.procs", "0", Writer{77, 1000}) == EACCES);
  REQUIRE(membership.last_attach());
  CHECK(membership.last_attach()->id == 0);
  CHECK(membership.last_attach()->scope == TaskScope::kProcess);
  CHECK(membership.last_attach()->group == a);
  CHECK(membership.last_attach()->writer.tid == 77);
  CHECK(membership.last_attach()->writer.uid == 1000);
  CHECK(write(a, "tasks", "4194304") == ESRCH);
}

TEST_CASE_METHOD(KernelCgroup, "an id that is none never reaches the membership") {
  CHECK(write(kRoot, "tasks", "1 2") == EINVAL);
  CHECK(write(kRoot, "tasks", "") == 0);
  CHECK_FALSE(membership.last_attach());
}

TEST_CASE_METHOD(KernelCgroup, "flags: any number but 0 is 1") {
  const auto* file = GENERATE("notify_on_release", "cgroup.clone_children");
  CHECK(read(kRoot, file) == "0\n");
  CHECK(write(kRoot, file, "2") == 0);
  CHECK(read(kRoot, file) == "1\n");
  CHECK(write(kRoot, file, "x") == EINVAL);
  CHECK(write(kRoot, file, "99999999999999999999999") == ERANGE);
  CHECK(read(kRoot, file) == "1\n");
  CHECK(write(kRoot, file, "0\n") == 0);
  CHECK(read(kRoot, file) == "0\n");
}

TEST_CASE_METHOD(KernelCgroup, "release_agent is kept without the white space around it") {
  CHECK(read(kRoot, "release_agent") == "\n");
  CHECK(write(kRoot, "release_agent", " /a b\n") == 0);
  CHECK(read(kRoot, "release_agent") == "/a b\n");
  CHECK(write(kRoot, "release_agent", std::string(4095, ' ')) == 0);
  CHECK(read(kRoot, "release_agent") == "\n");
  // PATH_MAX - 1 here, where the other files take a page.
  CHECK(write(kRoot, "release_agent", std::string(4096, ' ')) == E2BIG);
}

TEST_CASE_METHOD(KernelCgroup, "release_agent: the daemon runs what some may choose") {
  services.may_name_agent = [](const Writer& writer) { return writer.tid == 1; };
  CHECK(write(kRoot, "release_agent", "/a", Writer{2, 0}) == EPERM);
  CHECK(read(kRoot, "release_agent") == "\n");
  CHECK(write(kRoot, "release_agent", "/a", Writer{1, 0}) == 0);
  CHECK(read(kRoot, "release_agent") == "/a\n");
}

TEST_CASE("cgroup.sane_behavior tells whether limits cover subtrees") {
  CHECK(CgroupFixture(Dialect::kKernel, Hierarchy::kFlat).read(kRoot, "cgroup.sane_behavior") ==
        "0\n");
  CHECK(CgroupFixture(Dialect::kDoc, Hierarchy::kTree).read(kRoot, "cgroup.sane_behavior") ==
        "1\n");
}
