// SPDX-License-Identifier: MIT
// The expected values are those of QEMU's own tests (tests/unit/test-throttle.c) or follow from
// util/throttle.c, throttle_is_valid, where the comment says so.
#include "cgroupfs/rule_checks.hpp"

#include <catch2/catch.hpp>
#include <string>

#include "blkio/qemu_names.hpp"

using namespace blkio;
using namespace blkio::cgroupfs;

namespace {

const std::string kExclusive =
    "bps/iops/max total values and read/write values cannot be used at the same time";
const std::string kSizeAlone = "iops size requires an iops value to be set";
const std::string kRange = "bps/iops/max values must be within [0, 1000000000000000]";
const std::string kNoLength = "the burst length cannot be 0";
const std::string kLengthAlone = "burst length set without burst rate";
const std::string kTooLong = "burst length too high for this burst rate";
const std::string kBurstAlone = "bps_max/iops_max require corresponding bps/iops values";
const std::string kBurstBelow = "bps_max/iops_max cannot be lower than bps/iops";

std::string fault_of(const DeviceRules& rules) {
  const auto checked = check_rules(rules);
  return checked ? "" : checked.error().to_string();
}

std::string fault_of(const RateRule& rule) {
  const auto checked = check_rate(rule);
  return checked ? "" : checked.error().to_string();
}

/// What a number below zero has become when it arrives as an unsigned one.
std::uint64_t wrapped(std::int64_t number) {
  return static_cast<std::uint64_t>(number);
}

}  // namespace

TEST_CASE("rules: every limit alone is fine, from 1 to 10^15, and unset at 0") {
  for (const auto& name : qemu::kLimitNames) {
    for (const std::uint64_t average :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{150}, kMaxRate}) {
      CAPTURE(name.properties, average);
      DeviceRules rules;
      rules.of(name.limit).per_second = average;
      CHECK(fault_of(rules).empty());
      rules.qemu_strict = true;
      CHECK(fault_of(rules).empty());
    }
  }
}

TEST_CASE("rules: a rate is at most 10^15, and one below zero is far above that") {
  for (const auto& name : qemu::kLimitNames) {
    for (const std::uint64_t number :
         {kMaxRate + 1, wrapped(-1), wrapped(-150), wrapped(INT64_MIN)}) {
      CAPTURE(name.properties, number);
      DeviceRules rules;
      rules.of(name.limit).per_second = number;
      CHECK(fault_of(rules) == kRange);
      rules.of(name.limit) = {.per_second = 1, .burst_per_second = number};
      CHECK(fault_of(rules) == kRange);
    }
  }
}

TEST_CASE("rules: a total beside a direction, only where we are strict") {
  struct Row {
    bool total, read, write, refused;
  };
  const auto row = GENERATE(values<Row>({{true, true, false, true},
                                         {true, false, true, true},
                                         {true, true, true, true},
                                         {true, false, false, false},
                                         {false, true, true, false},
                                         {false, true, false, false}}));
  const bool bytes = GENERATE(true, false);
  const bool of_burst = GENERATE(true, false);
  CAPTURE(row.total, row.read, row.write, bytes, of_burst);
  DeviceRules rules;
  const auto set = [&](bool wanted, Limit limit) {
    if (!wanted) return;
    rules.of(limit).per_second = 10;
    if (of_burst) rules.of(limit).burst_per_second = 100;
  };
  set(row.total, bytes ? Limit::kTotalBps : Limit::kTotalIops);
  set(row.read, bytes ? Limit::kReadBps : Limit::kReadIops);
  set(row.write, bytes ? Limit::kWriteBps : Limit::kWriteIops);
  CHECK(fault_of(rules).empty());
  rules.qemu_strict = true;
  CHECK(fault_of(rules) == (row.refused ? kExclusive : ""));
}

TEST_CASE("rules: bursts of a total and a direction are looked at apart from the rates") {
  // throttle_is_valid: `bps_max_flag` alone is enough, and it comes before "require corresponding".
  DeviceRules rules;
  rules.qemu_strict = true;
  rules.of(Limit::kTotalBps).burst_per_second = 5;
  rules.of(Limit::kReadBps).burst_per_second = 5;
  CHECK(fault_of(rules) == kExclusive);
  rules.of(Limit::kReadBps) = {};
  rules.of(Limit::kReadIops).burst_per_second = 5;  // bytes and ios have nothing to do with another
  CHECK(fault_of(rules) == kBurstAlone);
}

TEST_CASE("rules: one rate, in the order of the checks") {
  struct Row {
    std::uint64_t average, burst, seconds;
    std::string fault;
  };
  const auto row = GENERATE(values<Row>({
      {0, 0, 1, ""},
      {1, 1, 0, kNoLength},
      {1, 1, 1, ""},
      {1, 1, kMaxRate, ""},
      {1, 1, kMaxRate + 1, kTooLong},
      {1, 0, 2, kLengthAlone},
      {0, 0, 2, kLengthAlone},
      {0, 0, 0, kNoLength},
      {0, 100, 1, kBurstAlone},
      {100, 30, 1, kBurstBelow},
      {100, 99, 1, kBurstBelow},
      {100, 100, 1, ""},
      {100, 2000, 60, ""},
      {kMaxRate, kMaxRate, 1, ""},
      {kMaxRate, kMaxRate, 2, kTooLong},
      // 3 * 333333333333333 = 999999999999999, and one second more is above 10^15.
      {1, 3, 333333333333333, ""},
      {1, 3, 333333333333334, kTooLong},
      {1, 1, wrapped(-1), kTooLong},
      // Two faults: the earlier check speaks.
      {kMaxRate + 1, 0, 0, kRange},
      {0, 1, 0, kNoLength},
      {0, 5, kMaxRate, kTooLong},
      {0, 0, wrapped(-1), kLengthAlone},
  }));
  CAPTURE(row.average, row.burst, row.seconds);
  CHECK(fault_of(RateRule{row.average, row.burst, row.seconds}) == row.fault);
}

TEST_CASE("rules: a size of ios needs a limit of ios") {
  DeviceRules rules;
  rules.iops_size = 4096;
  CHECK(fault_of(rules) == kSizeAlone);
  rules.of(Limit::kReadBps).per_second = 1;
  CHECK(fault_of(rules) == kSizeAlone);
  rules.of(Limit::kTotalBps).burst_per_second = 7;  // would be refused later
  CHECK(fault_of(rules) == kSizeAlone);
  rules.of(Limit::kTotalBps) = {};
  for (const Limit limit : {Limit::kTotalIops, Limit::kReadIops, Limit::kWriteIops}) {
    DeviceRules with = rules;
    with.of(limit).per_second = 1;
    CHECK(fault_of(with).empty());
  }
}

TEST_CASE("rules: of several limits, QEMU's first one speaks") {
  DeviceRules rules;
  rules.of(Limit::kReadBps).burst_seconds = 0;            // the second of them
  rules.of(Limit::kTotalIops).per_second = kMaxRate + 1;  // the fourth
  CHECK(fault_of(rules) == kNoLength);
  rules.of(Limit::kTotalBps).burst_per_second = 1;  // the first
  CHECK(fault_of(rules) == kBurstAlone);
}

TEST_CASE("rules: the numbers of QEMU's own test of a whole set") {
  DeviceRules rules;
  rules.of(Limit::kTotalBps) = {153, 0, 1};
  rules.of(Limit::kTotalIops) = {150, 400, 1};
  CHECK(fault_of(rules).empty());
}
