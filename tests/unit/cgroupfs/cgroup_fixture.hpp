// SPDX-License-Identifier: MIT
/// A hierarchy without a mount: groups, files and the two fakes behind them.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "cgroupfs/file_table.hpp"
#include "cgroupfs/group_tree.hpp"
#include "unit/fake_controller.hpp"
#include "unit/fake_membership.hpp"

namespace blkio::test {

/// Device A is under the weights' scheduler, B is not.
inline constexpr DeviceNumber kA{7, 0};
inline constexpr DeviceNumber kB{7, 1};

struct CgroupFixture {
  explicit CgroupFixture(Dialect dialect_of_files, Hierarchy hierarchy = Hierarchy::kFlat)
      : dialect(dialect_of_files),
        controller(dialect),
        tree(controller, membership, is_file_name(dialect), cgroupfs::Creator{0555, 0, 0, 0}),
        services{tree, controller, membership, dialect, hierarchy} {
    controller.add_device(kA, true);
    controller.add_device(kB, false);
  }

  GroupId mkdir(std::string_view name, GroupId parent = GroupId::kRoot) {
    return tree.mkdir(parent, name, cgroupfs::Creator{}).value();
  }
  /// 0, or the errno that write(2) would give.
  int write(GroupId group, std::string_view file, std::string_view text, Writer writer = {}) {
    const auto stored = cgroupfs::store_file(services, group, row(group, file), text, writer);
    return stored ? 0 : stored.error().number;
  }
  /// The text, or "errno N".
  std::string read(GroupId group, std::string_view file) {
    const auto text = cgroupfs::show_file(services, group, row(group, file));
    return text ? text.value() : "errno " + std::to_string(text.error().number);
  }
  const cgroupfs::FileRow& row(GroupId group, std::string_view file) const {
    const auto* found = cgroupfs::find_file(file, dialect, group == GroupId::kRoot);
    if (found == nullptr) throw std::runtime_error("no file " + std::string(file));
    return *found;
  }

  Dialect dialect;
  FakeController controller;
  FakeMembership membership;
  cgroupfs::GroupTree tree;
  cgroupfs::FileServices services;

 private:
  static cgroupfs::GroupTree::IsFileName is_file_name(Dialect dialect) {
    return [dialect](std::string_view name, bool in_root) {
      return cgroupfs::find_file(name, dialect, in_root) != nullptr;
    };
  }
};

struct KernelCgroup : CgroupFixture {
  KernelCgroup() : CgroupFixture(Dialect::kKernel) {}
};
struct DocCgroup : CgroupFixture {
  DocCgroup() : CgroupFixture(Dialect::kDoc, Hierarchy::kTree) {}
};

}  // namespace blkio::test
