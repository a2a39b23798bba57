// SPDX-License-Identifier: MIT
#include "device_changes.hpp"

#include <fmt/format.h>

#include <boost/asio/steady_timer.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "cgroupfs/device_text.hpp"
#include "cgroupfs/rules.hpp"

namespace blkio::daemon {
namespace {

namespace asio = boost::asio;
using control_plane::ControlReply;
using control_plane::refusal;
using nlohmann::json;

/// Until a device that is to go has ended its requests.
constexpr auto kLookAgain = std::chrono::milliseconds(2);

}  // namespace

data_plane::EngineDevice engine_device(const Inheritance& all, const ProxiedDevice& device) {
  return {device.backing, device.mount.fuse_fd, &all.shared->devices[device.slot],
          has_weights(all.options, device.backing.number)};
}

bool has_weights(const Options& options, DeviceNumber number) {
  const auto told = options.weights.find(number);
  return told == options.weights.end() || told->second;
}

void DeviceChanges::add(const std::string& text, const ControlReply& reply) {
  parts_.holder.ask({{"add", text}}, [this, reply](const LinkMessage& message) {
    reply(message.body.value("ok", false) ? arrived(message) : message.body);
  });
}

json DeviceChanges::arrived(const LinkMessage& message) {
  const ProxiedDevice device = proxied_device_from(message);
  const DeviceNumber number = device.backing.number;
  if (const Result<void> served = parts_.engines.add_device(engine_device(parts_.all, device));
      !served) {
    parts_.holder.ask({{"remove", to_text(number)}}, [](const LinkMessage&) {});
    close_descriptors(device);
    return refusal(served.error().to_string());
  }
  parts_.all.devices.push_back(device);
  parts_.all.device_directory = std::filesystem::path(device.mount.path).parent_path();
  parts_.controller.device_added({number, has_weights(parts_.all.options, number)});
  if (parts_.state != nullptr) parts_.state->device_added(number);
  return {{"ok", true},
          {"device", to_text(number)},
          {"path", parts_.all.device_directory + "/" + device.backing.name}};
}

/// First nothing new is begun, and what waits fails; then, when the device has done its part, the
/// connection goes; then all that is known of it.
void DeviceChanges::remove(const std::string& text, const ControlReply& reply) {
  const auto number = parts_.all.find_device(text);
  if (!number) return reply(refusal(fmt::format("{}: no such device is proxied", text)));
  if (!leaving_.insert(*number).second) {
    return reply(refusal(fmt::format("{}: is being removed already", text)));
  }
  parts_.engines.on_shard(*number, [](data_plane::DeviceShard& shard, TimeNs) { shard.stop(); });
  detach_when_drained(*number, reply);
}

void DeviceChanges::detach_when_drained(DeviceNumber number, const ControlReply& reply) {
  bool drained = false;
  parts_.engines.on_shard(
      number, [&](data_plane::DeviceShard& shard, TimeNs) { drained = shard.drained(); });
  if (!drained) {
    return after(kLookAgain, [this, number, reply] { detach_when_drained(number, reply); });
  }
  parts_.holder.ask({{"remove", to_text(number)}},
                    [this, number, reply](const LinkMessage& message) {
                      if (message.body.value("ok", false)) return forget_when_quiet(number, reply);
                      leaving_.erase(number);
                      reply(message.body);
                    });
}

void DeviceChanges::forget_when_quiet(DeviceNumber number, const ControlReply& reply) {
  bool quiet = false;
  parts_.engines.on_shard(number,
                          [&](data_plane::DeviceShard& shard, TimeNs) { quiet = shard.quiet(); });
  if (!quiet) {
    return after(kLookAgain, [this, number, reply] { forget_when_quiet(number, reply); });
  }
  parts_.engines.remove_device(number);
  forget(number);
  reply({{"ok", true}});
}

/// As in the kernel, the rules and counters of a device go with it.
void DeviceChanges::forget(DeviceNumber number) {
  leaving_.erase(number);
  parts_.controller.device_removed(number);
  parts_.tree.for_each_in_subtree(parts_.tree.root(), [&](const cgroupfs::Group& group) {
    if (!cgroupfs::forget_rules(*parts_.tree.find(group.id), number)) return;
    parts_.controller.set_weights(group.id, group.weights, group.leaf_weights);
    if (parts_.state != nullptr) parts_.state->group_changed(group.id);
  });
  std::erase_if(parts_.all.devices, [&](const ProxiedDevice& device) {
    if (device.backing.number != number) return false;
    close_descriptors(device);
    return true;
  });
}

void DeviceChanges::after(std::chrono::milliseconds delay, std::function<void()> what) {
  auto timer = std::make_shared<asio::steady_timer>(parts_.context, delay);
  timer->async_wait([timer, what = std::move(what)](const boost::system::error_code& stopped) {
    if (!stopped) what();
  });
}

}  // namespace blkio::daemon
