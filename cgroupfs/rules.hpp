// SPDX-License-Identifier: MIT
/// The rules of a group: kept in its data, and told to the data plane.
#pragma once

#include <vector>

#include "blkio/controller.hpp"
#include "blkio/result.hpp"
#include "blkio/types.hpp"
#include "cgroupfs/group.hpp"

namespace blkio::cgroupfs {

/// Those of the group for the device; empty if it has none.
DeviceRules rules_of(const Group& group, DeviceNumber device);

/// The group and its ancestors get to know the device, and from now on its throttle.* counters
/// count. A file does this before it looks at the value. The device is proxied.
void meet(Controller& controller, const Group& group, DeviceNumber device);

/// The devices with one account of limits for this one and themselves, itself among them, by
/// number.
std::vector<DeviceNumber> sharers(const Group& group, DeviceNumber device);

/// The whole set, in place of the last one, for all that share it; who shares stays as it is. The
/// device has been met.
void set_rules(Controller& controller, Group& group, DeviceNumber device, const DeviceRules& rules,
               Levels levels);

/// The device's limits are those of the other and its sharers from now on, and its own are
/// forgotten. In the order of the checks, and nothing has changed then: ENODEV: the other is not
/// proxied; EINVAL: it is the same; EXDEV: see Controller::can_share(). The device has been met.
Result<void> join(Controller& controller, Group& group, DeviceNumber device, DeviceNumber other);
/// The device shares no limits any more, and has none; the others go on. Nothing happens if it
/// shares none.
void leave(Controller& controller, Group& group, DeviceNumber device);

/// For a group that was restored, or a device that came after its rules. Does nothing if the group
/// has no rule for the device. The device is proxied.
void apply_rules(Controller& controller, const Group& group, DeviceNumber device);

/// The same for the weights of a group that was restored, on all devices.
void apply_weights(Controller& controller, const Group& group);

/// The group's data has no rule for the device any more. False if it had none.
bool forget_rules(Group& group, DeviceNumber device);

}  // namespace blkio::cgroupfs
