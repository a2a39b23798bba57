// SPDX-License-Identifier: MIT
#include "cgroupfs/throttle_files.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace blkio::cgroupfs {
namespace {

std::size_t index_of(Limit limit) {
  return static_cast<std::size_t>(limit);
}

void keep(Group& group, DeviceNumber device, Limit limit, std::optional<std::uint64_t> value) {
  DeviceLimits& limits = group.limits[device];
  limits[index_of(limit)] = value;
  const bool empty =
      std::none_of(limits.begin(), limits.end(), [](const auto& one) { return one.has_value(); });
  if (empty) group.limits.erase(device);
}

}  // namespace

Show show_limit(Limit limit) {
  return [limit](const FileServices& services, const Group& group) {
    std::string text;
    if (group.limits.empty()) return text;
    for (const DeviceNumber device : services.controller.devices_met(group.id)) {
      const auto limits = group.limits.find(device);
      if (limits == group.limits.end()) continue;
      const auto value = limits->second[index_of(limit)];
      if (!value) continue;
      fmt::format_to(std::back_inserter(text), "{}:{} {}\n", device.major, device.minor, *value);
    }
    return text;
  };
}

Store store_limit(Limit limit) {
  return [limit](const FileServices& services, Group& group, std::string_view text,
                 const Writer&) -> Result<void> {
    Controller& controller = services.controller;
    BLKIO_TRY(const auto rule, parse_device_rule(text));
    if (!controller.has_device(rule.device)) return failure(ENODEV);
    controller.start_throttle_counters(rule.device);
    controller.meet_device(group.id, rule.device);
    BLKIO_TRY(const auto value, parse_throttle_value(rule.value, limit));
    keep(group, rule.device, limit, value);
    controller.set_limit(group.id, rule.device, limit, value);
    return success();
  };
}

}  // namespace blkio::cgroupfs
