// SPDX-License-Identifier: MIT
// CgroupMirror against a named hierarchy of the kernel of this machine.
#include "control_plane/cgroup_mirror.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>

using namespace blkio;
using namespace blkio::control_plane;

namespace {

constexpr GroupId kA{2};
constexpr GroupId kB{3};
constexpr auto kThread = TaskScope::kThread;
constexpr auto kProcess = TaskScope::kProcess;
using Names = std::vector<std::string>;

std::string mountpoint() {
  return "/unit-test-mirror-" + std::to_string(::getpid());
}

/// A hierarchy and a mirror over it; skips the test where the kernel grants none.
struct Fixture {
  Fixture() {
    auto opened = open_named_hierarchy(mountpoint());
    if (!opened) {
      WARN("skipped: " << opened.error().to_string());
      return;
    }
    hierarchy = opened.value();
    restart();
  }
  ~Fixture() {
    mirror.reset();
    if (hierarchy.root < 0) return;
    CHECK(CgroupMirror::remove_all(hierarchy));
    close_hierarchy(hierarchy);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  bool skipped() const { return mirror == nullptr; }
  void restart() { mirror = CgroupMirror::open(hierarchy).value(); }

  CgroupHierarchy hierarchy;
  std::unique_ptr<CgroupMirror> mirror;
};

/// A process that waits to be ended.
class Sleeper {
 public:
  Sleeper() {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close_range(0, ~0U, 0);  // nothing of ours stays open, or locked, by it
      for (;;) ::pause();
    }
    ::close(ends[1]);
    char byte = 0;
    CHECK(::read(ends[0], &byte, 1) == 0);  // it has closed all
    ::close(ends[0]);
  }
  ~Sleeper() { end(); }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  pid_t pid() const { return pid_; }
  void end() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
};

std::string path_of(pid_t pid, const std::string& label) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/cgroup");
  std::stringstream text;
  text << file.rdbuf();
  return std::string(path_in_hierarchy(text.str(), label).value_or("none"));
}

}  // namespace

TEST_CASE("mirror: the line of a hierarchy") {
  constexpr std::string_view kText =
      "9:name=blkio-1:/a/b c\n8:cpu,blkio:/x:y (deleted)\n7:blkio2:/no\n0::/unified\n";
  CHECK(path_in_hierarchy(kText, "name=blkio-1") == "/a/b c");
  CHECK(path_in_hierarchy(kText, "blkio") == "/x:y (deleted)");
  CHECK(path_in_hierarchy(kText, "cpu") == "/x:y (deleted)");
  CHECK(path_in_hierarchy(kText, "name=blkio") == std::nullopt);
  CHECK(path_in_hierarchy("", "blkio") == std::nullopt);
  CHECK(path_in_hierarchy("8:blkio:/cut", "blkio") == "/cut");
}

TEST_CASE("mirror: the hierarchy's name is one the kernel takes") {
  // "blkio-" + 16 hexadecimal digits + "-" + at most 40 bytes of the path = 63
  const std::string name = hierarchy_name("/" + std::string(60, 'x') + "/a b", 1);
  CHECK(name.size() == 63);
  CHECK(name.substr(22) == "-" + std::string(36, 'x') + "-a-b");
  CHECK(hierarchy_name("/mnt", 1) != hierarchy_name("/mnt", 2));
  CHECK(hierarchy_name("/mnt/a", 1) != hierarchy_name("/mnt-a", 1));
}

TEST_CASE("mirror: groups are directories, members the kernel's") {
  Fixture f;
  if (f.skipped()) return;
  REQUIRE(f.mirror->add(kA, GroupId::kRoot, "a"));
  REQUIRE(f.mirror->add(kB, kA, "b"));
  const Sleeper task;
  REQUIRE(f.mirror->attach(task.pid(), kProcess, kB));
  CHECK(path_of(task.pid(), f.hierarchy.label) == "/a/b");
  CHECK(f.mirror->members(kB, kProcess).value() == std::vector{task.pid()});
  CHECK(f.mirror->members(kA, kThread).value().empty());
  CHECK(f.mirror->group_of(task.pid()).value() == kB);
  const auto busy = f.mirror->remove(kB);
  REQUIRE_FALSE(busy);
  CHECK(busy.error().number == EBUSY);
  REQUIRE(f.mirror->rename(kA, "c"));
  CHECK(path_of(task.pid(), f.hierarchy.label) == "/c/b");
  CHECK(f.mirror->group_of(task.pid()).value() == kB);
  REQUIRE(f.mirror->attach(task.pid(), kProcess, GroupId::kRoot));
  CHECK(f.mirror->group_of(task.pid()).value() == GroupId::kRoot);
  CHECK(f.mirror->remove(kB));
  const auto removed = f.mirror->attach(task.pid(), kThread, kB);
  REQUIRE_FALSE(removed);
  CHECK(removed.error().number == ENODEV);
}

TEST_CASE("mirror: the kernel's errors") {
  Fixture f;
  if (f.skipped()) return;
  REQUIRE(f.mirror->add(kA, GroupId::kRoot, "a"));
  Sleeper task;
  const pid_t gone = task.pid();
  task.end();
  CHECK(f.mirror->attach(gone, kThread, kA).error().number == ESRCH);
  CHECK(f.mirror->attach(2, kThread, kA).error().number == EINVAL);  // kthreadd
  CHECK(is_gone(f.mirror->group_of(gone).error()));
}

TEST_CASE("mirror: names that no directory may have, or that look like something else") {
  Fixture f;
  if (f.skipped()) return;
  const std::string name =
      GENERATE(std::string("tasks"), std::string("cgroup.procs"), std::string(300, 'n'),
               std::string("a (deleted)"), std::string("a:b,c"), std::string("\\n \t\x01\xff"));
  CAPTURE(name);
  REQUIRE(f.mirror->add(kA, GroupId::kRoot, name));
  const Sleeper task;
  REQUIRE(f.mirror->attach(task.pid(), kProcess, kA));
  CHECK(f.mirror->group_of(task.pid()).value() == kA);
  f.restart();
  CHECK(f.mirror->left_behind(GroupId::kRoot) == Names{name});
  REQUIRE(f.mirror->add(kB, GroupId::kRoot, name));  // the same directory again
  CHECK(f.mirror->group_of(task.pid()).value() == kB);
  REQUIRE(f.mirror->rename(kB, "plain"));
  CHECK(f.mirror->left_behind(GroupId::kRoot) == Names{"plain"});
  REQUIRE(f.mirror->rename(kB, name));
  CHECK(f.mirror->left_behind(GroupId::kRoot) == Names{name});
  CHECK(f.mirror->group_of(task.pid()).value() == kB);
}

TEST_CASE("mirror: a later daemon finds groups and members, and takes all away at its end") {
  Fixture f;
  if (f.skipped()) return;
  REQUIRE(f.mirror->add(kA, GroupId::kRoot, "a"));
  REQUIRE(f.mirror->add(kB, kA, "b"));
  const Sleeper task;
  REQUIRE(f.mirror->attach(task.pid(), kProcess, kB));
  f.mirror.reset();
  ::close(f.hierarchy.root);  // as if killed: nothing is mounted, nothing open
  auto reopened = open_named_hierarchy(mountpoint());
  REQUIRE(reopened);
  f.hierarchy = reopened.value();
  f.restart();
  CHECK(f.mirror->left_behind(GroupId::kRoot) == Names{"a"});
  REQUIRE(f.mirror->add(kB, GroupId::kRoot, "a"));
  CHECK(f.mirror->left_behind(kB) == Names{"b"});
  CHECK(f.mirror->group_of(task.pid()).value() == kB);  // the nearest that is known
  REQUIRE(f.mirror->add(kA, kB, "b"));
  CHECK(f.mirror->group_of(task.pid()).value() == kA);
  CHECK(CgroupMirror::remove_all(f.hierarchy));
  CHECK(path_of(task.pid(), f.hierarchy.label) == "/");
}

TEST_CASE("mirror: one daemon at a time, and nothing stays behind") {
  std::string label;
  {
    Fixture f;
    if (f.skipped()) return;
    label = f.hierarchy.label;
    CHECK(open_named_hierarchy(mountpoint()).error().number == EBUSY);
    REQUIRE(f.mirror->add(kA, GroupId::kRoot, "a"));
    REQUIRE(f.mirror->remove(kA));
  }
  CHECK(path_of(::getpid(), label) == "none");
}

TEST_CASE("mirror: a directory that is not ours is used and left alone") {
  Fixture f;
  if (f.skipped()) return;
  REQUIRE(::mkdirat(f.hierarchy.root, "theirs", 0755) == 0);
  REQUIRE(f.mirror->add(kA, GroupId::kRoot, "theirs"));
  REQUIRE(f.mirror->add(kB, kA, "ours"));
  CHECK(CgroupMirror::remove_all(f.hierarchy));
  CHECK(::unlinkat(f.hierarchy.root, "theirs/ours", AT_REMOVEDIR) == -1);
  CHECK(::unlinkat(f.hierarchy.root, "theirs", AT_REMOVEDIR) == 0);
}
