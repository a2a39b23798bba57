// SPDX-License-Identifier: MIT
#include "cgroupfs/throttle_files.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <iterator>

#include "cgroupfs/rules.hpp"

namespace blkio::cgroupfs {
namespace {

constexpr mode_t kReadWrite = 0644;

Show show_rules(const RuleField& field) {
  return [show = field.show](const FileServices& services, const Group& group) {
    std::string text;
    if (group.rules.empty()) return text;
    for (const DeviceNumber device : services.controller.devices_met(group.id)) {
      const auto rules = group.rules.find(device);
      if (rules == group.rules.end()) continue;
      const auto value = show(rules->second);
      if (!value) continue;
      fmt::format_to(std::back_inserter(text), "{}:{} {}\n", device.major, device.minor, *value);
    }
    return text;
  };
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

FileRow rule_file(std::string_view name, Presence presence, const RuleField& field) {
  return {name, kReadWrite, presence, show_rules(field), store_rule(field)};
}

}  // namespace blkio::cgroupfs
