// SPDX-License-Identifier: MIT
/// The questions of blkioctl's `throttle` and `tokens`: the rules of a group on a device as a
/// whole.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "blkio/types.hpp"
#include "cgroupfs/file_row.hpp"

namespace blkio::control_plane {

/// A set is taken as a whole or not at all, and binds when the answer is given. Control thread
/// only.
///
/// Every request names a "group" by its path and a "device" by its number or name. What is refused
/// is answered {"ok": false, "error": "GROUP DEVICE: reason"}; what is malformed throws
/// nlohmann::json::exception.
class RuleCommands {
 public:
  /// The proxied device that a text means; nullopt: none.
  using FindDevice = std::function<std::optional<DeviceNumber>(const std::string&)>;

  RuleCommands(cgroupfs::FileServices services, FindDevice find_device);

  /// True if `command` is one of the four below.
  static bool takes(const std::string& command);
  nlohmann::json answer(const nlohmann::json& request);

 private:
  struct Place;

  /// "throttle set": "limits" holds numbers by QEMU's names for block_set_io_throttle, "max_hold"
  /// ms, "qemu_strict", "dry_run" and "reset_levels" are flags. What is not named is unset, as
  /// block_set_io_throttle has it; tokens stay. "shared" is a device, whose limits these are from
  /// now on, or "0"; where it stands alone it changes no limits, and not named it stays as it is.
  /// Returns why not; empty if all is well.
  std::string set_throttle(const Place& place, const nlohmann::json& request);
  std::string share(const Place& place, const nlohmann::json& request);
  /// "throttle get": all numbers by the same names, and our own.
  static nlohmann::json get_throttle(const Place& place);
  /// "tokens set": "tokens-max" a number, "tokens-refill" as in the file, or "credit" as xend wrote
  /// it, which without "tokens-max" makes a bucket of one interval. What is not named stays.
  std::string set_tokens(const Place& place, const nlohmann::json& request);
  nlohmann::json get_tokens(const Place& place) const;
  void apply(const Place& place, const DeviceRules& rules, Levels levels);

  cgroupfs::FileServices services_;
  FindDevice find_device_;
};

}  // namespace blkio::control_plane
