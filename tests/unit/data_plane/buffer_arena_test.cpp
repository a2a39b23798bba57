// SPDX-License-Identifier: MIT
#include "data_plane/buffer_arena.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <set>
#include <vector>

#include "data_plane/fuse_protocol.hpp"
#include "data_plane/request.hpp"

using namespace blkio::data_plane;

namespace {

constexpr std::uint32_t kLargest = BufferArena::kCapacities.back();

struct World {
  explicit World(std::size_t limit = 64u << 20, std::uint32_t alignment = 512)
      : arena(ring, limit, alignment) {
    REQUIRE(ring.open(8));
  }
  Ring ring;
  BufferArena arena;
};

bool is_aligned(const Buffer* buffer, std::uintptr_t alignment) {
  return reinterpret_cast<std::uintptr_t>(buffer->payload) % alignment == 0;
}

}  // namespace

TEST_CASE("arena: a buffer holds what was asked for, with room for a header in front") {
  World world;
  for (const std::uint32_t bytes : {0u, 1u, 4096u, 4097u, 65536u, 65537u, kMaxTransfer, kLargest}) {
    Buffer* buffer = world.arena.allocate(bytes);
    REQUIRE(buffer != nullptr);
    CHECK(buffer->capacity >= bytes);
    CHECK(is_aligned(buffer, 512));
    std::memset(buffer->payload - kWriteHead, 0xff, kWriteHead + bytes);  // under a sanitizer
    world.arena.release(buffer);
  }
  CHECK(world.arena.used_bytes() == 0);
}

TEST_CASE("arena: payloads are aligned as the device wants them") {
  World world(64u << 20, 4096);
  for (const std::uint32_t bytes : {1u, 10000u, 65536u, 200000u, kLargest}) {
    // Two of each: the second shows that the stride is right too.
    CHECK(is_aligned(world.arena.allocate(bytes), 4096));
    CHECK(is_aligned(world.arena.allocate(bytes), 4096));
  }
}

TEST_CASE("arena: buffers in use never overlap") {
  World world;
  std::vector<Buffer*> buffers;
  for (const std::uint32_t bytes : BufferArena::kCapacities) {
    for (int i = 0; i < 9; ++i) buffers.push_back(world.arena.allocate(bytes));
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    std::byte* start = buffers[i]->payload - BufferArena::kLead;
    std::memset(start, static_cast<int>(i + 1), BufferArena::kLead + buffers[i]->capacity);
  }
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const auto mine = static_cast<std::byte>(i + 1);
    CHECK(buffers[i]->payload[-std::ptrdiff_t{BufferArena::kLead}] == mine);
    CHECK(buffers[i]->payload[buffers[i]->capacity - 1] == mine);
  }
}

TEST_CASE("arena: at its limit it says so, and takes no more memory") {
  // A chunk has 4 of the largest, 4.13 MiB: one fits into 5 MiB, two do not.
  World world(5u << 20);
  std::vector<Buffer*> large;
  while (Buffer* buffer = world.arena.allocate(kLargest)) large.push_back(buffer);
  CHECK(large.size() == 4);
  CHECK(world.arena.allocate(65536) == nullptr);
  CHECK(world.arena.mapped_bytes() <= 5u << 20);
  SECTION("short replies always find room") {
    CHECK(world.arena.allocate(64) != nullptr);
  }
  SECTION("what comes back can be had again") {
    world.arena.release(large.back());
    CHECK(world.arena.allocate(kLargest) == large.back());
  }
  SECTION("a larger buffer serves where the right size cannot be made any more") {
    world.arena.release(large.back());
    CHECK(world.arena.allocate(65536) == large.back());
  }
}

TEST_CASE("arena: small buffers cannot take all there is, or no message could land any more") {
  World world(64u << 20);
  while (world.arena.allocate(65536) != nullptr) {
  }
  // An eighth is left for the largest, 8 MiB and what a last small chunk (0.94 MiB) did not fit
  // into, so less than 9: two chunks of 4 buffers, 4.03 MiB each, or else one.
  int largest = 0;
  while (world.arena.allocate(kLargest) != nullptr) ++largest;
  CHECK(largest >= 4);
  CHECK(largest <= 8);
}

TEST_CASE("request pool: requests are different ones, and come back as new") {
  RequestPool pool;
  std::set<Request*> requests;
  for (int i = 0; i < 1000; ++i) requests.insert(pool.allocate());
  CHECK(requests.size() == 1000);
  for (Request* request : requests) {
    request->unique = 1;
    request->interrupted = true;
    request->buffer = reinterpret_cast<Buffer*>(1);
    pool.release(request);
  }
  for (int i = 0; i < 1000; ++i) {
    const Request* request = pool.allocate();
    CHECK(requests.contains(const_cast<Request*>(request)));
    CHECK(request->unique == 0);
    CHECK_FALSE(request->interrupted);
    CHECK(request->buffer == nullptr);
  }
}
