// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "blkioctl/control_client.hpp"
#include "blkioctl/group_files.hpp"
#include "blkioctl/mount_finder.hpp"

using namespace blkio::blkioctl;
namespace fs = std::filesystem;

namespace {

class Scratch {
 public:
  Scratch() {
    std::string name = (fs::temp_directory_path() / "blkioctl-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Scratch() { fs::remove_all(path_); }
  std::string path(const std::string& name = "") const { return path_ + "/" + name; }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }

 private:
  std::string path_;
};

const auto anything = [](const std::string&) { return true; };

}  // namespace

TEST_CASE("blkioctl: mounts are found by type, each once, escapes resolved") {
  const Scratch scratch;
  const auto table = scratch.file("mounts",
                                  "proc /proc proc rw 0 0\n"
                                  "blkio /mnt/a\\040b fuse.blkio rw,nosuid 0 0\n"
                                  "blkio /dev/blkio/.7:0 fuse.blkiodev rw 0 0\n"
                                  "cgroup /sys/fs/cgroup/blkio cgroup rw,blkio 0 0\n"
                                  "other /mnt/c fuse.blkio rw 0 0\n"
                                  "again /mnt/c fuse.blkio rw 0 0\n");
  CHECK(blkio_mounts(table.c_str()).value() == std::vector<std::string>{"/mnt/a b", "/mnt/c"});
  CHECK(blkio_mounts(scratch.path("none").c_str()).error().number == ENOENT);
}

TEST_CASE("blkioctl: only a single tree is chosen without being asked for") {
  CHECK(choose_mount({"/a"}, anything).value() == "/a");
  CHECK(choose_mount({"/a", "/b"}, [](const auto& path) { return path == "/b"; }).value() == "/b");
  CHECK_FALSE(choose_mount({}, anything));
  CHECK_FALSE(choose_mount({"/a"}, [](const auto&) { return false; }));
  const auto several = choose_mount({"/a", "/b"}, anything);
  REQUIRE_FALSE(several);
  CHECK(several.error().to_string() == "several blkio mounts, choose one with -m: /a, /b");
}

TEST_CASE("blkioctl: a mount that is asked for need not be one") {
  const Scratch scratch;
  fs::create_directory(scratch.path("real"));
  fs::create_directory_symlink("real", scratch.path("link"));
  CHECK(find_mount(scratch.path("link")).value() == fs::canonical(scratch.path("real")));
  CHECK(find_mount(scratch.path("none")).error().number == ENOENT);
}

TEST_CASE("blkioctl: groups are paths below the mount") {
  CHECK(group_path("/m", "").value() == "/m");
  CHECK(group_path("/m", "/").value() == "/m");
  CHECK(group_path("/m", ".").value() == "/m");
  CHECK(group_path("/m", "a/b").value() == "/m/a/b");
  CHECK(group_path("/m", "//a//b/").value() == "/m/a/b");
  CHECK(group_path("/m", "..x").value() == "/m/..x");
  CHECK(group_path("/m", "..").error().number == EINVAL);
  CHECK(group_path("/m", "/a/../../etc").error().number == EINVAL);
}

TEST_CASE("blkioctl: groups as the daemon knows them") {
  CHECK(group_name("").value() == "/");
  CHECK(group_name("/").value() == "/");
  CHECK(group_name("a//b/").value() == "/a/b");
  CHECK(group_name("./a").value() == "/a");
  CHECK(group_name("a/../b").error().number == EINVAL);
}

TEST_CASE("blkioctl: files are read whole and written in one piece") {
  const Scratch scratch;
  const std::string long_text(10'000, 'x');
  CHECK(read_file(scratch.file("f", long_text)).value() == long_text);
  CHECK(read_file(scratch.file("e", "")).value().empty());
  CHECK(read_file(scratch.path("none")).error().to_string() ==
        scratch.path("none") + ": No such file or directory");

  CHECK(write_file("/dev/full", "8:0 1").error().to_string() ==
        "/dev/full: '8:0 1': No space left on device");
  CHECK(write_file(scratch.path("none"), "1").error().number == ENOENT);
  CHECK_FALSE(fs::exists(scratch.path("none")));  // never made
}

TEST_CASE("blkioctl: groups below a group, parents first") {
  const Scratch scratch;
  fs::create_directories(scratch.path("b/x y/z"));
  fs::create_directories(scratch.path("a"));
  scratch.file("tasks", "");
  scratch.file("b/tasks", "");
  CHECK(groups_below(scratch.path()).value() ==
        std::vector<std::string>{"a", "b", "b/x y", "b/x y/z"});
  CHECK(groups_below(scratch.path("b")).value() == std::vector<std::string>{"x y", "x y/z"});
  CHECK(groups_below(scratch.path("a")).value().empty());
  CHECK(groups_below(scratch.path("none")).error().number == ENOENT);
}

TEST_CASE("blkioctl: no daemon, no answer") {
  const Scratch scratch;
  const auto path = scratch.path("none.sock");
  CHECK(ask_daemon(path, {{"command", "status"}}).error().to_string() ==
        path + ": No such file or directory");
}
