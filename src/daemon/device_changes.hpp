// SPDX-License-Identifier: MIT
/// Devices that come and go while the worker runs: `blkioctl device add` and `remove`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>

#include "cgroupfs/group_tree.hpp"
#include "control_plane/control_socket.hpp"
#include "control_plane/engine_controller.hpp"
#include "control_plane/state_keeper.hpp"
#include "data_plane/engines.hpp"
#include "holder_link.hpp"
#include "worker.hpp"

namespace blkio::daemon {

/// As an engine is to know it.
data_plane::EngineDevice engine_device(const Inheritance& all, const ProxiedDevice& device);
/// Whether scheduler= lets weights act on the device.
bool has_weights(const Options& options, DeviceNumber number);

/// The holder makes and takes away mounts; here the planes and the records follow. Control thread
/// only.
class DeviceChanges {
 public:
  struct Parts {
    boost::asio::io_context& context;
    HolderLink& holder;
    Inheritance& all;  ///< where the devices are kept track of
    data_plane::Engines& engines;
    control_plane::EngineController& controller;
    cgroupfs::GroupTree& tree;
    control_plane::StateKeeper* state;  ///< nullptr: nobody keeps the groups
  };
  explicit DeviceChanges(const Parts& parts) : parts_(parts) {}

  /// `text` as behind device=.
  void add(const std::string& text, const control_plane::ControlReply& reply);
  /// `text`: its number or its name.
  void remove(const std::string& text, const control_plane::ControlReply& reply);

 private:
  nlohmann::json arrived(const LinkMessage& message);
  void detach_when_drained(DeviceNumber number, const control_plane::ControlReply& reply);
  void forget_when_quiet(DeviceNumber number, const control_plane::ControlReply& reply);
  void forget(DeviceNumber number);
  void after(std::chrono::milliseconds delay, std::function<void()> what);

  const Parts parts_;
  std::set<DeviceNumber> leaving_;
};

}  // namespace blkio::daemon
