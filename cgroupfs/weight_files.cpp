// SPDX-License-Identifier: MIT
#include "cgroupfs/weight_files.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <iterator>

#include "cgroupfs/device_text.hpp"

namespace blkio::cgroupfs {
namespace {

template <class GroupOrConst>
auto& weights_of(GroupOrConst& group, WeightKind kind) {
  return kind == WeightKind::kLeaf || group.is_root() ? group.leaf_weights : group.weights;
}

Result<std::uint32_t> in_range(std::uint64_t number) {
  if (number < kMinWeight || number > kMaxWeight) return failure(ERANGE);
  return static_cast<std::uint32_t>(number);
}

Result<void> set_group_weight(const FileServices& services, Weights& weights,
                              std::uint64_t number) {
  BLKIO_TRY(const auto weight, in_range(number));
  weights.value = weight;
  if (services.dialect == Dialect::kKernel) weights.of_device.clear();
  return success();
}

Result<void> set_device_weight(const FileServices& services, Weights& weights, DeviceNumber device,
                               std::optional<std::uint64_t> number) {
  const bool removes = !number || (*number == 0 && services.dialect == Dialect::kDoc);
  if (removes) {
    weights.of_device.erase(device);
    return success();
  }
  BLKIO_TRY(const auto weight, in_range(*number));
  weights.of_device[device] = weight;
  return success();
}

Result<void> tell(const FileServices& services, const Group& group, Result<void> stored) {
  if (stored) services.controller.set_weights(group.id, group.weights, group.leaf_weights);
  return stored;
}

}  // namespace

Show show_weight(WeightKind kind) {
  return [kind](const FileServices&, const Group& group) {
    return fmt::format("{}\n", weights_of(group, kind).value);
  };
}

Store store_weight(WeightKind kind) {
  return [kind](const FileServices& services, Group& group, std::string_view text,
                const Writer&) -> Result<void> {
    BLKIO_TRY(const auto number, parse_strict_u64(text));
    return tell(services, group, set_group_weight(services, weights_of(group, kind), number));
  };
}

Show show_device_weights(WeightKind kind) {
  return [kind](const FileServices& services, const Group& group) {
    const Weights& weights = weights_of(group, kind);
    const bool documented = services.dialect == Dialect::kDoc;
    std::string text = documented ? fmt::format("{:<7} weight\n", "dev")
                                  : fmt::format("default {}\n", weights.value);
    if (weights.of_device.empty()) return text;
    for (const DeviceNumber device : services.controller.devices_met(group.id)) {
      const auto weight = weights.of_device.find(device);
      if (weight == weights.of_device.end() || !services.controller.has_weights(device)) continue;
      const std::string number = to_text(device);
      const int width = documented ? 7 : 0;
      fmt::format_to(std::back_inserter(text), "{:<{}} {}\n", number, width, weight->second);
    }
    return text;
  };
}

Store store_device_weight(WeightKind kind) {
  return [kind](const FileServices& services, Group& group, std::string_view text,
                const Writer&) -> Result<void> {
    Weights& weights = weights_of(group, kind);
    if (services.dialect == Dialect::kDoc && is_weight_listing_header(text)) return success();
    if (const auto number = parse_group_weight(text)) {
      return tell(services, group, set_group_weight(services, weights, *number));
    }
    BLKIO_TRY(const auto rule, parse_device_rule(trim(text)));
    if (!services.controller.has_device(rule.device)) return failure(ENODEV);
    if (!services.controller.has_weights(rule.device)) return failure(EOPNOTSUPP);
    services.controller.meet_device(group.id, rule.device);
    BLKIO_TRY(const auto number, parse_device_weight(rule.value));
    return tell(services, group, set_device_weight(services, weights, rule.device, number));
  };
}

}  // namespace blkio::cgroupfs
