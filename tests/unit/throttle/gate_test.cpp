// SPDX-License-Identifier: MIT
#include "throttle/gate.hpp"

#include <catch2/catch.hpp>

using namespace blkio;
using throttle::Gate;

TEST_CASE("without limits the gate is open") {
  Gate gate;
  CHECK(gate.opens_at(Direction::kRead) == kLongAgo);
  CHECK(gate.opens_at(Direction::kWrite) == kLongAgo);
  gate.charge(Direction::kRead, {1 << 20, 1}, 0, false);
  CHECK(gate.opens_at(Direction::kRead) == kLongAgo);
  CHECK_FALSE(gate.limited(Direction::kRead));
}

TEST_CASE("of two limits the tighter one decides, request by request") {
  // 1 MiB/s and 100 ios/s: 4 KiB take 3.9 ms as bytes and 10 ms as one io; 64 KiB take 62.5 ms as
  // bytes.
  Gate gate;
  gate.set_limit(Limit::kReadBps, 1 << 20, 0);
  gate.set_limit(Limit::kReadIops, 100, 0);
  gate.charge(Direction::kRead, {4096, 1}, 0, false);
  CHECK(gate.opens_at(Direction::kRead) == 10 * kMillisecondNs);
  // Bytes are planned for 3.90625 ms, 6.09375 ms ago; an idle pace keeps 1 ms of that.
  gate.charge(Direction::kRead, {65536, 1}, 10 * kMillisecondNs, false);
  CHECK(gate.opens_at(Direction::kRead) == 71'500'000);
}

TEST_CASE("the directions are independent") {
  Gate gate;
  gate.set_limit(Limit::kWriteIops, 1, 0);
  gate.charge(Direction::kRead, {4096, 1}, 0, false);
  CHECK(gate.opens_at(Direction::kWrite) == 0);
  gate.charge(Direction::kWrite, {4096, 1}, 0, false);
  CHECK(gate.opens_at(Direction::kWrite) == kSecondNs);
  CHECK(gate.opens_at(Direction::kRead) == kLongAgo);
}

TEST_CASE("a limit of 0 closes its direction until it is changed") {
  Gate gate;
  gate.set_limit(Limit::kReadIops, 0, 0);
  gate.set_limit(Limit::kReadBps, 1000, 0);
  CHECK(gate.opens_at(Direction::kRead) == kNever);
  CHECK(gate.opens_at(Direction::kWrite) == kLongAgo);
  gate.set_limit(Limit::kReadIops, std::nullopt, 5);
  CHECK(gate.opens_at(Direction::kRead) == 0);
  CHECK(gate.limit(Limit::kReadBps) == 1000);
}

TEST_CASE("a discard is one io of 512 bytes, a flush one io of none") {
  // 512 B/s: a discard of a terabyte takes one second; a flush under 1 io/s takes one second too.
  Gate gate;
  gate.set_limit(Limit::kWriteBps, 512, 0);
  gate.charge(Direction::kWrite, charge_of(Op::kDiscard, std::uint64_t{1} << 40), 0, false);
  CHECK(gate.opens_at(Direction::kWrite) == kSecondNs);
  gate.charge(Direction::kWrite, charge_of(Op::kFlush, 0), kSecondNs, true);
  CHECK(gate.opens_at(Direction::kWrite) == kSecondNs);
  gate.set_limit(Limit::kWriteIops, 1, kSecondNs);
  gate.charge(Direction::kWrite, charge_of(Op::kFlush, 0), kSecondNs, true);
  CHECK(gate.opens_at(Direction::kWrite) == 2 * kSecondNs);
}
