// SPDX-License-Identifier: MIT
#include "cgroupfs/rules.hpp"

namespace blkio::cgroupfs {

DeviceRules rules_of(const Group& group, DeviceNumber device) {
  const auto found = group.rules.find(device);
  return found == group.rules.end() ? DeviceRules{} : found->second;
}

void meet(Controller& controller, const Group& group, DeviceNumber device) {
  controller.start_throttle_counters(device);
  controller.meet_device(group.id, device);
}

void set_rules(Controller& controller, Group& group, DeviceNumber device, const DeviceRules& rules,
               Levels levels) {
  if (rules.empty()) {
    group.rules.erase(device);
  } else {
    group.rules[device] = rules;
  }
  controller.set_rules(group.id, device, rules, levels);
}

void apply_rules(Controller& controller, const Group& group, DeviceNumber device) {
  const auto rules = group.rules.find(device);
  if (rules != group.rules.end()) {
    meet(controller, group, device);
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
  return group.rules.erase(device) + group.weights.of_device.erase(device) +
             group.leaf_weights.of_device.erase(device) !=
         0;
}

}  // namespace blkio::cgroupfs
