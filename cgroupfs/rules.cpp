// SPDX-License-Identifier: MIT
#include "cgroupfs/rules.hpp"

#include <cerrno>
#include <optional>

namespace blkio::cgroupfs {

namespace {

void keep(Group& group, DeviceNumber device, DeviceRules rules,
          std::optional<DeviceNumber> shared_with) {
  rules.shared_with = shared_with;
  if (rules.empty()) {
    group.rules.erase(device);
  } else {
    group.rules[device] = rules;
  }
}

/// Those who stay together are named after the first of them; one alone shares nothing.
bool forget_limits(Group& group, DeviceNumber device) {
  std::vector<DeviceNumber> left = sharers(group, device);
  std::erase(left, device);
  const bool had_any = group.rules.erase(device) != 0;
  for (const DeviceNumber each : left) {
    const DeviceRules rules = rules_of(group, each);
    const bool named_after_it = rules.shared_with == device;
    auto shared_with = named_after_it ? std::optional(left.front()) : rules.shared_with;
    if (left.size() == 1) shared_with.reset();
    keep(group, each, rules, shared_with);
  }
  return had_any;
}

}  // namespace

DeviceRules rules_of(const Group& group, DeviceNumber device) {
  const auto found = group.rules.find(device);
  return found == group.rules.end() ? DeviceRules{} : found->second;
}

void meet(Controller& controller, const Group& group, DeviceNumber device) {
  controller.start_throttle_counters(device);
  controller.meet_device(group.id, device);
}

std::vector<DeviceNumber> sharers(const Group& group, DeviceNumber device) {
  const auto shared_with = rules_of(group, device).shared_with;
  if (!shared_with) return {device};
  std::vector<DeviceNumber> all;
  for (const auto& [number, rules] : group.rules) {
    if (rules.shared_with == shared_with) all.push_back(number);
  }
  return all;
}

void set_rules(Controller& controller, Group& group, DeviceNumber device, const DeviceRules& rules,
               Levels levels) {
  for (const DeviceNumber each : sharers(group, device)) {
    keep(group, each, rules, rules_of(group, each).shared_with);
  }
  controller.set_rules(group.id, device, rules, levels);
  // Told to all: a restored set may be on engines that cannot share.
  for (const DeviceNumber each : sharers(group, device)) {
    if (each == device || !controller.has_device(each)) continue;
    controller.set_rules(group.id, each, rules, Levels::kKept);
  }
}

Result<void> join(Controller& controller, Group& group, DeviceNumber device, DeviceNumber other) {
  if (!controller.has_device(other)) return failure(ENODEV);
  if (other == device) return failure(EINVAL);
  BLKIO_TRY(controller.can_share(device, other));
  const DeviceRules rules = rules_of(group, other);
  const DeviceNumber first = rules.shared_with.value_or(other);
  if (rules_of(group, device).shared_with == first) return success();
  leave(controller, group, device);
  meet(controller, group, other);
  keep(group, other, rules, first);
  keep(group, device, rules, first);
  controller.share(group.id, device, other);
  return success();
}

void leave(Controller& controller, Group& group, DeviceNumber device) {
  if (!rules_of(group, device).shared_with) return;
  forget_limits(group, device);
  controller.unshare(group.id, device);
}

void apply_rules(Controller& controller, const Group& group, DeviceNumber device) {
  const auto rules = group.rules.find(device);
  if (rules != group.rules.end()) {
    meet(controller, group, device);
    for (const DeviceNumber other : sharers(group, device)) {
      if (other == device || !controller.has_device(other)) continue;
      if (!controller.can_share(device, other)) continue;
      controller.share(group.id, device, other);
      break;
    }
    controller.set_rules(group.id, device, rules->second, Levels::kKept);
  }
  const bool weighted =
      group.weights.of_device.contains(device) || group.leaf_weights.of_device.contains(device);
  if (weighted) controller.meet_device(group.id, device);
}

void apply_weights(Controller& controller, const Group& group) {
  const Weights usual;
  if (group.weights == usual && group.leaf_weights == usual) return;
  controller.set_weights(group.id, group.weights, group.leaf_weights);
}

bool forget_rules(Group& group, DeviceNumber device) {
  const bool had_limits = forget_limits(group, device);
  const auto weights =
      group.weights.of_device.erase(device) + group.leaf_weights.of_device.erase(device);
  return had_limits || weights != 0;
}

}  // namespace blkio::cgroupfs
