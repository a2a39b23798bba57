// SPDX-License-Identifier: MIT
#include "data_plane/lock_table.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <random>

using namespace blkio::data_plane;

namespace {

FileLock range(std::uint64_t owner, LockType type, std::uint64_t start, std::uint64_t end) {
  FileLock lock;
  lock.type = type;
  lock.start = start;
  lock.end = end;
  lock.owner = owner;
  lock.handle = owner * 100;
  return lock;
}

FileLock flock_of(std::uint64_t owner, LockType type) {
  FileLock lock = range(owner, type, 0, INT64_MAX);
  lock.kind = LockKind::kFlock;
  return lock;
}

constexpr auto kShared = LockType::kShared;
constexpr auto kExclusive = LockType::kExclusive;
constexpr auto kUnlock = LockType::kUnlock;

}  // namespace

TEST_CASE("locks: who excludes whom") {
  LockTable table;
  table.set(range(1, kShared, 0, 9));
  CHECK_FALSE(table.conflict(range(2, kShared, 0, 9)));
  CHECK(table.conflict(range(2, kExclusive, 9, 9)));
  CHECK_FALSE(table.conflict(range(2, kExclusive, 10, 20)));
  CHECK_FALSE(table.conflict(range(1, kExclusive, 0, 9)));  // one's own
  CHECK_FALSE(table.conflict(range(2, kUnlock, 0, 9)));
  CHECK_FALSE(table.conflict(flock_of(2, kExclusive)));  // the other kind
  table.set(flock_of(3, kExclusive));
  CHECK(table.conflict(flock_of(2, kShared)));
}

TEST_CASE("locks: ranges to the end of the file, in both spellings") {
  for (const std::uint64_t end : {std::uint64_t{INT64_MAX}, UINT64_MAX}) {
    LockTable table;
    table.set(range(1, kExclusive, 100, end));
    CHECK(table.conflict(range(2, kShared, INT64_MAX, end)));
    CHECK_FALSE(table.conflict(range(2, kShared, 0, 99)));
    table.set(range(1, kUnlock, 200, end));
    CHECK_FALSE(table.conflict(range(2, kShared, 200, end)));
    CHECK(table.conflict(range(2, kShared, 199, 199)));
    table.set(range(1, kUnlock, 0, end));
    CHECK(table.empty());
  }
}

TEST_CASE("locks: a downgrade lets readers in, where it was made") {
  LockTable table;
  table.set(range(1, kExclusive, 0, 99));
  table.set(range(1, kShared, 40, 59));
  CHECK_FALSE(table.conflict(range(2, kShared, 40, 59)));
  CHECK(table.conflict(range(2, kShared, 39, 40)));
  CHECK(table.conflict(range(2, kShared, 59, 60)));
}

TEST_CASE("locks: close drops the owner's ranges, not its flocks; the last close drops both") {
  LockTable table;
  table.set(range(1, kExclusive, 0, 9));
  table.set(flock_of(1, kExclusive));
  CHECK(table.drop_owner(1));
  CHECK_FALSE(table.drop_owner(1));
  CHECK_FALSE(table.conflict(range(2, kExclusive, 0, 9)));
  CHECK(table.conflict(flock_of(2, kShared)));
  CHECK(table.drop_handle(100));
  CHECK(table.empty());
}

// Against the definition: each byte has a set of owners who hold it, shared or alone.
TEST_CASE("locks: agree with a table of single bytes") {
  constexpr std::size_t kBytes = 24;
  constexpr std::uint64_t kOwners = 3;
  std::mt19937 random(20240607);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 200; ++round) {
    LockTable table;
    std::array<std::array<LockType, kBytes>, kOwners> model;
    for (auto& owner : model) owner.fill(kUnlock);
    for (int step = 0; step < 60; ++step) {
      const std::size_t owner = below(kOwners);
      const auto type = static_cast<LockType>(below(3));
      const std::size_t start = below(kBytes);
      const std::size_t end = start + below(kBytes - start);
      bool conflict = false;
      for (std::size_t other = 0; other < kOwners; ++other) {
        for (std::size_t i = start; i <= end && other != owner && type != kUnlock; ++i) {
          const LockType held = model[other][i];
          conflict |= held == kExclusive || (held == kShared && type == kExclusive);
        }
      }
      const FileLock wanted = range(owner, type, start, end);
      REQUIRE(table.conflict(wanted).has_value() == conflict);
      if (conflict) continue;
      table.set(wanted);
      for (std::size_t i = start; i <= end; ++i) model[owner][i] = type;
    }
    for (std::uint64_t owner = 0; owner < kOwners; ++owner) table.drop_owner(owner);
    CHECK(table.empty());
  }
}
