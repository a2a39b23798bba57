// SPDX-License-Identifier: MIT
#include "cgroupfs/group_tree.hpp"

#include <malloc.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <vector>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::cgroupfs;
using namespace blkio::test;

namespace {

constexpr GroupId kRoot = GroupId::kRoot;

template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().number;
}

}  // namespace

TEST_CASE_METHOD(KernelCgroup, "mkdir makes a fresh group and announces it") {
  const GroupId a = tree.mkdir(kRoot, "a", Creator{0700, 10, 20, 5}).value();
  const Group& group = *tree.find(a);
  CHECK(group.parent == kRoot);
  CHECK(group.name == "a");
  CHECK(group.directory.mode == 0700);
  CHECK(group.directory.uid == 10);
  CHECK(group.directory.gid == 20);
  CHECK(group.directory.modified == 5);
  CHECK(tree.root().directory.modified == 5);
  CHECK(tree.child(tree.root(), "a") == &group);
  CHECK(controller.knows(a));
}

TEST_CASE_METHOD(KernelCgroup, "mkdir refuses what the kernel refuses") {
  mkdir("a");
  CHECK(error_of(tree.mkdir(kRoot, "a", {})) == EEXIST);
  CHECK(error_of(tree.mkdir(kRoot, "tasks", {})) == EEXIST);
  CHECK(error_of(tree.mkdir(kRoot, "release_agent", {})) == EEXIST);
  CHECK(error_of(tree.mkdir(GroupId{99}, "x", {})) == ENOENT);
  for (const auto* name : {"a\nb", "\n", "", ".", "..", "a/b"}) {
    CAPTURE(name);
    CHECK(error_of(tree.mkdir(kRoot, name, {})) == EINVAL);
  }
}

TEST_CASE_METHOD(KernelCgroup, "any other byte may be in a name") {
  for (const auto* name : {"a b", "a\tb", ".hid", "a\\b", "\xff\xfe", "a'b$c", "blkio.foo"}) {
    CAPTURE(name);
    CHECK(error_of(tree.mkdir(kRoot, name, {})) == 0);
  }
  CHECK(error_of(tree.mkdir(kRoot, std::string(3900, 'x'), {})) == 0);
  // A file of the root only: below it the name is free.
  CHECK(error_of(tree.mkdir(mkdir("a"), "release_agent", {})) == 0);
}

TEST_CASE_METHOD(KernelCgroup, "the two flags are inherited at the time of mkdir, nothing else") {
  const GroupId p = mkdir("p");
  const GroupId before = mkdir("before", p);
  Group& parent = *tree.find(p);
  parent.notify_on_release = true;
  parent.clone_children = true;
  parent.weights.value = 700;
  const Group& after = *tree.find(mkdir("after", p));
  CHECK(after.notify_on_release);
  CHECK(after.clone_children);
  CHECK(after.weights.value == 100);
  CHECK_FALSE(tree.find(before)->notify_on_release);
}

TEST_CASE_METHOD(KernelCgroup, "rmdir: in the order of the answers") {
  const GroupId a = mkdir("a");
  mkdir("b", a);
  CHECK(error_of(tree.rmdir(GroupId{99}, "x", 0)) == ENOENT);
  CHECK(error_of(tree.rmdir(kRoot, "nope", 0)) == ENOENT);
  CHECK(error_of(tree.rmdir(kRoot, "tasks", 0)) == ENOTDIR);
  CHECK(error_of(tree.rmdir(kRoot, "a", 0)) == EBUSY);  // has a child
  REQUIRE(tree.rmdir(a, "b", 0));
  membership.add_thread(50, 50);
  REQUIRE(membership.attach(50, TaskScope::kThread, a, {}));
  CHECK(error_of(tree.rmdir(kRoot, "a", 0)) == EBUSY);  // has a task
  membership.exit_thread(50);
  CHECK(error_of(tree.rmdir(kRoot, "a", 7)) == 0);
  CHECK(tree.find(a) == nullptr);
  CHECK_FALSE(controller.knows(a));
  CHECK(tree.root().directory.modified == 7);
}

TEST_CASE_METHOD(KernelCgroup, "what the membership cannot follow does not happen") {
  const GroupId a = mkdir("a");
  membership.refuse_groups(ENOMEM);
  CHECK(error_of(tree.mkdir(kRoot, "b", {})) == ENOMEM);
  CHECK(tree.resolve("b") == nullptr);
  CHECK(error_of(tree.rename(kRoot, "a", kRoot, "c", 0)) == ENOMEM);
  CHECK(tree.resolve("a") == tree.find(a));
  membership.refuse_groups(0);
  CHECK(static_cast<std::uint32_t>(mkdir("b")) == static_cast<std::uint32_t>(a) + 1);
}

TEST_CASE_METHOD(KernelCgroup, "who is to be released: asked to, without children, not the root") {
  const GroupId a = mkdir("a");
  CHECK_FALSE(tree.wants_release(a));
  tree.find(a)->notify_on_release = true;
  CHECK(tree.wants_release(a));
  const GroupId b = mkdir("b", a);
  CHECK_FALSE(tree.wants_release(a));
  CHECK(tree.wants_release(b));
  std::vector<GroupId> lost_child;
  tree.on_child_removed = [&](GroupId parent) {
    CHECK(tree.wants_release(parent));
    lost_child.push_back(parent);
  };
  CHECK(error_of(tree.rmdir(a, "b", 0)) == 0);
  CHECK(lost_child == std::vector{a});
  CHECK_FALSE(tree.wants_release(b));
  tree.root().notify_on_release = true;
  CHECK_FALSE(tree.wants_release(kRoot));
}

TEST_CASE_METHOD(KernelCgroup, "an id is never given again") {
  const GroupId first = mkdir("a");
  REQUIRE(tree.rmdir(kRoot, "a", 0));
  const GroupId second = mkdir("a");
  CHECK(first != second);
  CHECK(tree.find(first) == nullptr);
}

TEST_CASE_METHOD(KernelCgroup, "rename keeps the group and all below it") {
  const GroupId a = mkdir("a");
  const GroupId x = mkdir("x", a);
  REQUIRE(tree.rename(kRoot, "a", kRoot, "c", 9));
  CHECK(tree.child(tree.root(), "a") == nullptr);
  CHECK(tree.resolve("c") == tree.find(a));
  CHECK(tree.path(*tree.find(x)) == "/c/x");
  CHECK(tree.root().directory.modified == 9);
}

TEST_CASE_METHOD(KernelCgroup, "rename: what is refused, and which refusal comes first") {
  const GroupId a = mkdir("a");
  mkdir("b");
  mkdir("x", a);
  CHECK(error_of(tree.rename(kRoot, "a", kRoot, "b", 0)) == EEXIST);
  CHECK(error_of(tree.rename(kRoot, "a", kRoot, "tasks", 0)) == EEXIST);
  CHECK(error_of(tree.rename(a, "x", kRoot, "x", 0)) == EIO);
  CHECK(error_of(tree.rename(a, "x", kRoot, "b", 0)) == EIO);  // before EEXIST
  CHECK(error_of(tree.rename(kRoot, "tasks", kRoot, "t", 0)) == ENOTDIR);
  CHECK(error_of(tree.rename(kRoot, "tasks", kRoot, "t\n", 0)) == EINVAL);  // before ENOTDIR
  CHECK(error_of(tree.rename(a, "x", kRoot, "\n", 0)) == EINVAL);           // before EIO
  CHECK(error_of(tree.rename(kRoot, "nope", kRoot, "n", 0)) == ENOENT);
  CHECK(error_of(tree.rename(kRoot, "a", kRoot, "a", 0)) == 0);
}

TEST_CASE_METHOD(KernelCgroup, "paths") {
  const GroupId a = mkdir("a");
  const GroupId b = mkdir("b", a);
  CHECK(tree.path(tree.root()) == "/");
  CHECK(tree.path(*tree.find(b)) == "/a/b");
  CHECK(tree.resolve("") == &tree.root());
  CHECK(tree.resolve("/") == &tree.root());
  CHECK(tree.resolve("/a/b/")->id == b);
  CHECK(tree.resolve("a//b")->id == b);
  CHECK(tree.resolve("a/nope") == nullptr);
  CHECK(tree.resolve("nope/b") == nullptr);
}

TEST_CASE_METHOD(KernelCgroup, "a subtree is visited whole, each group once") {
  //        root
  //       /    \.
  //      a      d
  //     / \.
  //    b   c
  const GroupId a = mkdir("a");
  const GroupId b = mkdir("b", a);
  const GroupId c = mkdir("c", a);
  mkdir("d");
  std::set<GroupId> visited;
  tree.for_each_in_subtree(*tree.find(a),
                           [&](const Group& group) { CHECK(visited.insert(group.id).second); });
  CHECK(visited == std::set<GroupId>{a, b, c});
}

TEST_CASE_METHOD(KernelCgroup, "a hierarchy deeper than any path is walked without recursion") {
  constexpr int kDepth = 100'000;  // PATH_MAX / 2 is 2048; mkdirat(2) goes on
  GroupId deepest = kRoot;
  for (int i = 0; i < kDepth; ++i) deepest = mkdir("d", deepest);
  int visited = 0;
  tree.for_each_in_subtree(tree.root(), [&](const Group&) { ++visited; });
  CHECK(visited == kDepth + 1);
  CHECK(tree.path(*tree.find(deepest)).size() == 2U * kDepth);  // "/d" each
}

TEST_CASE_METHOD(KernelCgroup, "an idle group takes less than 2 KiB") {
  const auto in_use = [] { return mallinfo2().uordblks; };
  constexpr std::size_t kGroups = 1000;
  const GroupId parent = mkdir("parent");
  const std::size_t before = in_use();
  for (std::size_t i = 0; i < kGroups; ++i) {
    mkdir("a-name-too-long-for-a-small-string-" + std::to_string(i), parent);
  }
  const std::size_t taken = in_use() - before;
  // A sanitizer's allocator reports nothing. The fake controller's own entry is counted in.
  if (taken != 0) CHECK(taken / kGroups < 2048);
}
