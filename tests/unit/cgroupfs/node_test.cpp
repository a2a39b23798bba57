// SPDX-License-Identifier: MIT
#include "cgroupfs/node.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::cgroupfs;
using namespace blkio::test;

namespace {

template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().number;
}

}  // namespace

TEST_CASE("a node id tells its group and file") {
  CHECK(static_cast<std::uint64_t>(node_id(GroupId::kRoot)) == 1);
  const FileNumber tasks = file_number("tasks");
  const NodeId id = node_id(GroupId{70000}, tasks);
  CHECK(group_of(id) == GroupId{70000});
  CHECK(file_of(id) == tasks);
}

TEST_CASE_METHOD(KernelCgroup,
                 "files start with the ids of the group's creator, and are changed alone") {
  const GroupId id = tree.mkdir(GroupId::kRoot, "a", Creator{0700, 10, 20, 5}).value();
  Group& group = *tree.find(id);
  const FileRow& tasks = row(id, "tasks");
  CHECK(attributes(group, &tasks).mode == 0644);
  CHECK(attributes(group, &tasks).uid == 10);
  CHECK(attributes(group, &tasks).modified == 5);
  group.directory.uid = 11;  // chown of the directory is not recursive
  CHECK(attributes(group, &tasks).uid == 10);

  own_attributes(group, &tasks).mode = 0666;
  CHECK(attributes(group, &tasks).mode == 0666);
  CHECK(attributes(group, &row(id, "cgroup.procs")).mode == 0644);
  CHECK(attributes(group, nullptr).mode == 0700);
  CHECK(group.files.size() == 1);
}

TEST_CASE("extended attributes are kept") {
  Attributes node;
  CHECK(error_of(get_xattr(node, "security.capability")) == ENODATA);
  CHECK(list_xattrs(node, true).empty());
  REQUIRE(set_xattr(node, "user.a", "1", XattrMode::kAny));
  REQUIRE(set_xattr(node, "trusted.b", "22", XattrMode::kCreate));
  CHECK(get_xattr(node, "user.a").value() == "1");
  using namespace std::string_literals;
  CHECK(list_xattrs(node, true) == "trusted.b\0user.a\0"s);
  CHECK(list_xattrs(node, false) == "user.a\0"s);
  REQUIRE(remove_xattr(node, "user.a"));
  CHECK(error_of(remove_xattr(node, "user.a")) == ENODATA);
}

TEST_CASE("extended attributes: modes, namespaces and bounds") {
  Attributes node;
  CHECK(error_of(set_xattr(node, "system.posix_acl_access", "", XattrMode::kAny)) == EOPNOTSUPP);
  CHECK(error_of(get_xattr(node, "system.posix_acl_access")) == EOPNOTSUPP);
  CHECK(error_of(set_xattr(node, "user.", "", XattrMode::kAny)) == EINVAL);
  CHECK(error_of(get_xattr(node, "trusted.")) == EINVAL);
  CHECK(error_of(set_xattr(node, "user.a", "", XattrMode::kReplace)) == ENODATA);
  REQUIRE(set_xattr(node, "user.a", "", XattrMode::kCreate));
  CHECK(error_of(set_xattr(node, "user.a", "", XattrMode::kCreate)) == EEXIST);

  const std::string half(kMaxXattrBytes / 2, 'x');
  REQUIRE(set_xattr(node, "user.b", half, XattrMode::kAny));
  REQUIRE(set_xattr(node, "user.c", half, XattrMode::kAny));
  CHECK(error_of(set_xattr(node, "user.d", "y", XattrMode::kAny)) == ENOSPC);
  CHECK(error_of(set_xattr(node, "user.c", half, XattrMode::kAny)) == 0);  // replaces itself
  for (std::size_t i = 3; i < kMaxXattrs; ++i) {
    REQUIRE(set_xattr(node, "user.n" + std::to_string(i), "", XattrMode::kAny));
  }
  CHECK(error_of(set_xattr(node, "user.one-too-many", "", XattrMode::kAny)) == ENOSPC);
}
