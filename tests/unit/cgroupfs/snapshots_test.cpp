// SPDX-License-Identifier: MIT
#include "cgroupfs/snapshots.hpp"

#include <catch2/catch.hpp>
#include <cerrno>

using namespace blkio;
using namespace blkio::cgroupfs;

namespace {

/// A file whose text is "AA\n", then "BB\n" ...; every making of it is one further.
struct ChangingFile {
  char next = 'A';
  Snapshots snapshots;

  std::string read(std::uint64_t handle, std::uint64_t offset, std::size_t size) {
    const auto text = snapshots.read(handle, offset, size, [this]() -> Result<std::string> {
      return std::string(2, next++) + "\n";
    });
    return std::string(text.value());
  }
};

}  // namespace

TEST_CASE_METHOD(ChangingFile, "reads that follow one another see one text") {
  CHECK(read(1, 0, 1) == "A");
  CHECK(read(1, 1, 1) == "A");
  CHECK(read(1, 2, 10) == "\n");
  CHECK(read(1, 3, 10).empty());
  CHECK(read(1, 3, 10).empty());    // the end stays the end
  CHECK(read(1, 0, 10) == "BB\n");  // a rewind makes it anew
}

TEST_CASE_METHOD(ChangingFile, "a read elsewhere makes the text anew") {
  CHECK(read(1, 1, 10) == "A\n");
  CHECK(read(1, 0, 1) == "B");
  CHECK(read(1, 2, 1) == "\n");  // of "CC\n"
  CHECK(next == 'D');
  CHECK(read(1, 100, 10).empty());
}

TEST_CASE_METHOD(ChangingFile, "handles do not meet, and released ones are forgotten") {
  CHECK(read(1, 0, 1) == "A");
  CHECK(read(2, 0, 1) == "B");
  CHECK(read(1, 1, 1) == "A");
  snapshots.release(1);
  CHECK(snapshots.size() == 1);
  CHECK(read(1, 1, 1) == "C");
}

TEST_CASE("an error passes through and leaves nothing behind") {
  Snapshots snapshots;
  const auto text =
      snapshots.read(1, 0, 10, []() -> Result<std::string> { return failure(EINVAL); });
  REQUIRE_FALSE(text);
  CHECK(text.error().number == EINVAL);
  CHECK(snapshots.size() == 0);
}
