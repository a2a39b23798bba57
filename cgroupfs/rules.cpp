// SPDX-License-Identifier: MIT
#include "cgroupfs/rules.hpp"

namespace blkio::cgroupfs {

void apply_rules(Controller& controller, const Group& group, DeviceNumber device) {
  const auto limits = group.limits.find(device);
  if (limits != group.limits.end()) {
    controller.start_throttle_counters(device);
    controller.meet_device(group.id, device);
    for (int i = 0; i < kLimits; ++i) {
      const auto& per_second = limits->second[static_cast<std::size_t>(i)];
      if (per_second) controller.set_limit(group.id, device, static_cast<Limit>(i), per_second);
    }
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
  return group.limits.erase(device) + group.weights.of_device.erase(device) +
             group.leaf_weights.of_device.erase(device) !=
         0;
}

}  // namespace blkio::cgroupfs
