// SPDX-License-Identifier: MIT
#include "proxied_device.hpp"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "cgroupfs/device_text.hpp"

namespace blkio::daemon {

LinkMessage to_message(const ProxiedDevice& device) {
  const data_plane::BackingDevice& from = device.backing;
  LinkMessage message{{{"ok", true},
                       {"kind", static_cast<int>(from.kind)},
                       {"number", to_text(from.number)},
                       {"name", from.name},
                       {"path", from.path},
                       {"bytes", from.bytes},
                       {"logical_block", from.logical_block},
                       {"alignment", from.alignment},
                       {"direct", from.direct},
                       {"read_only", from.read_only},
                       {"permissions", from.permissions},
                       {"uid", from.uid},
                       {"gid", from.gid},
                       {"slot", device.slot},
                       {"mount", {{"path", device.mount.path}, {"id", device.mount.id}}}},
                      {device.mount.fuse_fd}};
  if (from.fd >= 0) message.descriptors.push_back(from.fd);
  return message;
}

ProxiedDevice proxied_device_from(const LinkMessage& message) {
  const nlohmann::json& from = message.body;
  ProxiedDevice device;
  data_plane::BackingDevice& backing = device.backing;
  backing.kind = static_cast<data_plane::BackingKind>(from.at("kind").get<int>());
  backing.number = parse_device_number(from.at("number").get<std::string>()).value();
  backing.name = from.at("name");
  backing.path = from.at("path");
  backing.bytes = from.at("bytes");
  backing.logical_block = from.at("logical_block");
  backing.alignment = from.at("alignment");
  backing.direct = from.at("direct");
  backing.read_only = from.at("read_only");
  backing.permissions = from.at("permissions");
  backing.uid = from.at("uid");
  backing.gid = from.at("gid");
  backing.fd = message.descriptors.size() > 1 ? message.descriptors[1] : -1;
  device.slot = from.at("slot");
  device.mount.path = from.at("mount").at("path");
  device.mount.id = from.at("mount").at("id");
  device.mount.fuse_fd = message.descriptors.at(0);
  return device;
}

void close_descriptors(const ProxiedDevice& device) {
  close(device.mount.fuse_fd);
  if (device.backing.fd >= 0) close(device.backing.fd);
}

}  // namespace blkio::daemon
