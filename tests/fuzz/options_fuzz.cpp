// SPDX-License-Identifier: MIT
// The list behind -o. The input is the list.
#include "daemon/options.hpp"

#include <cerrno>
#include <string>
#include <string_view>

#include "fuzz/fuzz_target.hpp"

namespace blkio::fuzz {
namespace {

using daemon::DeviceOption;
using daemon::Options;
using daemon::parse_mount_options;

void check_device(const DeviceOption& device) {
  require(device.path.empty() != (device.null_bytes == 0), "a device is a path or a null device");
  require(device.null_bytes == 0 || device.number, "a null device has a number");
  require(device.null_bytes == 0 || device.null_bytes >= 512, "a null device has a sector");
}

void check_accepted(const Options& options) {
  for (const DeviceOption& device : options.devices) check_device(device);
  for (const auto& [device, group] : options.default_groups) {
    require(!group.empty(), "a default group has a name");
  }
  require(options.max_held_bytes >= 1U << 20, "max_held lets a request through");
  const std::string levels = " trace debug info warn error off ";
  require(levels.find(" " + options.log_level + " ") != std::string::npos, "a level is one of six");
}

bool same(const Options& a, const Options& b) {
  return a.devices.size() == b.devices.size() && a.devdir == b.devdir &&
         a.hierarchy == b.hierarchy && a.dialect == b.dialect && a.weights == b.weights &&
         a.default_groups == b.default_groups && a.max_held_bytes == b.max_held_bytes &&
         a.control == b.control && a.log_level == b.log_level && a.log_file == b.log_file &&
         a.remount == b.remount;
}

void check_all(std::string_view list) {
  Options options;
  const auto parsed = parse_mount_options(list, options);
  Options padded;
  const auto parsed_padded = parse_mount_options("rw,,x-any=1," + std::string(list), padded);
  require(parsed.has_value() == parsed_padded.has_value(), "words for mount(8) change nothing");
  if (!parsed) {
    require(parsed.error().number == EINVAL, "a refused list is EINVAL");
    require(!parsed.error().context.empty(), "a refused list is explained");
    return;
  }
  require(same(options, padded), "words for mount(8) change no option");
  check_accepted(options);
}

}  // namespace
}  // namespace blkio::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  blkio::fuzz::check_all(blkio::fuzz::text_of(data, size));
  return 0;
}
