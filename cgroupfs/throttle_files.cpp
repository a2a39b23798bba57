// SPDX-License-Identifier: MIT
#include "cgroupfs/throttle_files.hpp"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <iterator>
#include <utility>

#include "blkio/limit_words.hpp"
#include "cgroupfs/device_text.hpp"
#include "cgroupfs/rules.hpp"

namespace blkio::cgroupfs {
namespace {

constexpr mode_t kReadWrite = 0644;

/// Calls f(device, rules) for each device with rules, the one met last first.
template <class F>
void for_each_rules(const FileServices& services, const Group& group, F f) {
  if (group.rules.empty()) return;
  for (const DeviceNumber device : services.controller.devices_met(group.id)) {
    const auto rules = group.rules.find(device);
    if (rules != group.rules.end()) f(device, rules->second);
  }
}

void append_row(std::string& text, DeviceNumber device, std::string_view value) {
  fmt::format_to(std::back_inserter(text), "{}:{} {}\n", device.major, device.minor, value);
}

Show show_rules(const RuleField& field) {
  return [show = field.show](const FileServices& services, const Group& group) {
    std::string text;
    for_each_rules(services, group, [&](DeviceNumber device, const DeviceRules& rules) {
      if (const auto value = show(rules)) append_row(text, device, *value);
    });
    return text;
  };
}

std::string stat_of(std::string_view name, const LimitReport& report) {
  return fmt::format("{} delayed={} held_ns={} binding={}", name, report.delayed, report.held_ns,
                     report.binding ? 1 : 0);
}

bool tokens_bind(const DeviceRules& rules) {
  return rules.tokens.max && rules.tokens.refill;
}

std::string show_shared(const FileServices& services, const Group& group) {
  std::string text;
  for_each_rules(services, group, [&](DeviceNumber device, const DeviceRules& rules) {
    if (!rules.shared_with || *rules.shared_with == device) return;
    append_row(text, device, to_text(*rules.shared_with));
  });
  return text;
}

Result<void> store_shared(const FileServices& services, Group& group, std::string_view text,
                          const Writer&) {
  BLKIO_TRY(const auto rule, parse_device_rule(text));
  if (!services.controller.has_device(rule.device)) return failure(ENODEV);
  meet(services.controller, group, rule.device);
  BLKIO_TRY(const auto other, parse_other_device(rule.value));
  if (other) return join(services.controller, group, rule.device, *other);
  leave(services.controller, group, rule.device);
  return success();
}

Store store_rule(const RuleField& field) {
  return [store = field.store](const FileServices& services, Group& group, std::string_view text,
                               const Writer&) -> Result<void> {
    BLKIO_TRY(const auto rule, parse_device_rule(text));
    if (!services.controller.has_device(rule.device)) return failure(ENODEV);
    meet(services.controller, group, rule.device);
    DeviceRules rules = rules_of(group, rule.device);
    BLKIO_TRY(store(rules, rule.value));
    set_rules(services.controller, group, rule.device, rules, Levels::kKept);
    return success();
  };
}

}  // namespace

FileRow shared_file(std::string_view name, Presence presence) {
  return {name, kReadWrite, presence, show_shared, store_shared};
}

FileRow rule_file(std::string_view name, Presence presence, const RuleField& field) {
  return {name, kReadWrite, presence, show_rules(field), store_rule(field)};
}

Show show_throttle_stat() {
  return [](const FileServices& services, const Group& group) {
    std::string text;
    for_each_rules(services, group, [&](DeviceNumber device, const DeviceRules& rules) {
      const ThrottleReport report = services.controller.throttle_report(group.id, device);
      for (const auto& [limit, name] : kLimitWords) {
        if (rules.of(limit).per_second) append_row(text, device, stat_of(name, report.of(limit)));
      }
      if (tokens_bind(rules)) append_row(text, device, stat_of("tokens", report.tokens));
    });
    return text;
  };
}

News news_of_throttle_stat() {
  return [](const FileServices& services, const Group& group) {
    std::uint64_t changes = 0;
    for_each_rules(services, group, [&](DeviceNumber device, const DeviceRules&) {
      changes += services.controller.throttle_report(group.id, device).changes;
    });
    return changes;
  };
}

Show show_token_status() {
  return [](const FileServices& services, const Group& group) {
    std::string text;
    for_each_rules(services, group, [&](DeviceNumber device, const DeviceRules& rules) {
      if (!tokens_bind(rules)) return;
      const auto status = services.controller.token_status(group.id, device);
      if (!status) return;
      append_row(text, device,
                 fmt::format("io_count={} io_rate={} io_tokens={} token_refill={} token_max={}",
                             status->io_count, status->io_rate, status->io_tokens,
                             status->refill.tokens, status->max));
    });
    return text;
  };
}

}  // namespace blkio::cgroupfs
