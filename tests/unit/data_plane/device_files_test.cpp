// SPDX-License-Identifier: MIT
/// The answers that are no I/O, against a replier that remembers them.
#include "data_plane/device_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "fake_kernel.hpp"

using namespace blkio;
using namespace blkio::data_plane;
using test::bytes_of;
using test::FuseReply;

namespace {

constexpr std::uint64_t kNode = test::FakeKernel::kNode;

struct World final : Replier {
  static BackingDevice disk() {
    BackingDevice device = null_backing_device(1u << 20);
    device.name = "disk";
    device.permissions = 0640;
    return device;
  }

  void answer(ReplyTo to, int error, const void* data, std::size_t bytes) override {
    replies.push_back({to.unique, error, std::string(static_cast<const char*>(data), bytes)});
  }
  std::uint64_t send(std::uint32_t opcode, const std::string& body, std::uint64_t node = kNode) {
    Message message{};
    message.header.opcode = opcode;
    message.header.unique = ++unique;
    message.header.nodeid = node;
    message.body = std::as_bytes(std::span(body));
    files.handle(message);
    return unique;
  }
  /// The one reply to a request that is answered at once.
  FuseReply ask(std::uint32_t opcode, const std::string& body, std::uint64_t node = kNode) {
    replies.clear();
    const std::uint64_t asked = send(opcode, body, node);
    REQUIRE(replies.size() == 1);
    CHECK(replies.front().unique == asked);
    return replies.front();
  }
  FuseReply init(std::uint32_t major, std::uint64_t flags, std::size_t body_bytes) {
    fuse_init_in in{};
    in.major = major;
    in.minor = 31;
    in.flags = static_cast<std::uint32_t>(flags);
    in.flags2 = static_cast<std::uint32_t>(flags >> 32);
    return ask(FUSE_INIT, bytes_of(in).substr(0, body_bytes));
  }
  std::uint64_t lock(std::uint32_t opcode, std::uint32_t type, std::uint64_t owner,
                     std::uint32_t flags = 0, std::uint32_t pid = 1) {
    fuse_lk_in in{};
    in.owner = owner;
    in.fh = owner;
    in.lk = {0, INT64_MAX, type, pid};
    in.lk_flags = flags;
    return send(opcode, bytes_of(in));
  }
  /// What came since the last time, as "unique:error".
  std::vector<std::pair<std::uint64_t, int>> ended() {
    std::vector<std::pair<std::uint64_t, int>> all;
    for (const FuseReply& reply : replies) all.emplace_back(reply.unique, reply.error);
    replies.clear();
    return all;
  }

  BackingDevice device = disk();
  Negotiated negotiated;
  std::vector<FuseReply> replies;
  std::uint64_t unique = 0;
  DeviceFiles files{device, *this, negotiated};
};

using Ended = std::vector<std::pair<std::uint64_t, int>>;

}  // namespace

TEST_CASE("files: INIT agrees on what both sides know") {
  World world;
  CHECK_FALSE(world.files.negotiated());
  const auto out = world.init(7, ~0ull, sizeof(fuse_init_in)).as<fuse_init_out>();
  CHECK(out.major == 7);
  CHECK(out.max_write == kMaxTransfer);
  CHECK(out.max_background == 65535);
  CHECK((out.flags & FUSE_POSIX_LOCKS) != 0);
  CHECK((out.flags & FUSE_FLOCK_LOCKS) != 0);
  CHECK((out.flags & FUSE_WRITEBACK_CACHE) == 0);  // never: writes are charged to their writers
  CHECK((out.flags2 & (kInitHasResend >> 32)) != 0);
  CHECK(world.files.negotiated());
}

TEST_CASE("files: INIT of a kernel that has no second word of flags") {
  World world;
  // Up to 7.35 the structure ended behind `flags`: 16 bytes.
  const auto out = world.init(7, ~std::uint64_t{FUSE_INIT_EXT}, 16).as<fuse_init_out>();
  CHECK(out.flags2 == 0);
  CHECK((out.flags & FUSE_MAX_PAGES) != 0);
}

TEST_CASE("files: INIT of another protocol, or of none, is refused") {
  World world;
  CHECK(world.init(8, 0, sizeof(fuse_init_in)).error == EPROTO);
  CHECK(world.init(7, 0, 0).error == EPROTO);
  CHECK_FALSE(world.files.negotiated());
}

TEST_CASE("files: every look-up is a node of its own and the same inode") {
  World world;
  const auto first = world.ask(FUSE_LOOKUP, std::string("disk\0", 5), 1).as<fuse_entry_out>();
  const auto second = world.ask(FUSE_LOOKUP, std::string("disk\0", 5), 1).as<fuse_entry_out>();
  CHECK(first.nodeid != second.nodeid);
  CHECK(first.nodeid > 1);
  CHECK(first.attr.ino == second.attr.ino);
  CHECK(first.attr.size == 1u << 20);
  CHECK(first.attr.mode == (S_IFREG | 0640));
  CHECK(first.entry_valid == 0);
}

TEST_CASE("files: look-ups of what is not there") {
  World world;
  CHECK(world.ask(FUSE_LOOKUP, "dis", 1).error == ENOENT);
  CHECK(world.ask(FUSE_LOOKUP, "diskette", 1).error == ENOENT);
  CHECK(world.ask(FUSE_LOOKUP, "", 1).error == ENOENT);
  CHECK(world.ask(FUSE_LOOKUP, std::string(300, 'x'), 1).error == ENOENT);
  CHECK(world.ask(FUSE_LOOKUP, "disk", 1).error == 0);  // without its closing zero
  CHECK(world.ask(FUSE_LOOKUP, std::string("disk\0", 5), kNode).error == ENOTDIR);
}

TEST_CASE("files: a directory is read in pieces of any size") {
  World world;
  // ".": 24 + 1 -> 32 bytes, "..": 32, "disk": 24 + 4 -> 32.
  const auto read = [&](std::uint64_t offset, std::uint32_t size) {
    fuse_read_in in{};
    in.offset = offset;
    in.size = size;
    return world.ask(FUSE_READDIR, bytes_of(in), 1).body.size();
  };
  CHECK(read(0, 4096) == 96);
  CHECK(read(0, 96) == 96);
  CHECK(read(0, 95) == 64);
  CHECK(read(0, 33) == 32);
  CHECK(read(0, 31) == 0);
  CHECK(read(0, 0) == 0);
  CHECK(read(2, 4096) == 32);
  CHECK(read(3, 4096) == 0);
  CHECK(read(UINT64_MAX, 4096) == 0);
}

TEST_CASE("files: a directory with the longest name") {
  World world;
  world.device.name = std::string(255, 'n');
  fuse_read_in in{};
  in.size = 4096;
  // 24 + 255 = 279 -> 280
  CHECK(world.ask(FUSE_READDIR, bytes_of(in), 1).body.size() == 32 + 32 + 280);
}

TEST_CASE(
    "files: a device can be opened, its directory cannot, nor can a read-only one be written") {
  World world;
  CHECK(world.files.refuse_open(kNode, O_RDWR) == 0);
  CHECK(world.files.refuse_open(1, O_RDONLY) == EISDIR);
  world.device.read_only = true;
  CHECK(world.files.refuse_open(kNode, O_RDONLY) == 0);
  CHECK(world.files.refuse_open(kNode, O_WRONLY) == EROFS);
  world.files.open({9}, 0x12345);
  const auto out = world.replies.back().as<fuse_open_out>();
  CHECK(out.fh == 0x12345);
  CHECK((out.open_flags & FOPEN_DIRECT_IO) != 0);
  CHECK((out.open_flags & FOPEN_KEEP_CACHE) == 0);
}

TEST_CASE("files: no device grows or shrinks") {
  World world;
  const auto resize = [&](std::uint64_t size, std::uint32_t more = 0) {
    fuse_setattr_in in{};
    in.valid = FATTR_SIZE | more;
    in.size = size;
    return world.ask(FUSE_SETATTR, bytes_of(in)).error;
  };
  CHECK(resize(1u << 20, FATTR_FH) == 0);
  CHECK(resize(0) == 0);  // open(2) with O_TRUNC
  CHECK(resize(0, FATTR_FH) == EINVAL);
  CHECK(resize((1u << 20) + 1) == EINVAL);
}

TEST_CASE("files: bodies that are too short are refused, once") {
  World world;
  for (const std::uint32_t opcode : {FUSE_SETATTR, FUSE_READDIR, FUSE_GETLK, FUSE_SETLK,
                                     FUSE_SETLKW, FUSE_FLUSH, FUSE_RELEASE}) {
    CHECK(world.ask(opcode, "").error == EINVAL);
    CHECK(world.ask(opcode, "short").error == EINVAL);
  }
}

TEST_CASE("files: what a device directory cannot do") {
  World world;
  CHECK(world.ask(FUSE_UNLINK, "disk", 1).error == EPERM);
  CHECK(world.ask(FUSE_IOCTL, std::string(sizeof(fuse_ioctl_in), '\0')).error == ENOTTY);
  CHECK(world.ask(FUSE_GETXATTR, "").error == ENOSYS);
  CHECK(world.ask(kOpStatx, "").error == ENOSYS);
  CHECK(world.ask(4000, "").error == ENOSYS);
  CHECK(world.ask(FUSE_DESTROY, "").error == 0);
}

TEST_CASE("files: a lock that is waited for is given, in order, when it is free") {
  World world;
  const auto first = world.lock(FUSE_SETLK, F_WRLCK, 1);
  const auto second = world.lock(FUSE_SETLKW, F_WRLCK, 2);
  const auto third = world.lock(FUSE_SETLKW, F_WRLCK, 3);
  const auto refused = world.lock(FUSE_SETLK, F_RDLCK, 4);
  CHECK(world.ended() == Ended{{first, 0}, {refused, EAGAIN}});
  const auto freed = world.lock(FUSE_SETLK, F_UNLCK, 1);
  CHECK(world.ended() == Ended{{freed, 0}, {second, 0}});
  // close(2) in the process that has it
  fuse_flush_in flush{};
  flush.lock_owner = 2;
  const auto closed = world.send(FUSE_FLUSH, bytes_of(flush));
  CHECK(world.ended() == Ended{{third, 0}, {closed, 0}});
}

TEST_CASE("files: who holds a lock is told") {
  World world;
  world.lock(FUSE_SETLK, F_RDLCK, 1, 0, 4711);
  world.replies.clear();
  world.lock(FUSE_GETLK, F_WRLCK, 2);
  CHECK(world.replies.back().as<fuse_lk_out>().lk.pid == 4711);
  CHECK(world.replies.back().as<fuse_lk_out>().lk.type == F_RDLCK);
  world.lock(FUSE_GETLK, F_RDLCK, 2);
  CHECK(world.replies.back().as<fuse_lk_out>().lk.type == F_UNLCK);
}

TEST_CASE("files: a downgrade lets those in who wait for it") {
  World world;
  world.lock(FUSE_SETLK, F_WRLCK, 1);
  const auto waits = world.lock(FUSE_SETLKW, F_RDLCK, 2);
  world.ended();
  const auto down = world.lock(FUSE_SETLK, F_RDLCK, 1);
  CHECK(world.ended() == Ended{{down, 0}, {waits, 0}});
}

// flock(2): "the existing lock is first removed, and then a new lock is established".
TEST_CASE("files: two who share a flock and both want it alone do not block each other for ever") {
  World world;
  world.lock(FUSE_SETLK, F_RDLCK, 1, FUSE_LK_FLOCK);
  world.lock(FUSE_SETLK, F_RDLCK, 2, FUSE_LK_FLOCK);
  world.ended();
  const auto first = world.lock(FUSE_SETLKW, F_WRLCK, 1, FUSE_LK_FLOCK);
  CHECK(world.ended().empty());
  // Owner 1 has given its shared lock up, so owner 2 is alone.
  const auto second = world.lock(FUSE_SETLKW, F_WRLCK, 2, FUSE_LK_FLOCK);
  CHECK(world.ended() == Ended{{second, 0}});
  fuse_release_in release{};
  release.fh = 2;
  const auto closed = world.send(FUSE_RELEASE, bytes_of(release));
  CHECK(world.ended() == Ended{{first, 0}, {closed, 0}});
}

TEST_CASE("files: waits end with a signal, with a death, with the daemon") {
  World world;
  world.lock(FUSE_SETLK, F_WRLCK, 1);
  const auto signalled = world.lock(FUSE_SETLKW, F_WRLCK, 2, 0, 22);
  const auto dies = world.lock(FUSE_SETLKW, F_WRLCK, 3, 0, 33);
  const auto foreign = world.lock(FUSE_SETLKW, F_WRLCK, 4, 0, 0);  // of another pid namespace
  world.ended();
  CHECK_FALSE(world.files.interrupt(999));
  CHECK(world.files.interrupt(signalled));
  CHECK_FALSE(world.files.interrupt(signalled));
  CHECK(world.ended() == Ended{{signalled, EINTR}});
  world.files.drop_dead_waiters([](pid_t pid) { return pid == 33 || pid == 0; });
  CHECK(world.ended() == Ended{{dies, EINTR}});
  world.files.fail_waiting(EIO);
  CHECK(world.ended() == Ended{{foreign, EIO}});
  CHECK_FALSE(world.files.has_waiters());
}
