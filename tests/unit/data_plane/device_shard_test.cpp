// SPDX-License-Identifier: MIT
/// A whole shard, driven turn by turn: messages in, replies out, time as the test says.
#include "data_plane/device_shard.hpp"

#include <fcntl.h>
#include <linux/falloc.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "shard_world.hpp"

using namespace blkio;
using namespace blkio::data_plane;
using test::bytes_of;
using test::FuseReply;
using test::kBytes;
using test::kForeignThread;
using test::kSlow;
using test::kSlowThread;
using World = test::ShardWorld;

namespace {

std::string pattern(std::size_t bytes) {
  std::string text(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) text[i] = static_cast<char>('a' + i * 7 % 23);
  return text;
}

}  // namespace

TEST_CASE("shard: from INIT to data, and nothing is left over") {
  World world;
  fuse_init_in init{};
  init.major = 7;
  init.minor = 38;
  CHECK(world.reply_to(world.kernel.send(FUSE_INIT, bytes_of(init))).error == 0);
  CHECK(world.shard->negotiated());
  const auto look_up = world.kernel.send(FUSE_LOOKUP, std::string("disk\0", 5), 1);
  CHECK(world.reply_to(look_up).as<fuse_entry_out>().attr.size == kBytes);
  const auto opened = world.reply_to(world.kernel.send(FUSE_OPEN, bytes_of(fuse_open_in{})));
  CHECK(opened.error == 0);

  for (const std::size_t bytes : {1, 512, 4096, 5000, 65536}) {
    const std::string data = pattern(bytes);
    const FuseReply written = world.reply_to(world.kernel.write(1000, data));
    CHECK(written.as<fuse_write_out>().size == bytes);
    const auto read = world.kernel.read(1000, static_cast<std::uint32_t>(bytes));
    CHECK(world.reply_to(read).body == data);
  }
  CHECK(world.reply_to(world.kernel.send(FUSE_FSYNC, bytes_of(fuse_fsync_in{}))).error == 0);
  world.kernel.send(FUSE_FORGET, bytes_of(fuse_forget_in{}));
  CHECK(world.settle().empty());
  CHECK(world.leftover() == 0);
  CHECK(world.shard->drained());
}

TEST_CASE("shard: the end of the device") {
  World world;
  auto& kernel = world.kernel;
  CHECK(world.reply_to(kernel.read(kBytes, 4096)).body.empty());
  CHECK(world.reply_to(kernel.read(UINT64_MAX - 100, 4096)).body.empty());
  CHECK(world.reply_to(kernel.read(kBytes - 10, 4096)).body.size() == 10);
  CHECK(world.reply_to(kernel.write(kBytes - 10, pattern(100))).as<fuse_write_out>().size == 10);
  CHECK(world.reply_to(kernel.write(kBytes, "x")).error == ENOSPC);
  CHECK(world.reply_to(kernel.write(UINT64_MAX, "x")).error == ENOSPC);
  CHECK(world.disk.content().substr(kBytes - 10) == pattern(10));
}

TEST_CASE("shard: direct I/O is in whole blocks") {
  for (const std::uint32_t block : {512u, 4096u}) {
    World world(block);
    auto& kernel = world.kernel;
    CHECK(world.reply_to(kernel.read(block / 2, block, O_DIRECT)).error == EINVAL);
    CHECK(world.reply_to(kernel.read(0, block / 2, O_DIRECT)).error == EINVAL);
    CHECK(world.reply_to(kernel.write(0, pattern(block + 1), O_DIRECT)).error == EINVAL);
    CHECK(world.reply_to(kernel.read(block, block, O_DIRECT)).body.size() == block);
    CHECK(world.reply_to(kernel.write(block, pattern(block), O_DIRECT)).error == 0);
    CHECK(world.disk.content().substr(block, block) == pattern(block));
  }
}

TEST_CASE("shard: fallocate is discard or write-zeroes, within the device") {
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  constexpr int kZero = FALLOC_FL_ZERO_RANGE;
  constexpr int kZeroKeep = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  World world;
  world.disk.fill(std::string(kBytes, 'x'));
  const auto error = [&](int mode, std::uint64_t offset, std::uint64_t length) {
    return world.reply_to(world.kernel.fallocate(mode, offset, length)).error;
  };
  CHECK(error(kPunch, 512, 1024) == 0);
  CHECK(world.disk.content().substr(511, 1026) == 'x' + std::string(1024, '\0') + 'x');
  CHECK(error(0, 0, 512) == EOPNOTSUPP);
  CHECK(error(FALLOC_FL_KEEP_SIZE, 0, 512) == EOPNOTSUPP);
  CHECK(error(FALLOC_FL_COLLAPSE_RANGE, 0, 512) == EOPNOTSUPP);
  CHECK(error(kPunch | FALLOC_FL_COLLAPSE_RANGE, 0, 512) == EOPNOTSUPP);
  CHECK(error(kPunch, 100, 512) == EINVAL);
  CHECK(error(kPunch, 0, 100) == EINVAL);
  CHECK(error(kPunch, kBytes, 512) == EINVAL);
  CHECK(error(kPunch, UINT64_MAX - 511, 512) == EINVAL);
  CHECK(error(kZero, kBytes - 512, UINT64_MAX) == EINVAL);
  CHECK(error(kPunch, kBytes - 512, UINT64_MAX) == 0);  // cut at the end
  CHECK(world.disk.content().substr(kBytes - 513) == 'x' + std::string(512, '\0'));
  CHECK(error(kZeroKeep, 0, 0) != 0);
}

TEST_CASE("shard: damaged messages get one error or none, and leave nothing behind") {
  World world;
  auto& kernel = world.kernel;
  for (const std::uint32_t opcode :
       {FUSE_READ, FUSE_WRITE, FUSE_FSYNC, FUSE_FALLOCATE, FUSE_OPEN, FUSE_RELEASE}) {
    CHECK(world.reply_to(kernel.send(opcode, "")).error == EINVAL);
    CHECK(world.reply_to(kernel.send(opcode, "1234567")).error == EINVAL);
  }
  fuse_write_in in{};
  for (const std::uint32_t size : {4u, 4096u, UINT32_MAX}) {  // more than the 3 bytes there are
    in.size = size;
    CHECK(world.reply_to(kernel.send(FUSE_WRITE, bytes_of(in) + "abc")).error == EINVAL);
  }
  kernel.send(FUSE_INTERRUPT, "");
  kernel.interrupt(12345);
  kernel.send_raw("short");
  CHECK(world.settle().empty());
  CHECK(world.reply_to(kernel.read(0, 4096)).error == 0);  // it goes on
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: held requests go when their limit is lifted, with the data they came with") {
  World world;
  world.limit_slow_group();
  const std::string large = pattern(65536);
  const auto first = world.kernel.write(8192, "first");
  const auto second = world.kernel.write(100'000, large);
  const auto third = world.kernel.read(0, 4096);
  CHECK(world.settle().empty());
  CHECK(world.shard->held() == 3);
  // 5 and 65536 bytes lie in buffers of 4096 and 65536; what a held read costs is its request.
  CHECK(world.shard->held_bytes() == 3 * sizeof(Request) + 4096 + 65536);
  world.lift_limits();
  const auto replies = world.settle();
  CHECK(replies.size() == 3);
  CHECK(replies.at(first).error == 0);
  CHECK(replies.at(second).as<fuse_write_out>().size == large.size());
  CHECK(replies.at(third).body.size() == 4096);
  CHECK(world.disk.content().substr(8192, 5) == "first");
  CHECK(world.disk.content().substr(100'000, large.size()) == large);
  CHECK(world.shard->held_bytes() == 0);
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: others do not wait for a held group") {
  World world;
  world.limit_slow_group();
  world.kernel.read(0, 4096);
  world.settle();
  world.kernel.set_thread(300);
  CHECK(world.reply_to(world.kernel.read(0, 4096)).body.size() == 4096);
}

// What a device does with a signal that is handled: nothing.
TEST_CASE("shard: only a deadly signal ends a held request") {
  World world;
  world.limit_slow_group();
  const auto read = world.kernel.read(0, 4096);
  CHECK(world.settle().empty());
  SECTION("a signal that is handled does not") {
    world.kernel.interrupt(read);
    CHECK(world.settle().empty());
    CHECK(world.shard->held() == 1);
    SECTION("and a deadly one after it, of which the kernel does not tell, does at the sweep") {
      world.killed.insert(kSlowThread);
      CHECK(world.settle().empty());
      world.now += 100 * kMillisecondNs;
      CHECK(world.reply_to(read).error == EINTR);
    }
    SECTION("it goes on when its time comes") {
      world.lift_limits();
      CHECK(world.reply_to(read).body.size() == 4096);
    }
  }
  SECTION("a deadly one does, uncharged") {
    const std::uint64_t before =
        world.slow_stats.find({259, 0})->counters.own(Counter::kBfqIos).total();
    world.killed.insert(kSlowThread);
    world.kernel.interrupt(read);
    CHECK(world.reply_to(read).error == EINTR);
    CHECK(world.shard->held() == 0);
    CHECK(world.slow_stats.find({259, 0})->counters.own(Counter::kBfqIos).total() == before);
  }
  world.kernel.interrupt(read);  // too late, or again
  world.lift_limits();
  world.settle();
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: an interrupt that comes together with its request") {
  World world;
  world.limit_slow_group();
  const bool killed = GENERATE(true, false);
  if (killed) world.killed.insert(kSlowThread);
  const auto write = world.kernel.write(0, pattern(20000));
  world.kernel.interrupt(write);
  const auto replies = world.settle();
  CHECK(replies.contains(write) == killed);
  if (killed) CHECK(replies.at(write).error == EINTR);
  world.lift_limits();
  world.settle();
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: what a process that is gone has waiting is answered") {
  World world;
  world.limit_slow_group();
  const auto read = world.kernel.read(0, 4096);
  CHECK(world.settle().empty());
  world.gone.insert(kSlowThread);
  CHECK(world.settle().empty());  // looked at once in 100 ms
  CHECK(world.shard->deadline() <= world.now + 100 * kMillisecondNs);
  world.now += 100 * kMillisecondNs;
  CHECK(world.reply_to(read).error == EINTR);
  CHECK(world.settle().empty());
}

TEST_CASE("shard: a request held for longer than max_hold_ms fails with ETIMEDOUT, uncharged") {
  World world;
  world.limit_slow_group();
  DeviceRules rules;
  rules.of(Limit::kWriteBps).per_second = 0;
  rules.max_hold_ms = 30;
  world.shard->queue().set_rules(kSlow, rules, Levels::kKept, world.now);
  const auto write = world.kernel.write(0, pattern(20'000));
  CHECK(world.settle().empty());
  CHECK(world.shard->deadline() == world.now + 30 * kMillisecondNs);
  world.now += 30 * kMillisecondNs - 1;
  CHECK(world.settle().empty());
  world.now += 1;
  CHECK(world.reply_to(write).error == ETIMEDOUT);
  CHECK(world.shard->held() == 0);
  CHECK(world.shard->held_bytes() == 0);
  CHECK(world.disk.content().substr(0, 100) != pattern(20'000).substr(0, 100));
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: it is told when a group begins to hold somebody, and when it ceases") {
  World world;
  world.kernel.set_thread(kSlowThread);
  world.reply_to(world.kernel.read(0, 4096));
  CHECK(world.told.empty());
  world.limit_slow_group();
  world.kernel.read(0, 4096);
  world.settle();
  world.shard->deadline();  // as the engine asks after each turn
  CHECK(world.told == std::vector{kSlow});
  world.lift_limits();
  world.settle();
  world.shard->deadline();
  CHECK(world.told == std::vector{kSlow, kSlow});
}

TEST_CASE("shard: a task that cannot be told is charged to the opener's group, or the default") {
  World world;
  world.limit_slow_group();
  const auto opened = world.reply_to(world.kernel.send(FUSE_OPEN, bytes_of(fuse_open_in{})));
  const std::uint64_t handle = opened.as<fuse_open_out>().fh;
  world.kernel.set_thread(kForeignThread);
  SECTION("opener") {
    const auto read = world.kernel.read(0, 4096, 0, handle);
    CHECK(world.settle().empty());
    world.kernel.interrupt(read);  // nobody can say whether it was killed: it is believed
    CHECK(world.reply_to(read).error == EINTR);
  }
  SECTION("default group") {
    world.shard->set_default_group(GroupId::kRoot);
    CHECK(world.reply_to(world.kernel.read(0, 4096, 0, handle)).body.size() == 4096);
  }
}

TEST_CASE("shard: at the cap of held payload the connection is not read, below it again") {
  constexpr std::size_t kCost = sizeof(Request) + 4096;
  World world(512, 4 * kCost);
  world.limit_slow_group();
  // As many as the socket takes unread; the 16 READs at most that were posted before the cap was
  // reached come on top of its 4.
  constexpr std::size_t kSent = 30;
  std::size_t answered = 0;
  for (std::size_t i = 0; i < kSent; ++i) {
    world.kernel.write(0, pattern(4096));
    answered += world.settle().size();
  }
  CHECK(answered == 0);
  CHECK(world.shard->held() >= 4);
  CHECK(world.shard->held() <= 4 + 16);
  world.lift_limits();
  CHECK(world.settle().size() == kSent);
}

TEST_CASE("shard: a stop fails what is held and starts nothing") {
  World world;
  world.limit_slow_group();
  const std::string before = world.disk.content();
  const auto held = world.kernel.write(0, pattern(5000));
  world.kernel.set_thread(300);
  const auto locked = world.kernel.lock(FUSE_SETLK, F_WRLCK, 1);
  const auto waits = world.kernel.lock(FUSE_SETLKW, F_WRLCK, 2);
  CHECK(world.settle().size() == 1);
  world.shard->stop();
  CHECK_FALSE(world.shard->drained());  // the replies are on their way
  const auto replies = world.settle();
  CHECK(replies.size() == 2);
  CHECK(replies.at(held).error == EIO);
  CHECK(replies.at(waits).error == EIO);
  CHECK(world.answered.contains(locked));
  CHECK(world.shard->drained());
  CHECK(world.disk.content() == before);
  world.lift_limits();
  CHECK(world.settle().empty());
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: what arrives in the turn of a stop is answered before it counts as drained") {
  World world;
  const auto write = world.kernel.write(0, pattern(20000));
  world.wait_for_arrival();
  world.shard->stop();
  CHECK_FALSE(world.shard->drained());
  CHECK(world.reply_to(write).error == EIO);
  CHECK(world.shard->drained());
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: an unmount ends what is held") {
  World world;
  world.limit_slow_group();
  world.kernel.write(0, pattern(5000));
  world.kernel.read(0, 4096);
  world.kernel.lock(FUSE_SETLK, F_WRLCK, 1);
  world.settle();
  world.kernel.unmount();
  for (int i = 0; i < 10; ++i) world.turn();
  CHECK_FALSE(world.shard->connected());
  CHECK(world.shard->drained());
  CHECK(world.shard->held() == 0);
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: without memory for its data a request waits, and nobody spins") {
  World world;
  const auto read = world.kernel.read(0, 100'000);
  world.wait_for_arrival();
  std::vector<Buffer*> all;
  for (const std::uint32_t bytes : {100'000u, kMaxTransfer}) {
    while (Buffer* buffer = world.arena.allocate(bytes)) all.push_back(buffer);
  }
  for (int i = 0; i < 3; ++i) world.turn();
  CHECK_FALSE(world.kernel.receive());
  CHECK(world.shard->deadline() == kNever);
  SECTION("until some is free") {
    for (Buffer* buffer : all) world.arena.release(buffer);
    CHECK(world.reply_to(read).body.size() == 100'000);
  }
  SECTION("or the daemon stops") {
    world.shard->stop();
    CHECK(world.reply_to(read).error == EIO);
    for (Buffer* buffer : all) world.arena.release(buffer);
  }
  CHECK(world.shard->drained());
  CHECK(world.leftover() == 0);
}

TEST_CASE("shard: an open file outlives its opener's group") {
  World world;
  world.limit_slow_group();
  const auto opened = world.reply_to(world.kernel.send(FUSE_OPEN, bytes_of(fuse_open_in{})));
  const std::uint64_t handle = opened.as<fuse_open_out>().fh;
  const auto held = world.kernel.read(0, 4096, 0, handle);
  CHECK(world.settle().empty());
  world.shard->queue().group_removed(kSlow, GroupId::kRoot, world.now);
  world.groups.group_removed(kSlow);
  CHECK(world.reply_to(held).body.size() == 4096);  // the parent has no limit
  world.kernel.set_thread(kForeignThread);
  CHECK(world.reply_to(world.kernel.read(0, 4096, 0, handle)).body.size() == 4096);
  fuse_release_in release{};
  release.fh = handle;
  CHECK(world.reply_to(world.kernel.send(FUSE_RELEASE, bytes_of(release))).error == 0);
  CHECK(world.groups.size() == 1);
}
