// SPDX-License-Identifier: MIT
/// DEVDIR as users see it:
///
///     DEVDIR/.8:16/          mount of the device's connection, holds the file sdb
///     DEVDIR/sdb  -> .8:16/sdb
///     DEVDIR/8:16 -> .8:16/sdb
#pragma once

#include <string>
#include <vector>

#include "data_plane/backing_device.hpp"
#include "mounts.hpp"

namespace blkio::daemon {

/// Made and removed by the holder.
class DeviceDirectory {
 public:
  explicit DeviceDirectory(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  /// Makes the directory itself. Errors name it.
  Result<void> create();
  /// Mounts a connection for the device and links its names. EBUSY if a living daemon has the name,
  /// EEXIST if something has it that no daemon made.
  Result<Mount> add(const data_plane::BackingDevice& device, const std::string& source);
  /// Takes away the device's links and directory; its mount must be detached before.
  void remove(DeviceNumber number);
  /// All of them, and the directory if it was not there before.
  void remove_all();

 private:
  struct Entry {
    DeviceNumber number;
    std::string directory;
    std::vector<std::string> links;
  };
  static void remove(const Entry& entry);
  Result<Mount> mount(const data_plane::BackingDevice& device, const std::string& source);
  Result<void> link(const std::string& name, const std::string& target, Entry& entry);

  std::string path_;
  bool created_ = false;
  std::vector<Entry> entries_;
};

/// /dev/blkio, or without root $XDG_RUNTIME_DIR/blkio.
std::string default_device_directory();

}  // namespace blkio::daemon
