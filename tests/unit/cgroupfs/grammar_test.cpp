// SPDX-License-Identifier: MIT
// The expected values are what a kernel answered to the same bytes, or follow from its number
// parsers (lib/kstrtox.c, lib/vsprintf.c) where the comment says so.
#include "cgroupfs/grammar.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>

using namespace blkio;
using namespace blkio::cgroupfs;

namespace {

template <class T>
int error_of(const Result<T>& result) {
  return result ? 0 : result.error().number;
}

constexpr std::uint64_t kU64Max = 18446744073709551615U;

}  // namespace

TEST_CASE("white space is Latin-1's, as the kernel's table has it") {
  for (const char c : {' ', '\t', '\n', '\v', '\f', '\r', '\xA0'}) CHECK(is_space(c));
  for (const char c : {'\0', '\x08', '\x0E', '\x85', '0', 'x'}) CHECK_FALSE(is_space(c));
  CHECK(trim("\xA0 \ta b\n\n") == "a b");
  CHECK(trim(" \n").empty());
  CHECK(trim_front(" a ") == "a ");
}

TEST_CASE("text ends at its first NUL") {
  using namespace std::string_view_literals;
  CHECK(until_nul("1\0junk"sv) == "1");
  CHECK(until_nul("\0"sv).empty());
  CHECK(until_nul("12") == "12");
}

TEST_CASE("strict numbers") {
  struct Row {
    const char* text;
    int error;
    std::uint64_t value;
  };
  const auto row = GENERATE(values<Row>({
      {"1", 0, 1},
      {"1\n", 0, 1},
      {"+1", 0, 1},
      {"0x64", 0, 100},
      {"0X64", 0, 100},
      {"+0x64", 0, 100},
      {"010", 0, 8},  // octal
      {"0", 0, 0},
      {"18446744073709551615", 0, kU64Max},
      {"0xffffffffffffffff", 0, kU64Max},
      {"18446744073709551616", ERANGE, 0},
      {"99999999999999999999999", ERANGE, 0},
      {"18446744073709551616 x", ERANGE, 0},  // the range is looked at before what follows
      {"", EINVAL, 0},
      {"\n", EINVAL, 0},
      {"+", EINVAL, 0},
      {"++1", EINVAL, 0},
      {"-1", EINVAL, 0},
      {" 1", EINVAL, 0},
      {"1 ", EINVAL, 0},
      {"1\n\n", EINVAL, 0},
      {"1\r\n", EINVAL, 0},
      {"1x", EINVAL, 0},
      {"1.0", EINVAL, 0},
      {"0x", EINVAL, 0},  // an octal 0, then an x
      {"0xg", EINVAL, 0},
      {"08", EINVAL, 0},  // an octal 0, then an 8
      {"max", EINVAL, 0},
  }));
  CAPTURE(row.text);
  const auto number = parse_strict_u64(row.text);
  REQUIRE(error_of(number) == row.error);
  if (row.error == 0) CHECK(number.value() == row.value);
}

TEST_CASE("scanned numbers ignore what follows and wrap") {
  struct Row {
    const char* text;
    bool found;
    std::uint64_t value;
  };
  const auto row = GENERATE(values<Row>({
      {"1", true, 1},
      {" \t1", true, 1},
      {"010", true, 10},   // no octal here
      {"0x100", true, 0},  // nor hexadecimal: a 0, then an x
      {"1.5", true, 1},
      {"1k", true, 1},
      {"1e3", true, 1},
      {"18446744073709551615", true, kU64Max},
      {"18446744073709551616", true, 0},    // 2^64
      {"18446744073709551716", true, 100},  // 2^64 + 100
      // 10^26 - 1 = 5421010 * 2^64 + 15908979783594147839
      {"99999999999999999999999999", true, 15908979783594147839U},
      {"", false, 0},
      {" ", false, 0},
      {"-1", false, 0},
      {"+1", false, 0},
      {".5", false, 0},
      {"max", false, 0},
  }));
  CAPTURE(row.text);
  const auto number = scan_u64(row.text);
  REQUIRE(number.has_value() == row.found);
  if (row.found) CHECK(*number == row.value);
}

TEST_CASE("device rules that name a device") {
  struct Row {
    const char* text;
    DeviceNumber device;
    const char* value;
  };
  const auto row = GENERATE(values<Row>({
      {"7:0 100", {7, 0}, "100"},
      {"7:0  100\n", {7, 0}, "100\n"},
      {"7:0\n100", {7, 0}, "100"},
      {"7:0\f100", {7, 0}, "100"},
      {"7:0\xA0"
       "100",
       {7, 0},
       "100"},
      {"  7:0 x", {7, 0}, "x"},
      {"07:00 1", {7, 0}, "1"},
      {"7: 0 5", {7, 0}, "5"},
      {"7:0 ", {7, 0}, ""},
      {"8:16 a b", {8, 16}, "a b"},
      {"4294967303:1 5", {7, 1}, "5"},  // 2^32 + 7
      {"7:4294967297 5", {7, 1}, "5"},  // 2^32 + 1
      {"7:1048576 5", {7, 0}, "5"},     // bit 20 of the minor falls on bit 0 of the major, 7|1
      {"6:1048576 5", {7, 0}, "5"},     // 6|1
      {"254:1048575 1", {254, 1048575}, "1"},
      {"4103:0 1", {7, 0}, "1"},  // 4096 + 7: majors have 12 bits
  }));
  CAPTURE(row.text);
  const auto rule = parse_device_rule(row.text);
  REQUIRE(rule);
  CHECK(rule.value().device.major == row.device.major);
  CHECK(rule.value().device.minor == row.device.minor);
  CHECK(rule.value().value == row.value);
}

TEST_CASE("device rules that name none are EINVAL") {
  const auto* text = GENERATE("", " ", "7", "7:0", "7:", "7: x", "7 1", ":0 1", "7:0,100",
                              "7:0:100", "7:0:1 1", "7 :0 1", "7:-0 100", "7:+0 100", "+7:0 1",
                              "0x7:0 1", "loop0 100", "/dev/loop0 100", "default 100", "1048576");
  CAPTURE(text);
  CHECK(error_of(parse_device_rule(text)) == EINVAL);
}

TEST_CASE("throttle values") {
  struct Row {
    const char* text;
    Limit limit;
    std::optional<std::uint64_t> value;
  };
  constexpr auto kNone = std::optional<std::uint64_t>{};
  const auto row = GENERATE_COPY(values<Row>({
      {"1", Limit::kReadBps, 1},
      {"0", Limit::kReadBps, kNone},
      {"00", Limit::kWriteBps, kNone},
      {"0x100", Limit::kReadBps, kNone},
      {"18446744073709551615", Limit::kReadBps, kNone},
      {"18446744073709551614", Limit::kReadBps, kU64Max - 1},
      {"18446744073709551616", Limit::kReadBps, kNone},  // wraps to 0
      {"4294967296", Limit::kWriteBps, 4294967296U},
      {"100", Limit::kReadIops, 100},
      {"0", Limit::kReadIops, kNone},
      {"4294967294", Limit::kReadIops, 4294967294U},
      {"4294967295", Limit::kReadIops, kNone},  // 2^32 - 1
      {"4294967296", Limit::kWriteIops, 0},     // 2^32 is cut to a limit of 0
      {"4294967297", Limit::kWriteIops, 1},
      {"18446744073709551615", Limit::kWriteIops, kNone},
      {"18446744073709551614", Limit::kReadIops, 4294967294U},
      {"18446744073709551616", Limit::kReadIops, kNone},
  }));
  CAPTURE(row.text);
  const auto value = parse_throttle_value(row.text, row.limit);
  REQUIRE(value);
  CHECK(value.value() == row.value);
}

TEST_CASE("throttle values that are none are EINVAL") {
  const auto* text = GENERATE("", "-1", "-0", "+5", "+0", "max", "max\n", ".5", "inf");
  CAPTURE(text);
  CHECK(error_of(parse_throttle_value(text, Limit::kReadBps)) == EINVAL);
}

TEST_CASE("rule numbers are decimal digits and nothing else") {
  struct Row {
    const char* text;
    std::optional<std::uint64_t> value;
  };
  const auto row = GENERATE(values<Row>({
      {"0", 0},
      {"1000", 1000},
      {"1000\n", 1000},
      {"1000 \t\n\n", 1000},
      {"0010", 10},
      {"1001", std::nullopt},  // above the bound
      {"", std::nullopt},
      {"\n", std::nullopt},
      {" 5", std::nullopt},  // what stands before it has been taken off with the device
      {"+5", std::nullopt},
      {"-5", std::nullopt},
      {"5 5", std::nullopt},
      {"5\n5\n", std::nullopt},
      {"5x", std::nullopt},
      {"0x5", std::nullopt},
      {"18446744073709551621", std::nullopt},  // 2^64 + 5
  }));
  CAPTURE(row.text);
  const auto number = parse_rule_number(row.text, 1000);
  REQUIRE(number.has_value() == row.value.has_value());
  if (number) CHECK(number.value() == row.value);
  if (!number) CHECK(number.error().number == EINVAL);
}

TEST_CASE("refills of tokens, in their three forms") {
  CHECK(parse_token_refill("7", 7).value() == TokenRefill{7, 1000, false});
  CHECK(parse_token_refill("7@5ms \n", 7).value() == TokenRefill{7, 5, false});
  CHECK(parse_token_refill("7/s@5ms", 7).value() == TokenRefill{7, 5, true});
  CHECK(parse_token_refill("7/s@1000ms", 7).value() == TokenRefill{7, 1000, false});
  CHECK(error_of(parse_token_refill("8", 7)) == EINVAL);
  CHECK(to_text(TokenRefill{7, 1000, true}) == "7");
  CHECK(to_text(TokenRefill{7, 5, false}) == "7@5ms");
  CHECK(to_text(TokenRefill{7, 5, true}) == "7/s@5ms");
}

TEST_CASE("weights for the whole group, in a weight_device file") {
  struct Row {
    const char* text;
    std::optional<std::uint64_t> value;
  };
  const auto row = GENERATE(values<Row>({
      {"250", 250},
      {" 250\n", 250},
      {"0x64", 100},
      {"", 0},
      {"\n", 0},
      {"default 250", 250},
      {"default  250", 250},
      {"default250", 250},
      {"default 250x", 250},
      {"default 0x64", 0},            // behind the word numbers are scanned
      {"18446744073709551716", 100},  // 2^64 + 100; this parser has no overflow
      {"default", std::nullopt},
      {"defaultx 5", std::nullopt},
      {"7:0 100", std::nullopt},
      {"250 x", std::nullopt},
      {"+5", std::nullopt},
      {"-5", std::nullopt},
      {"x", std::nullopt},
  }));
  CAPTURE(row.text);
  CHECK(parse_group_weight(row.text) == row.value);
}

TEST_CASE("device weights") {
  CHECK(parse_device_weight("300").value() == 300U);
  CHECK(parse_device_weight("010 x").value() == 10U);
  CHECK(parse_device_weight("0x64").value() == 0U);
  CHECK(parse_device_weight("default").value() == std::nullopt);
  CHECK(parse_device_weight("default  \n").value() == std::nullopt);
  for (const auto* text : {"", "-1", "+7", "x", "default x", "defaultx", "default 5"}) {
    CAPTURE(text);
    CHECK(error_of(parse_device_weight(text)) == EINVAL);
  }
}

TEST_CASE("the header of the documented weight listing") {
  CHECK(is_weight_listing_header("dev     weight\n"));
  CHECK(is_weight_listing_header("dev weight"));
  CHECK(is_weight_listing_header("dev\tweight\n8:0     500\n"));
  for (const auto* text :
       {"", "dev", "devweight", "dev weights", "dev 5", "8:0 weight", "weight"}) {
    CAPTURE(text);
    CHECK_FALSE(is_weight_listing_header(text));
  }
}

TEST_CASE("ids of tasks") {
  struct Row {
    const char* text;
    pid_t id;  ///< -1: EINVAL
  };
  const auto row = GENERATE(values<Row>({
      {"1234", 1234},
      {" \t1234\n\n", 1234},
      {"0x10", 16},
      {"010", 8},
      {"+7", 7},
      {"0", 0},
      {"-0", 0},  // a signed parser: minus zero is the writer itself
      {"2147483647", 2147483647},
      {"2147483648", -1},
      {"4294967297", -1},
      {"18446744073709551616", -1},
      {"-1", -1},
      {"-+0", -1},
      {"1 2", -1},
      {"1\n2\n", -1},
      {"1,2", -1},
      {"1.0", -1},
      {"", -1},
      {"\n", -1},
      {"x", -1},
      {"max", -1},
  }));
  CAPTURE(row.text);
  const auto id = parse_pid(row.text);
  CHECK((id ? id.value() : -1) == row.id);
  if (!id) CHECK(id.error().number == EINVAL);
}
