// SPDX-License-Identifier: MIT
#include "cgroupfs/rule_fields.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <limits>

#include "cgroupfs/grammar.hpp"
#include "cgroupfs/rule_checks.hpp"

namespace blkio::cgroupfs {
namespace {

constexpr std::uint64_t kAnyNumber = std::numeric_limits<std::uint64_t>::max();

std::optional<std::string> unless(std::uint64_t unset, std::uint64_t number) {
  if (number == unset) return std::nullopt;
  return fmt::format("{}", number);
}

/// A file has no room for a sentence.
Result<void> as_errno(const Result<void>& checked) {
  if (checked) return success();
  return failure(EINVAL);
}

Result<void> check_beside_others(const DeviceRules& rules, Limit limit) {
  if (rules.qemu_strict) BLKIO_TRY(as_errno(check_exclusive(rules)));
  return as_errno(check_rate(rules.of(limit)));
}

Result<std::optional<std::uint64_t>> parse_rate(std::string_view text, Limit limit) {
  if (!is_total(limit)) return parse_throttle_value(text, limit);
  BLKIO_TRY(const auto number, parse_rule_number(text, kMaxRate));
  return number == 0 ? std::nullopt : std::optional(number);
}

/// A number of the set that is 0 where it is not set.
RuleField number_field(std::uint64_t DeviceRules::*number, std::uint64_t max) {
  return {[=](const DeviceRules& rules) { return unless(0, rules.*number); },
          [=](DeviceRules& rules, std::string_view text) -> Result<void> {
            BLKIO_TRY(rules.*number, parse_rule_number(text, max));
            return success();
          }};
}

}  // namespace

RuleField rate_of(Limit limit) {
  return {[=](const DeviceRules& rules) -> std::optional<std::string> {
            const auto per_second = rules.of(limit).per_second;
            if (!per_second) return std::nullopt;
            return fmt::format("{}", *per_second);
          },
          [=](DeviceRules& rules, std::string_view text) -> Result<void> {
            RateRule& rule = rules.of(limit);
            BLKIO_TRY(rule.per_second, parse_rate(text, limit));
            // Alone, a rate of the kernel's files has the kernel's range.
            const bool as_the_kernel =
                !is_total(limit) && rule.burst_per_second == 0 && !rules.qemu_strict;
            return as_the_kernel ? Result<void>(success()) : check_beside_others(rules, limit);
          }};
}

RuleField burst_rate_of(Limit limit) {
  return {[=](const DeviceRules& rules) { return unless(0, rules.of(limit).burst_per_second); },
          [=](DeviceRules& rules, std::string_view text) -> Result<void> {
            RateRule& rule = rules.of(limit);
            BLKIO_TRY(rule.burst_per_second, parse_rule_number(text, kMaxRate));
            if (rule.burst_per_second == 0) rule = {.per_second = rule.per_second};
            const bool is_gone = rule.burst_per_second == 0;
            return is_gone ? Result<void>(success()) : check_beside_others(rules, limit);
          }};
}

RuleField burst_length_of(Limit limit) {
  return {[=](const DeviceRules& rules) { return unless(1, rules.of(limit).burst_seconds); },
          [=](DeviceRules& rules, std::string_view text) -> Result<void> {
            RateRule& rule = rules.of(limit);
            BLKIO_TRY(rule.burst_seconds, parse_rule_number(text, kMaxBurstSeconds));
            if (rule.burst_seconds <= 1) {
              rule.burst_seconds = 1;
              return success();
            }
            return check_beside_others(rules, limit);
          }};
}

RuleField iops_size() {
  return number_field(&DeviceRules::iops_size, kAnyNumber);
}

RuleField max_hold_ms() {
  return number_field(&DeviceRules::max_hold_ms, kMaxHoldMs);
}

RuleField dry_run() {
  return {[](const DeviceRules& rules) { return unless(0, rules.dry_run ? 1 : 0); },
          [](DeviceRules& rules, std::string_view text) -> Result<void> {
            BLKIO_TRY(const auto number, parse_rule_number(text, 1));
            rules.dry_run = number == 1;
            return success();
          }};
}

RuleField tokens_max() {
  return {[](const DeviceRules& rules) { return unless(0, rules.tokens.max.value_or(0)); },
          [](DeviceRules& rules, std::string_view text) -> Result<void> {
            BLKIO_TRY(const auto number, parse_rule_number(text, kMaxTokens));
            rules.tokens.max = number == 0 ? std::nullopt : std::optional(number);
            return success();
          }};
}

RuleField tokens_refill() {
  return {[](const DeviceRules& rules) -> std::optional<std::string> {
            if (!rules.tokens.refill) return std::nullopt;
            return to_text(*rules.tokens.refill);
          },
          [](DeviceRules& rules, std::string_view text) -> Result<void> {
            BLKIO_TRY(const auto refill, parse_token_refill(text, kMaxTokens));
            rules.tokens.refill = refill.tokens == 0 ? std::nullopt : std::optional(refill);
            return success();
          }};
}

}  // namespace blkio::cgroupfs
