// SPDX-License-Identifier: MIT
/// The rules of a group, told to the data plane at another time than when they were written.
#pragma once

#include "blkio/controller.hpp"
#include "blkio/types.hpp"
#include "cgroupfs/group.hpp"

namespace blkio::cgroupfs {

/// For a group that was restored, or a device that came after its rules. Does nothing if the group
/// has no rule for the device. The device is proxied.
void apply_rules(Controller& controller, const Group& group, DeviceNumber device);

/// The same for the weights of a group that was restored, on all devices.
void apply_weights(Controller& controller, const Group& group);

/// The group's data has no rule for the device any more. False if it had none.
bool forget_rules(Group& group, DeviceNumber device);

}  // namespace blkio::cgroupfs
