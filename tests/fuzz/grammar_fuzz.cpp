// SPDX-License-Identifier: MIT
// The grammars of what is written into cgroup files. The input is the text of one write(2).
#include "cgroupfs/grammar.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

#include "fuzz/fuzz_target.hpp"

namespace blkio::fuzz {
namespace {

using namespace blkio::cgroupfs;

bool is_part_of(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check_cutting(std::string_view text) {
  const std::string_view cut = until_nul(text);
  require(cut.find('\0') == std::string_view::npos, "nothing is left behind a NUL");
  const std::string_view middle = trim(text);
  require(is_part_of(middle, text), "trim() returns a part of its text");
  require(trim(middle) == middle, "trim() leaves no white space at the ends");
  require(text.ends_with(trim_front(text)), "trim_front() takes nothing off the end");
}

void check_strict(const std::string& text) {
  const auto number = parse_strict_u64(text);
  if (!number) {
    const int error = number.error().number;
    require(error == EINVAL || error == ERANGE, "a strict number fails with EINVAL or ERANGE");
    return;
  }
  // C's own idea of a base by prefix is the same; it only takes more (blanks, signs, trailing
  // text).
  require(std::strtoull(text.c_str(), nullptr, 0) == number.value(), "strtoull(3) agrees");
  const auto again = parse_strict_u64(fmt::format("{}\n", number.value()));
  require(again && again.value() == number.value(), "a number printed is the same number");
}

void check_throttle_value(std::string_view value, Limit limit) {
  const auto parsed = parse_throttle_value(value, limit);
  require(parsed.has_value() == scan_u64(value).has_value(),
          "a limit is whatever scans as a number");
  if (!parsed || !parsed.value()) return;
  const std::uint64_t rate = *parsed.value();
  const bool is_iops = limit == Limit::kReadIops || limit == Limit::kWriteIops;
  const std::uint64_t none = is_iops ? std::numeric_limits<std::uint32_t>::max()
                                     : std::numeric_limits<std::uint64_t>::max();
  require(rate < none, "a limit is below the value that means none");
  require(rate != 0 || is_iops, "0 bytes per second is not a limit but its removal");
  if (rate == 0) return;
  const auto again = parse_throttle_value(std::to_string(rate), limit);
  require(again && again.value() == rate, "a limit shown and written back is the same limit");
}

void check_rule_number(std::string_view value) {
  constexpr std::uint64_t kMax = 1'000'000;
  const auto number = parse_rule_number(value, kMax);
  if (!number) return require(number.error().number == EINVAL, "a malformed number is EINVAL");
  require(number.value() <= kMax, "a number keeps its bound");
  require(scan_u64(value) == number.value(), "a strict number is what the kernel would scan");
  const auto again = parse_rule_number(fmt::format("{}\n", number.value()), kMax);
  require(again && again.value() == number.value(), "a number shown and written back is the same");
}

void check_token_refill(std::string_view value) {
  constexpr std::uint64_t kMax = 1'000'000;
  const auto refill = parse_token_refill(value, kMax);
  if (!refill) return require(refill.error().number == EINVAL, "a malformed refill is EINVAL");
  require(refill.value().tokens <= kMax, "a refill keeps its bound");
  require(refill.value().period_ms > 0, "a period lasts");
  const auto again = parse_token_refill(to_text(refill.value()), kMax);
  require(again && again.value() == refill.value(), "a refill shown and written back is the same");
}

void check_other_device(std::string_view value) {
  const auto other = parse_other_device(value);
  if (!other) return require(other.error().number == EINVAL, "a malformed device is EINVAL");
  const auto shown = other.value()
                         ? fmt::format("{}:{}", other.value()->major, other.value()->minor)
                         : std::string("0");
  const auto again = parse_other_device(shown + "\n");
  require(again && again.value() == other.value(), "a device shown and written back is the same");
}

void check_device_rule(std::string_view text) {
  const auto rule = parse_device_rule(text);
  if (!rule) return require(rule.error().number == EINVAL, "a malformed rule is EINVAL");
  const auto [device, value] = rule.value();
  require(is_part_of(value, text), "the value is a part of the text");
  require(value.empty() || !is_space(value.front()), "the value starts with what it says");
  require(device.major < 1U << 12 && device.minor < 1U << 20, "a device fits into a dev_t");
  const std::string canonical = fmt::format("{}:{} {}", device.major, device.minor, value);
  const auto again = parse_device_rule(canonical);
  require(again && again.value().device == device && again.value().value == value,
          "a rule in its plain form is the same rule");
  for (const Limit limit :
       {Limit::kReadBps, Limit::kWriteBps, Limit::kReadIops, Limit::kWriteIops}) {
    check_throttle_value(value, limit);
  }
  check_rule_number(value);
  check_token_refill(value);
  check_other_device(value);
}

void check_weights(std::string_view text) {
  const auto number = parse_strict_u64(text);
  const auto group = parse_group_weight(text);
  if (number && !text.starts_with('+')) {
    require(group == number.value(), "a strict number is a group's weight");
  }
  if (is_weight_listing_header(text)) require(!group, "the header of a listing is no weight");
  const auto device = parse_device_weight(text);
  if (!device) require(device.error().number == EINVAL, "a malformed weight is EINVAL");
}

void check_pid(std::string_view text) {
  const auto pid = parse_pid(text);
  if (!pid) return require(pid.error().number == EINVAL, "a malformed id is EINVAL");
  require(pid.value() >= 0, "an id is not negative");
  const auto again = parse_pid(fmt::format(" {}\n", pid.value()));
  require(again && again.value() == pid.value(), "an id printed is the same id");
}

void check_all(std::string_view raw) {
  check_cutting(raw);
  const std::string text(until_nul(raw));
  check_strict(text);
  check_device_rule(text);
  check_weights(text);
  check_pid(text);
}

}  // namespace
}  // namespace blkio::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  blkio::fuzz::check_all(blkio::fuzz::text_of(data, size));
  return 0;
}
