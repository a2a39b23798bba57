// SPDX-License-Identifier: MIT
/// A device with its connection, and how the holder hands it to a running worker.
#pragma once

#include <cstddef>

#include "data_plane/backing_device.hpp"
#include "holder_link.hpp"
#include "mounts.hpp"

namespace blkio::daemon {

struct ProxiedDevice {
  data_plane::BackingDevice backing;
  Mount mount;
  std::size_t slot = 0;  ///< in SharedState::devices
};

/// The descriptors stay those of `device`.
LinkMessage to_message(const ProxiedDevice& device);
/// The descriptors are the message's. Of a message that to_message() made.
ProxiedDevice proxied_device_from(const LinkMessage& message);
/// Of one that came in a message.
void close_descriptors(const ProxiedDevice& device);

}  // namespace blkio::daemon
