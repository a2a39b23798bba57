// SPDX-License-Identifier: MIT
#include "cgroupfs/stat_files.hpp"

#include <fmt/format.h>

#include <iterator>

#include "cgroupfs/group_tree.hpp"

namespace blkio::cgroupfs {
namespace {

bool has_rows(const Controller& controller, DeviceNumber device, StatDevices devices) {
  switch (devices) {
    case StatDevices::kThrottled:
      return controller.throttle_counters_started(device);
    case StatDevices::kWeighted:
      return controller.has_weights(device);
    case StatDevices::kAll:
      return true;
  }
  return false;
}

constexpr std::uint64_t kSectorBytes = 512;

OpCounts recursive_counts(const FileServices& services, const Group& top, DeviceNumber device,
                          Counter counter) {
  OpCounts sum;
  services.tree.for_each_in_subtree(top, [&](const Group& group) {
    sum += services.controller.counts(group.id, device, counter);
    sum += services.controller.inherited_counts(group.id, device, counter);
  });
  return sum;
}

std::uint64_t recursive_time_ns(const FileServices& services, const Group& top,
                                DeviceNumber device) {
  std::uint64_t sum = 0;
  services.tree.for_each_in_subtree(top, [&](const Group& group) {
    sum += services.controller.scalar(group.id, device, Scalar::kTimeNs);
    sum += services.controller.scalar(group.id, device, Scalar::kTimeLeftNs);
  });
  return sum;
}

/// number(services, group, device) in a row for each device.
template <class Number>
Show show_numbers(StatDevices devices, Number number) {
  return [=](const FileServices& services, const Group& group) {
    std::string text;
    for (const DeviceNumber device : services.controller.devices_met(group.id)) {
      if (!has_rows(services.controller, device, devices)) continue;
      fmt::format_to(std::back_inserter(text), "{}:{} {}\n", device.major, device.minor,
                     number(services, group, device));
    }
    return text;
  };
}

void append_rows(std::string& text, DeviceNumber device, const OpCounts& counts) {
  const auto row = [&](const char* column, std::uint64_t value) {
    fmt::format_to(std::back_inserter(text), "{}:{} {} {}\n", device.major, device.minor, column,
                   value);
  };
  row("Read", counts.read);
  row("Write", counts.write);
  row("Sync", counts.sync);
  row("Async", counts.async);
  row("Discard", counts.discard);
  row("Total", counts.total());
}

}  // namespace

Show show_stat(Counter counter, StatDevices devices, StatScope scope) {
  return [=](const FileServices& services, const Group& group) {
    std::string text;
    std::uint64_t total = 0;
    for (const DeviceNumber device : services.controller.devices_met(group.id)) {
      if (!has_rows(services.controller, device, devices)) continue;
      const OpCounts counts = scope == StatScope::kRecursive
                                  ? recursive_counts(services, group, device, counter)
                                  : services.controller.counts(group.id, device, counter);
      append_rows(text, device, counts);
      total += counts.total();
    }
    fmt::format_to(std::back_inserter(text), "Total {}\n", total);
    return text;
  };
}

Show show_scalar(Scalar scalar, StatDevices devices) {
  return show_numbers(devices,
                      [=](const FileServices& services, const Group& group, DeviceNumber device) {
                        return services.controller.scalar(group.id, device, scalar);
                      });
}

Show show_time(StatDevices devices, StatScope scope) {
  return show_numbers(devices, [=](const FileServices& services, const Group& group,
                                   DeviceNumber device) {
    const std::uint64_t ns = scope == StatScope::kRecursive
                                 ? recursive_time_ns(services, group, device)
                                 : services.controller.scalar(group.id, device, Scalar::kTimeNs);
    return ns / static_cast<std::uint64_t>(kMillisecondNs);
  });
}

Show show_sectors(StatDevices devices, StatScope scope) {
  return show_numbers(
      devices, [=](const FileServices& services, const Group& group, DeviceNumber device) {
        if (scope == StatScope::kOwn) {
          return services.controller.counts(group.id, device, Counter::kBfqBytes).total() /
                 kSectorBytes;
        }
        const OpCounts bytes = recursive_counts(services, group, device, Counter::kBfqBytes);
        return (bytes.read + bytes.write) / kSectorBytes;
      });
}

Store store_reset_stats() {
  return [](const FileServices& services, Group& group, std::string_view text,
            const Writer&) -> Result<void> {
    BLKIO_TRY(parse_strict_u64(text));
    if (services.dialect == Dialect::kDoc) services.controller.reset_stats(group.id);
    return success();
  };
}

}  // namespace blkio::cgroupfs
