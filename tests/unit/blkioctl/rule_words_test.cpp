// SPDX-License-Identifier: MIT
#include "blkioctl/rule_words.hpp"

#include <catch2/catch.hpp>

using namespace blkio::blkioctl;
using nlohmann::json;

namespace {

constexpr std::uint64_t kU64Max = 18446744073709551615U;

/// The request, or the reason why there is none.
json throttle(const std::vector<std::string>& words) {
  const auto request = throttle_request(words);
  return request ? request.value() : json(request.error().to_string());
}

json tokens(const std::vector<std::string>& words) {
  const auto request = tokens_request(words);
  return request ? request.value() : json(request.error().to_string());
}

}  // namespace

TEST_CASE("rule words: numbers with units") {
  CHECK(parse_amount("0") == 0U);
  CHECK(parse_amount("10k") == 10'000U);
  CHECK(parse_amount("10K") == 10'000U);
  CHECK(parse_amount("10Ki") == 10'240U);
  CHECK(parse_amount("2M") == 2'000'000U);
  CHECK(parse_amount("2Mi") == 2U << 20);
  CHECK(parse_amount("1G") == 1'000'000'000U);
  CHECK(parse_amount("1Gi") == 1U << 30);
  CHECK(parse_amount("007") == 7U);
  for (const char* bad : {"", "x", "10x", "K", "-", "-K", "+1", " 1", "1 ", "1.5M", "1e3", "0x10",
                          "10KK", "10KiB", "10i", "1,000", "--1"}) {
    CAPTURE(bad);
    CHECK(parse_amount(bad) == std::nullopt);
  }
}

TEST_CASE("rule words: below zero wraps, beyond 2^64 stays there, both out of range") {
  CHECK(parse_amount("-0") == 0U);
  CHECK(parse_amount("-1") == kU64Max);
  CHECK(parse_amount("-150") == kU64Max - 149);
  CHECK(parse_amount("-1K") == kU64Max - 999);
  CHECK(parse_amount("18446744073709551615") == kU64Max);
  CHECK(parse_amount("18446744073709551616") == kU64Max);
  CHECK(parse_amount("99999999999999999999999G") == kU64Max);
  CHECK(parse_amount("18446744073709551615Ki") == kU64Max);
  // Not 1, as it would be modulo 2^64.
  CHECK(parse_amount("-18446744073709551615") == kU64Max);
}

TEST_CASE("rule words: all of QEMU's names for one limit") {
  struct Row {
    const char* word;
    const char* means;
  };
  const auto row =
      GENERATE(values<Row>({{"bps=5", "bps"},
                            {"bps-total=5", "bps"},
                            {"throttling.bps-total=5", "bps"},
                            {"x-bps-total=5", "bps"},
                            {"bps_rd=5", "bps_rd"},
                            {"throttling.bps-read=5", "bps_rd"},
                            {"bps-write=5", "bps_wr"},
                            {"iops=5", "iops"},
                            {"throttling.iops-total=5", "iops"},
                            {"iops_rd_max=5", "iops_rd_max"},
                            {"iops-read-max=5", "iops_rd_max"},
                            {"throttling.iops-write-max-length=5", "iops_wr_max_length"},
                            {"bps_max=5", "bps_max"},
                            {"bps_max_length=5", "bps_max_length"},
                            {"x-bps-total-max-length=5", "bps_max_length"},
                            {"iops_size=5", "iops_size"},
                            {"iops-size=5", "iops_size"},
                            {"throttling.iops-size=5", "iops_size"}}));
  CAPTURE(row.word);
  CHECK(throttle({row.word}) == json{{"limits", {{row.means, 5}}}});
}

TEST_CASE("rule words: every name that is shown is taken again") {
  std::vector<std::string> words;
  for (const std::string& name : throttle_names()) words.push_back(name + "=1");
  CHECK(words.size() == 23);  // 19 of QEMU's
  const json request = throttle(words);
  REQUIRE(request.is_object());
  CHECK(request.at("limits").size() == 19);
  CHECK(request.at("max_hold") == 1);
  CHECK(request.at("qemu_strict") == true);
  CHECK(request.at("dry_run") == true);
  CHECK(request.at("shared") == "1");
}

TEST_CASE("rule words: names that are none") {
  CHECK(throttle({"bps_total=1"}) == "bps_total: no such limit");
  CHECK(throttle({"throttling.bps=1"}) == "throttling.bps: no such limit");
  CHECK(throttle({"throttling.x-bps-total=1"}) == "throttling.x-bps-total: no such limit");
  CHECK(throttle({"x-bps_rd=1"}) == "x-bps_rd: no such limit");
  CHECK(throttle({"=1"}) == "=1: should be NAME=VALUE");
  CHECK(throttle({"bps"}) == "bps: should be NAME=VALUE");
  CHECK(throttle({"group=x"}) == "group: the group is the argument before the device");
  CHECK(throttle({"bps=10x"}) ==
        "bps=10x: should be a number, with K, M, G, Ki, Mi or Gi behind it or not");
  CHECK(throttle({"qemu_strict=2"}) == "qemu_strict=2: should be 0 or 1");
}

TEST_CASE("rule words: a limit under two names") {
  CHECK(throttle({"iops=1", "throttling.iops-total=1"}) ==
        "'throttling.iops-total' and its alias 'iops' can't be used at the same time");
  CHECK(throttle({"throttling.iops-total=1", "iops=1"}) ==
        "'throttling.iops-total' and its alias 'iops' can't be used at the same time");
  CHECK(throttle({"bps_rd_max=1", "bps-read-max=1"}) ==
        "'bps-read-max' and its alias 'bps_rd_max' can't be used at the same time");
  CHECK(throttle({"iops_size=1", "throttling.iops-size=1"}) ==
        "'throttling.iops-size' and its alias 'iops_size' can't be used at the same time");
  CHECK(throttle({"bps=1", "bps=1"}) == "bps: given twice");
  CHECK(throttle({"max_hold=1", "max_hold=2"}) == "max_hold: given twice");
}

TEST_CASE("rule words: what QEMU refuses of a value alone") {
  CHECK(throttle({"throttling.bps-total-max-length=4294967296"}) ==
        "bps-total-max-length value must be in the range [0, 4294967295]");
  CHECK(throttle({"iops-write-max-length=-1"}) ==
        "iops-write-max-length value must be in the range [0, 4294967295]");
  CHECK(throttle({"x-iops-read-max-length=4294967296"}) ==
        "x-iops-read-max-length value must be in therange [0, 4294967295]");
  CHECK(throttle({"bps-total-max-length=4294967295"}).is_object());
  CHECK(throttle({"bps_max_length=4294967296"}).is_object());  // QMP looks at the product only
  CHECK(throttle({"iops_size=-1"}) == "iops_size: Property values cannot be negative");
}

TEST_CASE("rule words: tokens") {
  CHECK(tokens({"tokens-max=60K", "tokens-refill=2000@50ms"}) ==
        json{{"tokens-max", 60000}, {"tokens-refill", "2000@50ms"}});
  CHECK(tokens({"credit=5000/s@50ms"}) == json{{"credit", "5000/s@50ms"}});
  CHECK(tokens({"tokens=5"}) == "tokens: should be tokens-max, tokens-refill or credit");
  CHECK(tokens({"tokens-max=5", "tokens-max=5"}) == "tokens-max: given twice");
  CHECK(tokens({"tokens-max=many"}) ==
        "tokens-max=many: should be a number, with K, M, G, Ki, Mi or Gi behind it or not");
}
