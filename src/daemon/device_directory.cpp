// SPDX-License-Identifier: MIT
#include "device_directory.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "cgroupfs/device_text.hpp"
#include "control_plane/privilege.hpp"

namespace blkio::daemon {

namespace fs = std::filesystem;

namespace {

/// Where a link leads that a daemon made: the MAJ:MIN of ".MAJ:MIN/NAME"; empty for any other.
std::string linked_directory(const std::string& target) {
  const std::size_t slash = target.find('/');
  const bool ours = target.starts_with('.') && slash != std::string::npos &&
                    target.find('/', slash + 1) == std::string::npos && target.find(':') < slash &&
                    target.find_first_not_of("0123456789:", 1) == slash;
  return ours ? target.substr(0, slash) : std::string();
}

}  // namespace

std::string default_device_directory() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const bool has_runtime = runtime != nullptr && *runtime != '\0';
  if (!control_plane::is_machine_root() && has_runtime) return fmt::format("{}/blkio", runtime);
  return "/dev/blkio";
}

Result<void> DeviceDirectory::create() {
  if (mkdir(path_.c_str(), 0755) == 0) {
    created_ = true;
  } else if (errno != EEXIST) {
    return failure(errno, fmt::format("devdir {}", path_));
  }
  std::error_code error;
  if (!fs::is_directory(path_, error)) return failure(ENOTDIR, fmt::format("devdir {}", path_));
  const fs::path real = fs::canonical(path_, error);
  if (error) return failure(error.value(), fmt::format("devdir {}", path_));
  path_ = real;
  return success();
}

Result<Mount> DeviceDirectory::add(const data_plane::BackingDevice& device,
                                   const std::string& source) {
  const std::size_t before = entries_.size();
  Result<Mount> mounted = mount(device, source);
  if (!mounted && entries_.size() > before) remove(device.number);
  return mounted;
}

Result<Mount> DeviceDirectory::mount(const data_plane::BackingDevice& device,
                                     const std::string& source) {
  const std::string number = to_text(device.number);
  Entry entry;
  entry.number = device.number;
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
    const std::string directory = linked_directory(fs::read_symlink(path, error));
    if (directory.empty()) return failure(EEXIST, path);
    // Left by a daemon that was killed, unless the mount it leads to lives.
    const std::string old = fmt::format("{}/{}", path_, directory);
    if (old != entry.directory && remove_dead_mount(old) && is_blkio_mount(old)) {
      return failure(EBUSY,
                     fmt::format("{}: another blkio daemon has a device of that name", path));
    }
    fs::remove(path, error);
  }
  if (symlink(target.c_str(), path.c_str()) != 0) return failure(errno, path);
  entry.links.push_back(path);
  return success();
}

void DeviceDirectory::remove(const Entry& entry) {
  for (const std::string& link : entry.links) unlink(link.c_str());
  rmdir(entry.directory.c_str());
}

void DeviceDirectory::remove(DeviceNumber number) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.number == number; });
  if (found == entries_.end()) return;
  remove(*found);
  entries_.erase(found);
}

void DeviceDirectory::remove_all() {
  for (const Entry& entry : entries_) remove(entry);
  entries_.clear();
  if (created_) rmdir(path_.c_str());
}

}  // namespace blkio::daemon
