// SPDX-License-Identifier: MIT
/// The names in DEVDIR, as far as they go without a mount.
#include "daemon/device_directory.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using namespace blkio;
using namespace blkio::daemon;
namespace fs = std::filesystem;

namespace {

struct Place {
  Place() {
    char path[] = "/tmp/blkio-devdir-XXXXXX";
    REQUIRE(mkdtemp(path) != nullptr);
    root = path;
  }
  ~Place() { fs::remove_all(root); }
  fs::path root;
};

data_plane::BackingDevice device(const std::string& name) {
  data_plane::BackingDevice device = data_plane::null_backing_device(1u << 20);
  device.name = name;
  device.number = {8, 16};
  return device;
}

/// What add() fails with before it comes to mounting.
int error_of(DeviceDirectory& directory, const std::string& name) {
  const Result<Mount> added = directory.add(device(name), "blkio");
  REQUIRE_FALSE(added);
  return added.error().number;
}

}  // namespace

TEST_CASE("devdir: is made, and taken away if it was made here and is empty") {
  Place place;
  const std::string path = place.root / "devices";
  DeviceDirectory directory(path);
  REQUIRE(directory.create());
  CHECK(fs::is_directory(path));
  SECTION("empty") {
    directory.remove_all();
    CHECK_FALSE(fs::exists(path));
  }
  SECTION("with something of somebody else's") {
    std::ofstream(path + "/note") << "x";
    directory.remove_all();
    CHECK(fs::exists(path + "/note"));
  }
  SECTION("found, not made") {
    DeviceDirectory second(path);
    REQUIRE(second.create());
    second.remove_all();
    CHECK(fs::exists(path));
  }
}

TEST_CASE("devdir: what cannot be one") {
  Place place;
  std::ofstream(place.root / "file") << "x";
  CHECK(DeviceDirectory(place.root / "file").create().error().number == ENOTDIR);
  CHECK(DeviceDirectory(place.root / "no" / "parent").create().error().number == ENOENT);
  fs::create_symlink("nowhere", place.root / "dangling");
  CHECK(DeviceDirectory(place.root / "dangling").create().error().number == ENOTDIR);
}

TEST_CASE("devdir: never replaces what no daemon made") {
  Place place;
  DeviceDirectory directory(place.root);
  REQUIRE(directory.create());
  SECTION("a file") {
    std::ofstream(place.root / "sdb") << "x";
    CHECK(error_of(directory, "sdb") == EEXIST);
    CHECK(fs::file_size(place.root / "sdb") == 1);
  }
  SECTION("links, as in /dev/mapper or /dev/disk/by-id") {
    for (const char* target :
         {"../dm-0", "/dev/sdb", "sdc", ".8:16", ".x/sdb", ".8:16/a/b", "./sdb", ".816/sdb"}) {
      INFO(target);
      fs::create_symlink(target, place.root / "sdb");
      CHECK(error_of(directory, "sdb") == EEXIST);
      CHECK(fs::read_symlink(place.root / "sdb") == target);
      fs::remove(place.root / "sdb");
      directory.remove_all();
    }
  }
  directory.remove_all();
  CHECK_FALSE(fs::exists(place.root / ".8:16"));
}

TEST_CASE("devdir: a link that a killed daemon left is replaced") {
  Place place;
  DeviceDirectory directory(place.root);
  REQUIRE(directory.create());
  fs::create_symlink(".7:3/sdb", place.root / "sdb");
  std::ofstream(place.root / "8:16") << "in the way";
  CHECK(error_of(directory, "sdb") == EEXIST);  // of the second link
  // The first had taken the old one's place; what was begun is undone.
  CHECK_FALSE(fs::exists(fs::symlink_status(place.root / "sdb")));
  directory.remove_all();
  CHECK(fs::exists(place.root / "8:16"));
}
