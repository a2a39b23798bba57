// SPDX-License-Identifier: MIT
#include "mounts.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace blkio::daemon {
namespace {

struct MountInfo {
  std::uint64_t id = 0;
  unsigned minor = 0;
  std::string type;
};

/// mountinfo writes blank, tab, newline and backslash as \ooo.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// The topmost mount on exactly this path. Reads only /proc: looking at the path itself would hang
/// on a mount nobody answers for.
std::optional<MountInfo> topmost_mount(const std::string& path) {
  std::ifstream lines("/proc/self/mountinfo");
  std::optional<MountInfo> found;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    MountInfo info;
    std::uint64_t parent = 0;
    unsigned major = 0;
    char colon = 0;
    std::string root, where, word;
    fields >> info.id >> parent >> major >> colon >> info.minor >> root >> where;
    if (unescape(where) != path) continue;
    while (fields >> word && word != "-") {
    }
    fields >> info.type;
    found = info;
  }
  return found;
}

std::string mount_data(int fd, unsigned root_mode) {
  return fmt::format("fd={},rootmode={:o},user_id={},group_id={},allow_other,default_permissions",
                     fd, root_mode, getuid(), getgid());
}

}  // namespace

Result<int> open_fuse() {
  const int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    const char* hint = error == ENOENT || error == ENODEV ? " (is the fuse module loaded?)" : "";
    return failure(error, fmt::format("/dev/fuse{}", hint));
  }
  struct stat st {};
  fstat(fd, &st);
  if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(10, 229)) {
    close(fd);
    return failure(ENODEV, "/dev/fuse: not the FUSE device");
  }
  return fd;
}

Result<Mount> mount_fuse(const std::string& path, const char* type, const std::string& source,
                         unsigned root_mode) {
  BLKIO_TRY(const int fd, open_fuse());
  const std::string data = mount_data(fd, root_mode);
  if (mount(source.c_str(), path.c_str(), type, MS_NOSUID | MS_NODEV, data.c_str()) != 0) {
    const int error = errno;
    close(fd);
    const char* hint =
        error == EPERM ? " (mounting needs root, or a user namespace: unshare -Urm)" : "";
    return failure(error, fmt::format("mounting on {}{}", path, hint));
  }
  Mount made{path, fd, 0};
  if (const auto info = topmost_mount(path)) made.id = info->id;
  return made;
}

void detach(const Mount& mount) {
  const auto top = topmost_mount(mount.path);
  if (top && top->id == mount.id) umount2(mount.path.c_str(), MNT_DETACH);
}

void abort_connection(const Mount& mount) {
  const auto top = topmost_mount(mount.path);
  if (!top || top->id != mount.id) return;
  std::ofstream(fmt::format("/sys/fs/fuse/connections/{}/abort", top->minor)) << 1 << std::flush;
  umount2(mount.path.c_str(), MNT_FORCE | MNT_DETACH);
}

bool remove_dead_mount(const std::string& path) {
  struct stat st {};
  while (stat(path.c_str(), &st) != 0 && errno == ENOTCONN) {
    if (umount2(path.c_str(), MNT_DETACH) != 0) return false;
  }
  return true;
}

bool is_blkio_mount(const std::string& path) {
  const auto top = topmost_mount(path);
  return top && (top->type == kTreeType || top->type == kDeviceType);
}

}  // namespace blkio::daemon
