// SPDX-License-Identifier: MIT
#include "cgroupfs/grammar.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <limits>

#include "cgroupfs/device_text.hpp"

namespace blkio::cgroupfs {
namespace {

constexpr std::uint64_t kU64Max = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint32_t kU32Max = std::numeric_limits<std::uint32_t>::max();
constexpr unsigned kMinorBits = 20;

constexpr unsigned kNotADigit = 99;

unsigned digit_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return static_cast<unsigned>(lower - 'a' + 10);
  return kNotADigit;
}

bool starts_as_hex(std::string_view text) {
  return text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == 'x' && digit_value(text[2]) < 16;
}

struct Digits {
  std::uint64_t value = 0;  ///< modulo 2^64
  std::size_t count = 0;
  bool overflow = false;
};

/// The digits at the start of the text.
Digits read_digits(std::string_view text, unsigned base) {
  Digits digits;
  for (const char c : text) {
    const unsigned digit = digit_value(c);
    if (digit >= base) break;
    if (digits.value > (kU64Max - digit) / base) digits.overflow = true;
    digits.value = digits.value * base + digit;
    ++digits.count;
  }
  return digits;
}

struct Prefixed {
  Digits digits;
  std::string_view rest;
};

/// The digits at the start of the text in the base its prefix tells. A `0x` with nothing behind it
/// is an octal zero followed by an x.
Prefixed read_prefixed(std::string_view text) {
  unsigned base = 10;
  if (starts_as_hex(text)) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.starts_with('0')) {
    base = 8;
  }
  const Digits digits = read_digits(text, base);
  return {digits, text.substr(digits.count)};
}

/// Takes a scanned number off the front of the text.
std::optional<std::uint64_t> take_scanned(std::string_view& text) {
  const std::string_view start = trim_front(text);
  const Digits digits = read_digits(start, 10);
  if (digits.count == 0) return std::nullopt;
  text = start.substr(digits.count);
  return digits.value;
}

/// Takes decimal digits off the front of the text: a number of at most `max`.
std::optional<std::uint64_t> take_decimal(std::string_view& text, std::uint64_t max) {
  const Digits digits = read_digits(text, 10);
  if (digits.count == 0 || digits.overflow || digits.value > max) return std::nullopt;
  text.remove_prefix(digits.count);
  return digits.value;
}

bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

DeviceNumber unpack(std::uint32_t major, std::uint32_t minor) {
  const std::uint32_t packed = (major << kMinorBits) | minor;
  return {packed >> kMinorBits, packed & ((1U << kMinorBits) - 1)};
}

}  // namespace

bool is_space(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == ' ' || (byte >= '\t' && byte <= '\r') || byte == 0xA0;
}

std::string_view trim_front(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  return text;
}

std::string_view trim(std::string_view text) {
  text = trim_front(text);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string_view until_nul(std::string_view text) {
  return text.substr(0, text.find('\0'));
}

Result<std::uint64_t> parse_strict_u64(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  auto [digits, rest] = read_prefixed(text);
  if (digits.overflow) return failure(ERANGE);
  if (digits.count == 0) return failure(EINVAL);
  if (rest.starts_with('\n')) rest.remove_prefix(1);
  if (!rest.empty()) return failure(EINVAL);
  return digits.value;
}

std::optional<std::uint64_t> scan_u64(std::string_view text) {
  return take_scanned(text);
}

Result<DeviceRule> parse_device_rule(std::string_view text) {
  const auto major = take_scanned(text);
  if (!major || !text.starts_with(':')) return failure(EINVAL);
  text.remove_prefix(1);
  const auto minor = take_scanned(text);
  if (!minor || text.empty() || !is_space(text.front())) return failure(EINVAL);
  return DeviceRule{unpack(static_cast<std::uint32_t>(*major), static_cast<std::uint32_t>(*minor)),
                    trim_front(text)};
}

Result<std::optional<std::uint64_t>> parse_throttle_value(std::string_view value, Limit limit) {
  const auto number = scan_u64(value);
  if (!number) return failure(EINVAL);
  if (*number == 0 || *number == kU64Max) return std::optional<std::uint64_t>{};
  if (counts_bytes(limit)) return number;
  const auto cut = static_cast<std::uint32_t>(*number);
  if (cut == kU32Max) return std::optional<std::uint64_t>{};
  return std::optional<std::uint64_t>{cut};
}

Result<std::uint64_t> parse_rule_number(std::string_view value, std::uint64_t max) {
  const auto number = take_decimal(value, max);
  if (!number || !trim_front(value).empty()) return failure(EINVAL);
  return *number;
}

Result<std::optional<DeviceNumber>> parse_other_device(std::string_view value) {
  value = trim(value);
  if (const auto number = parse_device_number(value)) return number;
  if (take_decimal(value, kU32Max) != 0U || !value.empty()) return failure(EINVAL);
  return std::optional<DeviceNumber>();
}

Result<TokenRefill> parse_token_refill(std::string_view value, std::uint64_t max) {
  value = trim(value);
  const auto tokens = take_decimal(value, max);
  if (!tokens) return failure(EINVAL);
  TokenRefill refill{.tokens = *tokens};
  if (value.empty()) return refill;
  refill.of_a_second = take_word(value, "/s");
  if (!take_word(value, "@")) return failure(EINVAL);
  const auto period = take_decimal(value, kU32Max);
  if (!period || *period == 0 || value != "ms") return failure(EINVAL);
  refill.period_ms = static_cast<std::uint32_t>(*period);
  if (refill.period_ms == 1000) refill.of_a_second = false;  // the same
  return refill;
}

std::string to_text(const TokenRefill& refill) {
  if (refill.period_ms == TokenRefill{}.period_ms) return fmt::format("{}", refill.tokens);
  return fmt::format("{}{}@{}ms", refill.tokens, refill.of_a_second ? "/s" : "", refill.period_ms);
}

std::optional<std::uint64_t> parse_group_weight(std::string_view text) {
  text = trim(text);
  const auto [digits, rest] = read_prefixed(text);
  if (rest.empty()) return digits.value;
  constexpr std::string_view kWord = "default";
  if (!text.starts_with(kWord)) return std::nullopt;
  return scan_u64(text.substr(kWord.size()));
}

Result<std::optional<std::uint64_t>> parse_device_weight(std::string_view value) {
  if (const auto number = scan_u64(value)) return number;
  if (trim(value) == "default") return std::optional<std::uint64_t>{};
  return failure(EINVAL);
}

bool is_weight_listing_header(std::string_view text) {
  text = trim_front(text);
  const std::string_view line = trim(text.substr(0, text.find('\n')));
  if (!line.starts_with("dev")) return false;
  const std::string_view rest = line.substr(3);
  return !rest.empty() && is_space(rest.front()) && trim_front(rest) == "weight";
}

Result<pid_t> parse_pid(std::string_view text) {
  text = trim(text);
  // The kernel reads a signed number: minus zero is a zero, and a sign may not follow a sign.
  const bool negative = text.starts_with('-');
  if (negative) {
    text.remove_prefix(1);
    if (text.starts_with('+')) return failure(EINVAL);
  }
  const auto number = parse_strict_u64(text);
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<pid_t>::max());
  if (!number || number.value() > (negative ? 0 : kMax)) return failure(EINVAL);
  return static_cast<pid_t>(number.value());
}

}  // namespace blkio::cgroupfs
