// SPDX-License-Identifier: MIT
#include "cgroupfs/fuse_session.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "unit/cgroupfs/cgroup_fixture.hpp"
#include "unit/cgroupfs/fuse_client.hpp"

using namespace blkio;
using namespace blkio::cgroupfs;
using namespace blkio::test;

namespace {

constexpr std::uint64_t kRootNode = FUSE_ROOT_ID;
constexpr auto* kReadBps = "blkio.throttle.read_bps_device";

/// A kernel and a daemon that have greeted each other; the clock stands still until it is moved.
struct Conversation : KernelCgroup {
  Conversation() {
    start();
    REQUIRE(client.init().error == 0);
  }
  void start(const FuseSession::InitRequest& resume = {}) {
    session.reset();
    session = FuseSession::open(
                  client.daemon_end(), services, [this] { return now; }, resume)
                  .value();
    client.serve_by(*session);
  }
  std::uint64_t open(std::uint64_t node) {
    return client.open(node, O_RDWR).as<fuse_open_out>().fh;
  }
  std::string read_all(std::uint64_t node) {
    const std::uint64_t handle = open(node);
    const FuseReply reply = client.read(node, handle, 0, 65536);
    client.release(node, handle);
    return reply.error == 0 ? reply.body : "errno " + std::to_string(reply.error);
  }

  WallTimeNs now = 1000 * kSecondNs;
  FuseClient client;
  std::unique_ptr<FuseSession> session;
};

}  // namespace

TEST_CASE_METHOD(Conversation, "FUSE: names are looked up and never cached") {
  const auto made = client.mkdir(kRootNode, "a", 0700).as<fuse_entry_out>();
  CHECK(made.attr.mode == (S_IFDIR | 0700));
  const auto found = client.lookup(kRootNode, "a").as<fuse_entry_out>();
  CHECK(found.nodeid == made.nodeid);
  CHECK(found.attr.ino == found.nodeid);
  CHECK(found.entry_valid + found.entry_valid_nsec == 0);
  const auto tasks = client.lookup(made.nodeid, "tasks").as<fuse_entry_out>();
  CHECK(tasks.attr.mode == (S_IFREG | 0644));
  CHECK(tasks.attr.size == 0);
  CHECK(client.lookup(kRootNode, "nope").error == ENOENT);
  CHECK(client.lookup(made.nodeid, "release_agent").error == ENOENT);
  CHECK(client.lookup(12345, "tasks").error == ENOENT);
}

// A system call asks for a directory's permissions right after it has looked the directory up.
TEST_CASE_METHOD(Conversation, "FUSE: attributes are good for a moment, and for no longer") {
  const auto made = client.mkdir(kRootNode, "a").as<fuse_entry_out>();
  const auto found = client.lookup(kRootNode, "a").as<fuse_entry_out>();
  for (const fuse_entry_out& entry : {made, found}) {
    CHECK(entry.attr_valid == 0);
    CHECK(entry.attr_valid_nsec == 1'000'000);
  }
}

TEST_CASE_METHOD(Conversation, "FUSE: groups and files belong to who made the group") {
  client.uid = 1000;
  client.gid = 1001;
  const std::uint64_t a = client.mkdir(kRootNode, "a").as<fuse_entry_out>().nodeid;
  CHECK(client.getattr(a).uid == 1000);
  const fuse_attr tasks = client.getattr(client.walk("a/tasks"));
  CHECK(tasks.uid == 1000);
  CHECK(tasks.gid == 1001);
  CHECK(tasks.mtime == 1000);
  CHECK(client.getattr(client.walk("tasks")).uid == 0);
}

TEST_CASE_METHOD(Conversation, "FUSE: link counts") {
  CHECK(client.getattr(kRootNode).nlink == 2);
  const std::uint64_t a = client.mkdir(kRootNode, "a").as<fuse_entry_out>().nodeid;
  client.mkdir(kRootNode, "b");
  client.mkdir(a, "c");
  CHECK(client.getattr(kRootNode).nlink == 4);
  CHECK(client.getattr(a).nlink == 3);
  CHECK(client.getattr(client.walk("tasks")).nlink == 1);
}

TEST_CASE_METHOD(Conversation, "FUSE: a rule is written and read") {
  const std::uint64_t node = client.walk(kReadBps);
  const std::uint64_t handle = open(node);
  CHECK(client.write(node, handle, "7:0 1234\n", 777).as<fuse_write_out>().size == 9);
  CHECK(client.write(node, handle, "7:0 x").error == EINVAL);
  CHECK(client.write(node, handle, "99:99 1").error == ENODEV);
  CHECK(client.write(node, handle, std::string(4097, ' ')).error == E2BIG);
  CHECK(client.read(node, handle, 0, 4).body == "7:0 ");
  CHECK(client.read(node, handle, 4, 100).body == "1234\n");
  CHECK(client.read(node, handle, 9, 100).body.empty());
  CHECK(client.read(node, handle, 5, 2).body == "23");
  CHECK(client.release(node, handle).error == 0);
  CHECK(controller.limit(GroupId::kRoot, kA, Limit::kReadBps) == 1234U);
}

TEST_CASE_METHOD(Conversation, "FUSE: a text is kept while it is read piece by piece") {
  const std::uint64_t node = client.walk("notify_on_release");
  const std::uint64_t reader = open(node);
  const std::uint64_t writer = open(node);
  CHECK(client.read(node, reader, 0, 1).body == "0");
  client.write(node, writer, "1");
  CHECK(client.read(node, reader, 1, 1).body == "\n");
  CHECK(client.read(node, reader, 2, 10).body.empty());
  CHECK(client.read(node, reader, 0, 10).body == "1\n");
}

TEST_CASE_METHOD(Conversation, "FUSE: what was read in part is read to its end") {
  const std::uint64_t a = client.mkdir(kRootNode, "a").as<fuse_entry_out>().nodeid;
  const std::uint64_t node = client.lookup(a, "blkio.bfq.weight").as<fuse_entry_out>().nodeid;
  const std::uint64_t handle = open(node);
  CHECK(client.read(node, handle, 0, 1).body == "1");
  CHECK(client.rmdir(kRootNode, "a").error == 0);
  CHECK(client.read(node, handle, 1, 9).body == "00\n");
  CHECK(client.read(node, handle, 4, 9).error == ENODEV);
  CHECK(client.read(node, handle, 0, 9).error == ENODEV);
}

TEST_CASE_METHOD(Conversation, "FUSE: a file has news until it is read") {
  const std::uint64_t a = client.mkdir(kRootNode, "a").as<fuse_entry_out>().nodeid;
  const std::uint64_t node = client.lookup(a, "tasks").as<fuse_entry_out>().nodeid;
  const std::uint64_t handle = open(node);
  constexpr unsigned kReady = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
  const auto poll_file = [&] {
    fuse_poll_in in{};
    in.fh = handle;
    return client.call(FUSE_POLL, node, {bytes_of(in)}).as<fuse_poll_out>().revents;
  };
  CHECK(poll_file() == (kReady | POLLPRI | POLLERR));
  client.read(node, handle, 0, 9);
  CHECK(poll_file() == kReady);
  CHECK(client.rmdir(kRootNode, "a").error == 0);
  CHECK(poll_file() == (kReady | POLLPRI | POLLERR));
}

TEST_CASE("FUSE: poll(2) waits for the news of a file") {
  DocCgroup cgroup;
  FuseClient client;
  const auto session = FuseSession::open(client.daemon_end(), cgroup.services).value();
  client.serve_by(*session);
  REQUIRE(client.init().error == 0);
  const GroupId group = cgroup.mkdir("a");
  REQUIRE(cgroup.write(group, kReadBps, "7:0 100") == 0);
  const std::uint64_t node = client.walk("a/blkio.throttle.stat");
  const std::uint64_t handle = client.open(node, O_RDONLY).as<fuse_open_out>().fh;
  const auto change = [&](std::uint64_t changes) {
    ThrottleReport report;
    report.changes = changes;
    cgroup.controller.set_report(group, kA, report);
    session->tell_news();
  };
  constexpr std::uint64_t kKernelHandle = 77;
  const auto poll_file = [&](bool waits) {
    fuse_poll_in in{};
    in.fh = handle;
    in.kh = kKernelHandle;
    in.flags = waits ? FUSE_POLL_SCHEDULE_NOTIFY : 0;
    const auto events = client.call(FUSE_POLL, node, {bytes_of(in)}).as<fuse_poll_out>().revents;
    return (events & POLLPRI) != 0;
  };
  const auto was_woken = [&] {
    const auto notice = client.notice();
    if (!notice) return false;
    fuse_notify_poll_wakeup_out out{};
    REQUIRE(notice->body.size() == sizeof out);
    std::memcpy(&out, notice->body.data(), sizeof out);
    CHECK(-notice->error == FUSE_NOTIFY_POLL);
    CHECK(out.kh == kKernelHandle);
    return true;
  };

  CHECK(poll_file(false));  // nothing has been read
  client.read(node, handle, 0, 4096);
  CHECK_FALSE(poll_file(false));
  CHECK_FALSE(session->is_watched());
  change(1);
  CHECK_FALSE(was_woken());  // nobody waited
  CHECK(poll_file(false));
  client.read(node, handle, 0, 4096);

  CHECK_FALSE(poll_file(true));
  CHECK(session->is_watched());
  change(1);
  CHECK_FALSE(was_woken());  // nothing has happened
  change(2);
  CHECK(was_woken());
  CHECK_FALSE(session->is_watched());
  change(3);
  CHECK_FALSE(was_woken());  // told once
  CHECK(poll_file(true));
  client.read(node, handle, 0, 4096);

  SECTION("the group goes") {
    CHECK_FALSE(poll_file(true));
    CHECK(client.rmdir(kRootNode, "a").error == 0);
    CHECK(was_woken());
    CHECK(poll_file(true));
  }
  SECTION("the file is closed") {
    CHECK_FALSE(poll_file(true));
    client.release(node, handle);
    change(4);
    CHECK_FALSE(was_woken());
    CHECK_FALSE(session->is_watched());
  }
  SECTION("the session ends") {
    CHECK_FALSE(poll_file(true));
  }
}

TEST_CASE_METHOD(Conversation, "FUSE: no file can be made larger than 2^31 - 1 bytes") {
  const std::uint64_t node = client.walk("tasks");
  fuse_setattr_in in{};
  in.valid = FATTR_SIZE;
  in.size = 2147483647;
  CHECK(client.setattr(node, in).error == 0);
  in.size = 2147483648;
  CHECK(client.setattr(node, in).error == EFBIG);
}

TEST_CASE_METHOD(Conversation, "FUSE: the set-group-id bit hands a directory's group down") {
  const std::uint64_t a = client.mkdir(kRootNode, "a").as<fuse_entry_out>().nodeid;
  fuse_setattr_in in{};
  in.valid = FATTR_MODE | FATTR_GID;
  in.mode = S_IFDIR | 02755;
  in.gid = 5;
  CHECK(client.setattr(a, in).error == 0);
  const auto b = client.mkdir(a, "b", 0700).as<fuse_entry_out>();
  CHECK(b.attr.mode == (S_IFDIR | 02700));
  CHECK(b.attr.gid == 5);
  CHECK(client.lookup(b.nodeid, "tasks").as<fuse_entry_out>().attr.gid == 5);
}

TEST_CASE_METHOD(Conversation, "FUSE: open") {
  const std::uint64_t tasks = client.walk("tasks");
  const auto opened = client.open(tasks, O_RDONLY).as<fuse_open_out>();
  CHECK((opened.open_flags & FOPEN_DIRECT_IO) != 0);
  CHECK(client.open(tasks, O_RDONLY | O_DIRECT).error == EINVAL);
  CHECK(client.open(tasks, O_WRONLY | O_TRUNC | O_APPEND).error == 0);
  const std::uint64_t reset = client.walk("blkio.reset_stats");
  CHECK(read_all(reset) == "errno " + std::to_string(EINVAL));
}

TEST_CASE_METHOD(Conversation, "FUSE: the writer is the thread of the request") {
  const std::uint64_t node = client.walk("tasks");
  client.tid = 77;
  client.uid = 1000;
  membership.add_thread(77, 70);
  CHECK(client.write(node, open(node), "0").error == 0);
  CHECK(membership.last_attach()->writer.tid == 77);
  CHECK(membership.last_attach()->writer.uid == 1000);
}

TEST_CASE_METHOD(Conversation, "FUSE: rights are those of who opened the file") {
  services.may_name_agent = [](const Writer& who) { return who.uid == 0; };
  start();
  REQUIRE(client.init().error == 0);
  const std::uint64_t tasks = client.walk("tasks");
  const std::uint64_t agent = client.walk("release_agent");
  membership.add_thread(77, 70);
  client.tid = 77;
  client.uid = 1000;
  const std::uint64_t users_tasks = open(tasks);
  const std::uint64_t users_agent = open(agent);
  client.uid = 0;  // a program of root's has inherited both
  CHECK(client.write(tasks, users_tasks, "0").error == 0);
  CHECK(membership.last_attach()->writer.tid == 77);
  CHECK(membership.last_attach()->writer.uid == 1000);
  CHECK(client.write(agent, users_agent, "/a").error == EPERM);
  const std::uint64_t roots_agent = open(agent);
  client.uid = 1000;
  CHECK(client.write(agent, roots_agent, "/a").error == 0);
}

TEST_CASE_METHOD(Conversation, "FUSE: a removed group's open files answer ENODEV") {
  const std::uint64_t a = client.mkdir(kRootNode, "a").as<fuse_entry_out>().nodeid;
  const std::uint64_t node = client.walk("a/tasks");
  const std::uint64_t handle = open(node);
  CHECK(client.rmdir(kRootNode, "a").error == 0);
  CHECK(client.read(node, handle, 0, 100).error == ENODEV);
  CHECK(client.write(node, handle, "1").error == ENODEV);
  CHECK(client.open(node, O_RDONLY).error == ENODEV);
  CHECK(client.mkdir(a, "x").error == ENOENT);
  CHECK(client.lookup(a, "tasks").error == ENOENT);
  CHECK((client.getattr(node).mode & S_IFMT) == S_IFREG);  // fstat(2) still works
  CHECK((client.getattr(a).mode & S_IFMT) == S_IFDIR);
  CHECK(client.release(node, handle).error == 0);
}

TEST_CASE_METHOD(Conversation, "FUSE: an open file follows its group's rename") {
  client.mkdir(kRootNode, "a");
  const std::uint64_t node = client.walk("a/notify_on_release");
  const std::uint64_t handle = open(node);
  CHECK(client.rename(kRootNode, "a", kRootNode, "c").error == 0);
  CHECK(client.write(node, handle, "1").error == 0);
  CHECK(client.walk("c/notify_on_release") == node);
  CHECK(read_all(node) == "1\n");
  CHECK(client.rename(kRootNode, "c", kRootNode, "d", RENAME_NOREPLACE).error == EINVAL);
  CHECK(client.rename(kRootNode, "tasks", kRootNode, "t").error == ENOTDIR);
}

TEST_CASE_METHOD(Conversation, "FUSE: what nobody may make or remove") {
  using namespace std::string_view_literals;
  fuse_mknod_in mknod{};
  mknod.mode = S_IFIFO | 0644;
  CHECK(client.call(FUSE_MKNOD, kRootNode, {bytes_of(mknod), "f\0"sv}).error == EPERM);
  mknod.mode = S_IFREG | 0644;
  CHECK(client.call(FUSE_MKNOD, kRootNode, {bytes_of(mknod), "f\0"sv}).error == EACCES);
  const fuse_create_in create{};
  CHECK(client.call(FUSE_CREATE, kRootNode, {bytes_of(create), "f\0"sv}).error == EACCES);
  CHECK(client.call(FUSE_SYMLINK, kRootNode, {"l\0target\0"sv}).error == EPERM);
  fuse_link_in link{};
  link.oldnodeid = client.walk("tasks");
  CHECK(client.call(FUSE_LINK, kRootNode, {bytes_of(link), "l\0"sv}).error == EPERM);
  CHECK(client.call(FUSE_UNLINK, kRootNode, {"tasks\0"sv}).error == EPERM);
}

TEST_CASE_METHOD(Conversation, "FUSE: mode, owner and times are kept, sizes are not") {
  const std::uint64_t node = client.walk("blkio.throttle.io_serviced");
  fuse_setattr_in in{};
  in.valid = FATTR_MODE | FATTR_UID | FATTR_GID;
  in.mode = S_IFREG | 0600;
  in.uid = 1000;
  in.gid = 1001;
  CHECK(client.setattr(node, in).error == 0);
  fuse_attr attr = client.getattr(node);
  CHECK(attr.mode == (S_IFREG | 0600));
  CHECK(attr.uid == 1000);
  CHECK(attr.gid == 1001);

  in = {};
  in.valid = FATTR_MTIME | FATTR_ATIME_NOW;
  in.mtime = 500;
  now = 2000 * kSecondNs;
  CHECK(client.setattr(node, in).error == 0);
  attr = client.getattr(node);
  CHECK(attr.mtime == 500);
  CHECK(attr.atime == 2000);
  CHECK(attr.ctime == 2000);

  in = {};
  in.valid = FATTR_SIZE;
  in.size = 5;
  CHECK(client.setattr(node, in).error == 0);
  CHECK(client.getattr(node).size == 0);
  CHECK(client.getattr(node).mtime == 2000);
}

TEST_CASE_METHOD(Conversation, "FUSE: times before 1970 and beyond what nanoseconds can count") {
  const std::uint64_t node = client.walk("tasks");
  fuse_setattr_in in{};
  in.valid = FATTR_MTIME | FATTR_ATIME;
  in.mtime = static_cast<std::uint64_t>(-2);  // 1969-12-31 23:59:58.5
  in.mtimensec = 500'000'000;
  in.atime = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  CHECK(client.setattr(node, in).error == 0);
  const fuse_attr attr = client.getattr(node);
  CHECK(static_cast<std::int64_t>(attr.mtime) == -2);
  CHECK(attr.mtimensec == 500'000'000);
  CHECK(attr.atime == 9'223'372'031U);  // 2^63 ns are 9223372036.8 s; 5 s are kept clear
}

TEST_CASE_METHOD(Conversation, "FUSE: a write that succeeds updates the file's time") {
  const std::uint64_t node = client.walk("notify_on_release");
  const std::uint64_t handle = open(node);
  now = 2000 * kSecondNs;
  client.write(node, handle, "x");
  CHECK(client.getattr(node).mtime == 0);  // as the fixture's root was made
  client.write(node, handle, "1");
  CHECK(client.getattr(node).mtime == 2000);
}

TEST_CASE_METHOD(Conversation, "FUSE: extended attributes") {
  using namespace std::string_view_literals;
  const std::uint64_t node = client.walk("tasks");
  fuse_getxattr_in get{};
  get.size = 100;
  CHECK(client.call(FUSE_GETXATTR, node, {bytes_of(get), "security.capability\0"sv}).error ==
        ENODATA);
  CHECK(client.call(FUSE_LISTXATTR, node, {bytes_of(get)}).body.empty());
  fuse_setxattr_in set{};
  set.size = 2;
  // Without FUSE_SETXATTR_EXT the structure ends before its last two members.
  const std::string_view short_set = bytes_of(set).substr(0, FUSE_COMPAT_SETXATTR_IN_SIZE);
  CHECK(client.call(FUSE_SETXATTR, node, {short_set, "user.a\0"sv, "hi"}).error == 0);
  CHECK(client.call(FUSE_GETXATTR, node, {bytes_of(get), "user.a\0"sv}).body == "hi");
  CHECK(client.call(FUSE_LISTXATTR, node, {bytes_of(get)}).body == "user.a\0"sv);
  get.size = 1;
  CHECK(client.call(FUSE_GETXATTR, node, {bytes_of(get), "user.a\0"sv}).error == ERANGE);
  get.size = 0;
  CHECK(client.call(FUSE_GETXATTR, node, {bytes_of(get), "user.a\0"sv})
            .as<fuse_getxattr_out>()
            .size == 2);
  CHECK(client.call(FUSE_REMOVEXATTR, node, {"user.a\0"sv}).error == 0);
}

TEST_CASE_METHOD(Conversation, "FUSE: a directory lists groups, then files, one of blkio's last") {
  client.mkdir(kRootNode, "zz");
  client.mkdir(kRootNode, "aa");
  std::vector<FuseEntry> entries;
  std::uint64_t after = 0;
  for (;;) {  // pages that hold two or three entries
    const auto page = client.readdir(kRootNode, after, 160);
    if (page.empty()) break;
    entries.insert(entries.end(), page.begin(), page.end());
    after = page.back().cookie;
  }
  // ".", "..", 2 groups and the 19 files of the kernel's root
  REQUIRE(entries.size() == 23);
  CHECK(entries[0].name == ".");
  CHECK(entries[1].name == "..");
  CHECK(entries[2].name == "zz");
  CHECK(entries[3].name == "aa");
  CHECK(entries[3].type == DT_DIR);
  CHECK(entries[3].node == client.walk("aa"));
  CHECK(entries[4].type == DT_REG);
  CHECK(entries.back().name.substr(0, 6) == "blkio.");
}

TEST_CASE_METHOD(Conversation, "FUSE: a listing goes on rightly while groups come and go") {
  for (const auto* name : {"a", "b", "c"}) client.mkdir(kRootNode, name);
  const auto first = client.readdir(kRootNode, 0, 120);  // ".", ".." and "a", 32 bytes each
  REQUIRE(first.back().name == "a");
  client.rmdir(kRootNode, "a");
  client.rmdir(kRootNode, "b");
  client.mkdir(kRootNode, "d");
  const auto rest = client.readdir(kRootNode, first.back().cookie, 65536);
  REQUIRE(rest.size() >= 2);
  CHECK(rest[0].name == "c");
  CHECK(rest[1].name == "d");
}

TEST_CASE_METHOD(Conversation, "FUSE: odd calls") {
  const std::uint64_t node = client.walk("tasks");
  const fuse_fsync_in fsync{};
  CHECK(client.call(FUSE_FSYNC, node, {bytes_of(fsync)}).error == 0);
  CHECK(client.call(FUSE_FSYNCDIR, kRootNode, {bytes_of(fsync)}).error == EINVAL);
  const fuse_ioctl_in ioctl{};
  CHECK(client.call(FUSE_IOCTL, node, {bytes_of(ioctl)}).error == ENOTTY);
  CHECK(client.call(FUSE_STATFS, kRootNode).as<fuse_statfs_out>().st.bsize == 4096);
}

TEST_CASE_METHOD(Conversation, "FUSE: one call answers a bounded batch and never waits") {
  for (int i = 0; i < 5; ++i) client.send(FUSE_STATFS, kRootNode, {});
  CHECK(session->process_pending(3));
  for (int i = 0; i < 3; ++i) CHECK(client.receive().error == 0);
  CHECK_FALSE(client.has_reply());
  CHECK(session->process_pending(3));
  CHECK(client.has_reply());
  CHECK(session->process_pending(3));  // nothing there: comes back at once
}

TEST_CASE_METHOD(Conversation, "FUSE: the session ends with its connection") {
  client.hang_up();
  CHECK_FALSE(session->process_pending());
}

TEST_CASE_METHOD(Conversation, "FUSE: another process carries on, open files included") {
  const std::uint64_t node = client.walk("notify_on_release");
  const std::uint64_t handle = open(node);
  CHECK(client.read(node, handle, 0, 1).body == "0");
  const FuseSession::InitRequest init = session->init_request();
  now += kSecondNs;
  start(init);
  CHECK_FALSE(client.has_reply());  // the kernel does not hear of it
  CHECK(client.write(node, handle, "1").error == 0);
  CHECK(client.read(node, handle, 0, 10).body == "1\n");
  CHECK(open(node) != handle);
  CHECK(session->init_request() == init);
}
