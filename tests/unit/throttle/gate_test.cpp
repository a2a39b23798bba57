// SPDX-License-Identifier: MIT
#include "throttle/gate.hpp"

#include <catch2/catch.hpp>

using namespace blkio;
using throttle::Gate;

namespace {

void set_limit(Gate& gate, Limit limit, std::optional<std::uint64_t> per_second, TimeNs now) {
  DeviceRules rules = gate.rules();
  rules.of(limit).per_second = per_second;
  gate.set_rules(rules, Levels::kKept, now);
}

}  // namespace

TEST_CASE("without limits the gate is open") {
  Gate gate;
  CHECK(gate.opens_at(Direction::kRead) == kLongAgo);
  CHECK(gate.opens_at(Direction::kWrite) == kLongAgo);
  gate.charge(Op::kRead, 1 << 20, 0);
  CHECK(gate.opens_at(Direction::kRead) == kLongAgo);
  CHECK_FALSE(gate.limited(Direction::kRead));
}

TEST_CASE("of two limits the tighter one decides, request by request") {
  // 1 MiB/s and 100 ios/s: 4 KiB take 3.9 ms as bytes and 10 ms as one io; 64 KiB take 62.5 ms as
  // bytes.
  Gate gate;
  set_limit(gate, Limit::kReadBps, 1 << 20, 0);
  set_limit(gate, Limit::kReadIops, 100, 0);
  gate.charge(Op::kRead, 4096, 0);
  CHECK(gate.opens_at(Direction::kRead) == 10 * kMillisecondNs);
  // Bytes are planned for 3.90625 ms, 6.09375 ms ago; an idle pace keeps 1 ms of that.
  gate.charge(Op::kRead, 65536, 10 * kMillisecondNs);
  CHECK(gate.opens_at(Direction::kRead) == 71'500'000);
}

TEST_CASE("the directions are independent") {
  Gate gate;
  set_limit(gate, Limit::kWriteIops, 1, 0);
  gate.charge(Op::kRead, 4096, 0);
  CHECK(gate.opens_at(Direction::kWrite) == 0);
  gate.charge(Op::kWrite, 4096, 0);
  CHECK(gate.opens_at(Direction::kWrite) == kSecondNs);
  CHECK(gate.opens_at(Direction::kRead) == kLongAgo);
}

TEST_CASE("a limit of 0 closes its direction until it is changed") {
  Gate gate;
  set_limit(gate, Limit::kReadIops, 0, 0);
  set_limit(gate, Limit::kReadBps, 1000, 0);
  CHECK(gate.opens_at(Direction::kRead) == kNever);
  CHECK(gate.opens_at(Direction::kWrite) == kLongAgo);
  set_limit(gate, Limit::kReadIops, std::nullopt, 5);
  CHECK(gate.opens_at(Direction::kRead) == 0);
  CHECK(gate.rules().of(Limit::kReadBps).per_second == 1000);
}

TEST_CASE("a discard is one io of 512 bytes, a flush one io of none") {
  // 512 B/s: a discard of a terabyte takes one second; a flush under 1 io/s takes one second too.
  Gate gate;
  set_limit(gate, Limit::kWriteBps, 512, 0);
  gate.charge(Op::kDiscard, std::uint64_t{1} << 40, 0);
  CHECK(gate.opens_at(Direction::kWrite) == kSecondNs);
  gate.note_waited(Direction::kWrite);
  gate.charge(Op::kFlush, 0, kSecondNs);
  CHECK(gate.opens_at(Direction::kWrite) == kSecondNs);
  set_limit(gate, Limit::kWriteIops, 1, kSecondNs);
  gate.note_waited(Direction::kWrite);
  gate.charge(Op::kFlush, 0, kSecondNs);
  CHECK(gate.opens_at(Direction::kWrite) == 2 * kSecondNs);
}

TEST_CASE("a total counts both directions and closes both") {
  // 10 ios/s together: a read and a write take 100 ms each.
  Gate gate;
  set_limit(gate, Limit::kTotalIops, 10, 0);
  CHECK(gate.has_total());
  gate.charge(Op::kRead, 4096, 0);
  CHECK(gate.opens_at(Direction::kWrite) == 100 * kMillisecondNs);
  gate.note_waited(Direction::kWrite);
  gate.charge(Op::kWrite, 4096, 100 * kMillisecondNs);
  CHECK(gate.opens_at(Direction::kRead) == 200 * kMillisecondNs);
  // Beside it a limit of one direction: that one waits for both.
  set_limit(gate, Limit::kReadIops, 1, 200 * kMillisecondNs);
  gate.note_waited(Direction::kRead);
  gate.charge(Op::kRead, 4096, 200 * kMillisecondNs);
  CHECK(gate.opens_at(Direction::kWrite) == 300 * kMillisecondNs);
  CHECK(gate.opens_at(Direction::kRead) == 1200 * kMillisecondNs);
}
