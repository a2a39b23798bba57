// SPDX-License-Identifier: MIT
#include "cgroupfs/file_table.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <set>
#include <string>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::cgroupfs;
using namespace blkio::test;

namespace {

std::set<std::string> files(Dialect dialect, bool in_root) {
  std::set<std::string> names;
  for (const FileRow& row : all_files()) {
    if (is_present(row, dialect, in_root)) names.insert(std::string(row.name));
  }
  return names;
}

const std::set<std::string> kKernelChild{"blkio.bfq.io_service_bytes",
                                         "blkio.bfq.io_service_bytes_recursive",
                                         "blkio.bfq.io_serviced",
                                         "blkio.bfq.io_serviced_recursive",
                                         "blkio.bfq.weight",
                                         "blkio.bfq.weight_device",
                                         "blkio.reset_stats",
                                         "blkio.throttle.io_service_bytes",
                                         "blkio.throttle.io_service_bytes_recursive",
                                         "blkio.throttle.io_serviced",
                                         "blkio.throttle.io_serviced_recursive",
                                         "blkio.throttle.read_bps_device",
                                         "blkio.throttle.read_iops_device",
                                         "blkio.throttle.write_bps_device",
                                         "blkio.throttle.write_iops_device",
                                         "cgroup.clone_children",
                                         "cgroup.procs",
                                         "notify_on_release",
                                         "tasks"};

}  // namespace

TEST_CASE("the kernel's list of files, to the name") {
  CHECK(files(Dialect::kKernel, false) == kKernelChild);
  std::set<std::string> root = kKernelChild;
  root.erase("blkio.bfq.weight");
  root.erase("blkio.bfq.weight_device");
  root.insert({"cgroup.sane_behavior", "release_agent"});
  CHECK(files(Dialect::kKernel, true) == root);
}

TEST_CASE("the documented dialect has the kernel's files and more") {
  for (const bool in_root : {false, true}) {
    const auto documented = files(Dialect::kDoc, in_root);
    const auto kernel = files(Dialect::kKernel, in_root);
    CHECK(std::includes(documented.begin(), documented.end(), kernel.begin(), kernel.end()));
    for (const auto* name : {"blkio.weight", "blkio.weight_device", "blkio.leaf_weight",
                             "blkio.leaf_weight_device", "blkio.bfq.weight", "blkio.io_serviced",
                             "blkio.io_serviced_recursive", "blkio.io_service_bytes"}) {
      CAPTURE(name, in_root);
      CHECK(documented.contains(name));
    }
  }
}

TEST_CASE("the documented statistics have both names, in every group, and are not the kernel's") {
  for (const std::string prefix : {"blkio.", "blkio.bfq."}) {
    for (const std::string name :
         {"io_service_time", "io_wait_time", "io_merged", "io_queued", "time", "sectors",
          "avg_queue_size", "group_wait_time", "idle_time", "empty_time", "dequeue"}) {
      const bool recursive = name.starts_with("io_") || name == "time" || name == "sectors";
      for (const bool in_root : {false, true}) {
        CAPTURE(prefix, name, in_root);
        const FileRow* const row = find_file(prefix + name, Dialect::kDoc, in_root);
        REQUIRE(row != nullptr);
        CHECK(row->mode == 0444);
        CHECK((find_file(prefix + name + "_recursive", Dialect::kDoc, in_root) != nullptr) ==
              recursive);
        CHECK(find_file(prefix + name, Dialect::kKernel, in_root) == nullptr);
      }
    }
  }
}

TEST_CASE("a directory's last file is one of the controller's") {
  CHECK(all_files().back().name.starts_with("blkio."));
  CHECK(is_present(all_files().back(), Dialect::kKernel, true));
  CHECK(is_present(all_files().back(), Dialect::kKernel, false));
}

TEST_CASE("every file is found by its name and by its number, and no two share one") {
  std::set<FileNumber> numbers;
  for (const FileRow& row : all_files()) {
    CAPTURE(row.name);
    CHECK(numbers.insert(file_number(row.name)).second);
    CHECK(file_number(row.name) != FileNumber::kDirectory);
    const bool in_root = is_present(row, Dialect::kDoc, true);
    CHECK(find_file(row.name, Dialect::kDoc, in_root) == &row);
    CHECK(find_file(file_number(row.name), Dialect::kDoc, in_root) == &row);
  }
  CHECK(find_file("nope", Dialect::kDoc, true) == nullptr);
  CHECK(find_file("release_agent", Dialect::kDoc, false) == nullptr);
  CHECK(find_file("blkio.weight", Dialect::kKernel, false) == nullptr);
}

TEST_CASE("a file's mode tells what it can do") {
  for (const FileRow& row : all_files()) {
    CAPTURE(row.name);
    CHECK(((row.mode & 0444) != 0) == static_cast<bool>(row.show));
    CHECK(((row.mode & 0222) != 0) == static_cast<bool>(row.store));
  }
}

TEST_CASE_METHOD(KernelCgroup, "a write: the order of the refusals all files share") {
  const GroupId a = mkdir("a");
  const FileRow& serviced = row(a, "blkio.throttle.io_serviced");
  const FileRow& tasks = row(a, "tasks");
  const std::string too_long(4097, ' ');
  REQUIRE(tree.rmdir(GroupId::kRoot, "a", 0));
  const auto store = [&](GroupId group, const FileRow& file, std::string_view text) {
    const auto stored = store_file(services, group, file, text, {});
    return stored ? 0 : stored.error().number;
  };
  CHECK(store(a, tasks, too_long) == E2BIG);  // before ENODEV
  CHECK(store(a, tasks, "1") == ENODEV);
  CHECK(store(a, tasks, "") == ENODEV);
  CHECK(store(GroupId::kRoot, serviced, "") == 0);
  CHECK(store(GroupId::kRoot, serviced, "1") == EINVAL);
  CHECK(store(GroupId::kRoot, serviced, too_long) == E2BIG);
  CHECK(store(GroupId::kRoot, tasks, "x") == EINVAL);
  CHECK(show_file(services, a, tasks).error().number == ENODEV);
}

TEST_CASE_METHOD(KernelCgroup, "4096 bytes are taken, and no more") {
  std::string text = "7:0 1000";
  text.resize(4096, ' ');
  CHECK(write(GroupId::kRoot, "blkio.throttle.read_bps_device", text) == 0);
  CHECK(write(GroupId::kRoot, "blkio.throttle.read_bps_device", text + " ") == E2BIG);
}
