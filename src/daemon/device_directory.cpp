// SPDX-License-Identifier: MIT
#include "device_directory.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace blkio::daemon {

namespace fs = std::filesystem;

std::string default_device_directory() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (geteuid() != 0 && runtime != nullptr) return fmt::format("{}/blkio", runtime);
  return "/dev/blkio";
}

Result<void> DeviceDirectory::create() {
  if (mkdir(path_.c_str(), 0755) == 0) {
    created_ = true;
  } else if (errno != EEXIST) {
    return failure(errno, fmt::format("devdir {}", path_));
  } else if (!fs::is_directory(path_)) {
    return failure(ENOTDIR, fmt::format("devdir {}", path_));
  }
  path_ = fs::canonical(path_);
  return success();
}

Result<Mount> DeviceDirectory::add(const data_plane::BackingDevice& device,
                                   const std::string& source) {
  const std::string number = fmt::format("{}:{}", device.number.major, device.number.minor);
  Entry entry;
  entry.directory = fmt::format("{}/.{}", path_, number);
  if (!remove_dead_mount(entry.directory)) return failure(errno, entry.directory);
  if (is_blkio_mount(entry.directory)) {
    return failure(EBUSY, fmt::format("{}: another blkio daemon proxies {}", path_, number));
  }
  if (mkdir(entry.directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return failure(errno, entry.directory);
  }
  entries_.push_back(entry);
  const std::string target = fmt::format(".{}/{}", number, device.name);
  BLKIO_TRY(link(device.name, target, entries_.back()));
  if (device.name != number) BLKIO_TRY(link(number, target, entries_.back()));
  return mount_fuse(entries_.back().directory, kDeviceType, source, S_IFDIR | 0755);
}

Result<void> DeviceDirectory::link(const std::string& name, const std::string& target,
                                   Entry& entry) {
  const std::string path = fmt::format("{}/{}", path_, name);
  std::error_code error;
  if (fs::is_symlink(fs::symlink_status(path, error))) {
    // Left by a daemon that was killed, unless the mount it leads to lives.
    const std::string old =
        fmt::format("{}/{}", path_, fs::read_symlink(path, error).parent_path().string());
    if (old != entry.directory && is_blkio_mount(old) && remove_dead_mount(old) &&
        is_blkio_mount(old)) {
      return failure(EBUSY,
                     fmt::format("{}: another blkio daemon has a device of that name", path));
    }
    fs::remove(path, error);
  }
  if (symlink(target.c_str(), path.c_str()) != 0) return failure(errno, path);
  entry.links.push_back(path);
  return success();
}

void DeviceDirectory::remove_all() {
  for (const Entry& entry : entries_) {
    for (const std::string& link : entry.links) unlink(link.c_str());
    rmdir(entry.directory.c_str());
  }
  entries_.clear();
  if (created_) rmdir(path_.c_str());
}

}  // namespace blkio::daemon
