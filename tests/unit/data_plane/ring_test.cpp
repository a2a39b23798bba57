// SPDX-License-Identifier: MIT
#include "data_plane/ring.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "memory_device.hpp"

using namespace blkio;
using namespace blkio::data_plane;
using test::MemoryDevice;

namespace {

struct Waiter : Completion {
  Waiter() {
    handler = [](Completion& self, std::int32_t r) { static_cast<Waiter&>(self).result = r; };
  }
  std::optional<std::int32_t> result;
};

std::int32_t wait(Ring& ring, Waiter& waiter) {
  while (!waiter.result) ring.run_once(kSecondNs);
  return *waiter.result;
}

struct Pipe {
  Pipe() { REQUIRE(pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0); }
  ~Pipe() {
    for (const int end : ends) close(end);
  }
  std::array<int, 2> ends{};
};

}  // namespace

TEST_CASE("ring: what is written is read back, with and without registered memory") {
  const MemoryDevice disk(8192);
  Ring ring;
  REQUIRE(ring.open(8));
  const FileIndex file = ring.register_file(disk.device().fd).value();
  alignas(4096) static std::array<std::byte, 8192> memory{};
  const RegionIndex fixed = ring.register_region(memory.data(), memory.size());
  for (const RegionIndex region : {RegionIndex::kNotRegistered, fixed}) {
    memory.fill(std::byte{0x5a});
    Waiter written;
    ring.write(written, file, region, memory.data(), 4096, 512, true);
    CHECK(wait(ring, written) == 4096);
    memory.fill(std::byte{0});
    Waiter read;
    ring.read(read, file, region, memory.data(), 4097, 511);
    CHECK(wait(ring, read) == 4097);
    CHECK(memory[0] == std::byte{0});
    CHECK(memory[1] == std::byte{0x5a});
    CHECK(memory[4096] == std::byte{0x5a});
    Waiter synced;
    ring.fsync(synced, file, true);
    CHECK(wait(ring, synced) == 0);
  }
  Waiter punched;
  ring.fallocate(punched, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192);
  CHECK(wait(ring, punched) == 0);
  CHECK(disk.content() == std::string(8192, '\0'));
}

TEST_CASE("ring: errors come as negative results") {
  Ring ring;
  REQUIRE(ring.open(8));
  Pipe pipe;
  const FileIndex write_end = ring.register_file(pipe.ends[1]).value();
  Waiter waiter;
  std::byte byte{};
  ring.read(waiter, write_end, RegionIndex::kNotRegistered, &byte, 1, 0);
  CHECK(wait(ring, waiter) == -EBADF);
}

TEST_CASE("ring: more submissions than it has entries are all done") {
  const MemoryDevice disk(8192);
  Ring ring;
  REQUIRE(ring.open(4));
  const FileIndex file = ring.register_file(disk.device().fd).value();
  std::vector<Waiter> waiters(100);
  std::vector<std::byte> bytes(100);
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    ring.read(waiters[i], file, RegionIndex::kNotRegistered, &bytes[i], 1, i);
  }
  for (Waiter& waiter : waiters) CHECK(wait(ring, waiter) == 1);
}

TEST_CASE("ring: a wait ends with a completion, with its time, or at once") {
  Ring ring;
  REQUIRE(ring.open(8));
  Pipe pipe;
  const FileIndex read_end = ring.register_file(pipe.ends[0]).value();
  Waiter waiter;
  ring.poll_in(waiter, read_end);
  ring.run_once(0);
  CHECK_FALSE(waiter.result);

  const auto start = std::chrono::steady_clock::now();
  ring.run_once(20 * kMillisecondNs);
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(20));
  CHECK_FALSE(waiter.result);

  REQUIRE(write(pipe.ends[1], "x", 1) == 1);
  ring.run_once(kNever);
  CHECK(waiter.result);
}

TEST_CASE("ring: the file table is finite, and full is an error") {
  const MemoryDevice disk(512);
  Ring ring;
  REQUIRE(ring.open(8));
  for (int i = 0; i < 1024; ++i) REQUIRE(ring.register_file(disk.device().fd));
  const auto full = ring.register_file(disk.device().fd);
  REQUIRE_FALSE(full);
  CHECK(full.error().number == ENFILE);
}
