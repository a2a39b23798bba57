// SPDX-License-Identifier: MIT
#include "daemon/mounts.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <sstream>

using namespace blkio::daemon;

TEST_CASE("mountinfo: lines as the kernel writes them") {
  // From proc_pid_mountinfo(5): no optional field, one, several; escapes are \040 blank, \011 tab,
  // \012 newline, \134 backslash.
  std::istringstream lines(
      "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
      "36 22 0:51 / /mnt/blkio rw,nosuid shared:29 - fuse.blkio blkio rw,user_id=0\n"
      "37 22 0:52 / /dev/a\\040b\\011c\\012d\\134e rw shared:1 master:2 - fuse.blkiodev - b rw\n");
  const auto mounts = parse_mountinfo(lines);
  REQUIRE(mounts.size() == 3);
  CHECK(mounts[0].path == "/");
  CHECK(mounts[0].type == "ext4");
  CHECK(mounts[1].id == 36);
  CHECK(mounts[1].minor == 51);
  CHECK(mounts[1].path == "/mnt/blkio");
  CHECK(mounts[1].type == kTreeType);
  CHECK(mounts[2].path == "/dev/a b\tc\nd\\e");
  CHECK(mounts[2].type == kDeviceType);
}

TEST_CASE("mountinfo: what is no such line is left out") {
  std::istringstream lines(
      "\nx\n36 22 0:51 / /mnt rw\n36 22 0:51 / /a\\08 rw - t s o\n"
      "9 9 9:9 / /b\\04 rw - t s o\n");
  const auto mounts = parse_mountinfo(lines);
  REQUIRE(mounts.size() == 2);
  CHECK(mounts[0].path == "/a\\08");
  CHECK(mounts[1].path == "/b\\04");
}

TEST_CASE("mounts: a plain directory is none of ours") {
  char path[] = "/tmp/blkio-mounts-XXXXXX";
  REQUIRE(mkdtemp(path) != nullptr);
  CHECK(remove_dead_mount(path));
  CHECK_FALSE(is_blkio_mount(path));
  CHECK_FALSE(is_blkio_mount("/proc"));
  // Neither takes anything away.
  detach({"/proc", -1, 0});
  abort_connection({"/proc", -1, 0});
  CHECK(std::filesystem::exists("/proc/self"));
  CHECK(remove_dead_mount(std::string(path) + "/missing"));
  std::filesystem::remove(path);
}
