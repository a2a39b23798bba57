// SPDX-License-Identifier: MIT
/// The worker: does everything but owning the mounts.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "control_plane/cgroup_hierarchy.hpp"
#include "data_plane/device_files.hpp"
#include "mounts.hpp"
#include "options.hpp"
#include "proxied_device.hpp"

namespace blkio::daemon {

/// In the memfd that holder and workers share: what a worker agreed on with the kernel, for the
/// next one to know.
struct SharedState {
  static constexpr std::size_t kDevices = 256;
  std::uint32_t version = 1;
  std::array<data_plane::Negotiated, kDevices> devices{};
};

/// What the holder has made and the worker uses. Descriptors stay the holder's, but for those it
/// passes to a running worker: of these each has its own.
struct Inheritance {
  /// By its number, or by the name it has in the device directory.
  std::optional<DeviceNumber> find_device(const std::string& text) const;

  Options options;
  std::vector<ProxiedDevice> devices;
  Mount tree;
  std::optional<control_plane::CgroupHierarchy> mirror;
  SharedState* shared = nullptr;
  int holder_pid = 0;
  int link = -1;  ///< the worker's end, see holder_link.hpp
  std::string device_directory;
};

/// Serves until told to stop (SIGTERM, SIGINT) or the tree is unmounted. `ready` is called once
/// everything runs. Returns the exit code; an error tells why it could not start. Devices that come
/// and go meanwhile are kept track of in `inheritance`.
Result<int> run_worker(Inheritance& inheritance, const std::function<void()>& ready);

}  // namespace blkio::daemon
