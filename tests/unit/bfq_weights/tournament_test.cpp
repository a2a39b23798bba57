// SPDX-License-Identifier: MIT
#include "bfq_weights/tournament.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include <vector>

namespace {

using namespace blkio::bfq_weights;

Word at(std::uint64_t time, std::uint32_t seat) {
  return word_of(VirtualTime{time} << 64, seat);
}

TEST_CASE("a tournament without anybody has no first") {
  Tournament tournament;
  CHECK(tournament.empty());
  tournament.grow(1);
  CHECK(tournament.empty());
  tournament.set(0, at(1, 0));
  tournament.set(0, kNobody);
  CHECK(tournament.empty());
}

TEST_CASE("of equal words the lower seat is first, in whatever order they came") {
  Tournament tournament;
  tournament.grow(100);
  for (std::uint32_t seat = 100; seat-- > 0;) tournament.set(seat, at(7, seat));
  for (std::uint32_t seat = 0; seat < 100; ++seat) {
    CHECK(number_of(tournament.first()) == seat);
    tournament.set(seat, kNobody);
  }
  CHECK(tournament.empty());
}

// Beside a search through all of them.
TEST_CASE("the first is the least, whoever comes, goes or joins") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  for (const std::uint32_t most : {1U, 4U, 5U, 7U, 8U, 70U, 400U}) {
    Tournament tournament;
    std::vector<Word> words;
    for (int i = 0; i < 3000; ++i) {
      if (words.empty() || (words.size() < most && random() % 8 == 0)) {
        words.push_back(kNobody);
        tournament.grow(words.size());
      }
      const auto seat = static_cast<std::uint32_t>(random() % words.size());
      words[seat] = random() % 3 == 0 ? kNobody : at(random() % 50, seat);
      tournament.set(seat, words[seat]);
      REQUIRE(tournament.first() == *std::min_element(words.begin(), words.end()));
      REQUIRE(tournament.at(seat) == words[seat]);
    }
  }
}

// Debts and credits may reach below zero: of two negative times the lower is first, too.
TEST_CASE("a word keeps its time but for 2^-32, and its number") {
  const VirtualTime time = -(VirtualTime{3} << 64) + 5;
  CHECK(number_of(word_of(time, 0xffffffffU)) == 0xffffffffU);
  CHECK(time - time_of(word_of(time, 0xffffffffU)) == 5);
  CHECK(word_of(time, 0xffffffffU) < word_of(time + (VirtualTime{1} << 32), 0));
  CHECK(word_of(VirtualTime{1} << 126, ~0U) < kNobody);
}

}  // namespace
