// SPDX-License-Identifier: MIT
/// Requests of any alignment on a device of whole blocks, by a real ring.
#include "data_plane/block_io.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "memory_device.hpp"

using namespace blkio;
using namespace blkio::data_plane;
using test::MemoryDevice;

namespace {

constexpr std::uint64_t kBytes = 64 * 1024;

struct World final : BlockIoListener {
  struct Done {
    Request* request;
    int error;
  };

  explicit World(std::uint32_t block) : disk(kBytes, block) {
    REQUIRE(ring.open(64));
    arena = std::make_unique<BufferArena>(ring, 64u << 20, block);
    const FileIndex file = ring.register_file(disk.device().fd).value();
    io = std::make_unique<BlockIo>(ring, *arena, disk.device(), file, *this);
  }

  Request& read(std::uint64_t offset, std::uint32_t bytes) {
    Request& request = *requests.allocate();
    request.io.op = Op::kRead;
    request.offset = offset;
    request.bytes = bytes;
    return request;
  }
  Request& write(std::uint64_t offset, const std::string& data) {
    Request& request = read(offset, static_cast<std::uint32_t>(data.size()));
    request.io.op = Op::kWrite;
    request.buffer = arena->allocate(request.bytes);
    std::memcpy(request.buffer->payload, data.data(), data.size());
    return request;
  }
  Request& discard(std::uint64_t offset, std::uint64_t bytes) {
    Request& request = read(offset, 0);
    request.io.op = Op::kDiscard;
    request.range_bytes = bytes;
    return request;
  }

  /// Ends when every request has.
  void run() {
    for (int i = 0; i < 1000 && io->in_flight() != 0; ++i) ring.run_once(kSecondNs);
    REQUIRE(io->in_flight() == 0);
  }
  int finish(Request& request) {
    REQUIRE(io->submit(request));
    run();
    REQUIRE(done.size() == 1);
    const int error = done.front().error;
    done.clear();
    return error;
  }
  void release(Request& request) {
    if (request.buffer != nullptr) arena->release(request.buffer);
    requests.release(&request);
  }
  std::string data_of(const Request& request) const {
    const std::byte* data = request.buffer->payload + (request.offset - request.device_offset);
    return {reinterpret_cast<const char*>(data), request.bytes};
  }

  void on_device_done(Request& request, int error) override { done.push_back({&request, error}); }

  MemoryDevice disk;
  Ring ring;
  std::unique_ptr<BufferArena> arena;
  RequestPool requests;
  std::unique_ptr<BlockIo> io;
  std::vector<Done> done;
};

std::string random_bytes(std::mt19937& random, std::size_t count) {
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

/// The device cut into pieces at random places: neighbours share blocks, never bytes.
std::vector<std::uint64_t> random_cuts(std::mt19937& random) {
  std::vector<std::uint64_t> cuts = {0, kBytes};
  for (int i = 0; i < 60; ++i) {
    // A third of the cuts are on block borders, so that whole blocks and discards happen too.
    const std::uint64_t at = random() % kBytes;
    cuts.push_back(i % 3 == 0 ? at / 4096 * 4096 : at);
  }
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

}  // namespace

TEST_CASE("block io: reads of any alignment") {
  for (const std::uint32_t block : {512u, 4096u}) {
    World world(block);
    std::mt19937 random(1);
    const std::string content = random_bytes(random, kBytes);
    world.disk.fill(content);
    for (const auto& [offset, bytes] : std::vector<std::pair<std::uint64_t, std::uint32_t>>{
             {0, 512}, {1, 1}, {511, 2}, {4095, 4098}, {kBytes - 1, 1}, {0, kBytes}, {7, 40000}}) {
      Request& read = world.read(offset, bytes);
      CHECK(world.finish(read) == 0);
      CHECK(world.data_of(read) == content.substr(offset, bytes));
      world.release(read);
    }
  }
}

// All pieces are at the device at once. What becomes of each byte is determined, since no two
// pieces share one; without the exclusion of spliced writes, neighbours would undo each other.
TEST_CASE("block io: writes that share blocks do not lose each other's bytes") {
  for (const std::uint32_t block : {512u, 4096u}) {
    World world(block);
    std::mt19937 random(20240607);
    std::string model(kBytes, '\0');
    for (int round = 0; round < 30; ++round) {
      const std::vector<std::uint64_t> cuts = random_cuts(random);
      std::vector<Request*> requests;
      for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
        const std::uint64_t bytes = cuts[i + 1] - cuts[i];
        const bool whole = cuts[i] % block == 0 && bytes % block == 0;
        if (whole && random() % 2 == 0) {
          model.replace(cuts[i], bytes, bytes, '\0');
          requests.push_back(&world.discard(cuts[i], bytes));
        } else {
          const std::string data = random_bytes(random, bytes);
          model.replace(cuts[i], bytes, data);
          requests.push_back(&world.write(cuts[i], data));
        }
      }
      std::shuffle(requests.begin(), requests.end(), random);
      for (Request* request : requests) REQUIRE(world.io->submit(*request));
      world.run();
      REQUIRE(world.done.size() == requests.size());
      for (const World::Done& done : world.done) {
        CHECK(done.error == 0);
        world.release(*done.request);
      }
      world.done.clear();
      REQUIRE((world.disk.content() == model));
    }
    CHECK(world.arena->used_bytes() == 0);
  }
}

// Overlapping unaligned writes take effect in the order they came in.
TEST_CASE("block io: spliced writes to one block go in order") {
  World world(512);
  std::vector<Request*> requests;
  for (char c = 'a'; c <= 'z'; ++c) requests.push_back(&world.write(100, std::string(50, c)));
  for (Request* request : requests) REQUIRE(world.io->submit(*request));
  world.run();
  CHECK(world.done.size() == requests.size());
  CHECK(world.disk.content().substr(99, 52) == '\0' + std::string(50, 'z') + '\0');
}

TEST_CASE("block io: a file that was cut beneath us is an I/O error, wherever it was cut") {
  for (const std::uint64_t left : {0, 512, 1000, 1024}) {
    World world(512);
    world.disk.truncate(left);
    Request& read = world.read(0, 2048);
    CHECK(world.finish(read) == EIO);
    world.release(read);
    // An unaligned write has to read first; bytes 2000..2099 lie in blocks 3 and 4.
    Request& write = world.write(2000, std::string(100, 'x'));
    CHECK(world.finish(write) == EIO);
    world.release(write);
    CHECK(world.arena->used_bytes() == 0);
  }
}

TEST_CASE("block io: no memory is no error, and nothing has happened") {
  World world(512);
  BufferArena tiny(world.ring, 5u << 20);
  const FileIndex file = world.ring.register_file(world.disk.device().fd).value();
  BlockIo io(world.ring, tiny, world.disk.device(), file, world);
  std::vector<Buffer*> all;
  while (Buffer* buffer = tiny.allocate(kBytes)) all.push_back(buffer);
  Request& read = world.read(1, 30000);
  CHECK_FALSE(io.submit(read));
  CHECK(io.in_flight() == 0);
  tiny.release(all.back());
  REQUIRE(io.submit(read));
  while (io.in_flight() != 0) world.ring.run_once(kSecondNs);
  CHECK(world.done.size() == 1);
}

TEST_CASE("block io: the null device reads zeros at once") {
  World world(512);
  const BackingDevice null = null_backing_device(1u << 20);
  BlockIo io(world.ring, *world.arena, null, FileIndex{}, world);
  Request& read = world.read(3, 5000);
  REQUIRE(io.submit(read));
  REQUIRE(world.done.size() == 1);
  CHECK(world.data_of(read) == std::string(5000, '\0'));
  CHECK(io.in_flight() == 0);
}
