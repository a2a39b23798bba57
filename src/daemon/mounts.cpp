// SPDX-License-Identifier: MIT
#include "mounts.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace blkio::daemon {
namespace {

bool is_octal(const std::string& text, std::size_t at) {
  return at + 3 <= text.size() && std::all_of(text.begin() + static_cast<std::ptrdiff_t>(at),
                                              text.begin() + static_cast<std::ptrdiff_t>(at + 3),
                                              [](char c) { return c >= '0' && c <= '7'; });
}

/// mountinfo writes blank, tab, newline and backslash as \ooo.
std::string unescape(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && is_octal(text, i + 1)) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

/// 36 35 98:0 /root /mnt rw,noatime shared:1 - fuse.blkio source rw (proc_pid_mountinfo(5))
std::optional<MountInfo> parse_line(const std::string& line) {
  std::istringstream fields(line);
  MountInfo info;
  std::uint64_t parent = 0;
  unsigned major = 0;
  char colon = 0;
  std::string root, where, word;
  fields >> info.id >> parent >> major >> colon >> info.minor >> root >> where;
  info.path = unescape(where);
  while (fields >> word && word != "-") {
  }
  if (!(fields >> info.type)) return std::nullopt;
  return info;
}

/// Reads only /proc: looking at the path of a mount would hang if nobody answers for it.
std::vector<MountInfo> all_mounts() {
  std::ifstream lines("/proc/self/mountinfo");
  return parse_mountinfo(lines);
}

/// The topmost mount on exactly this path.
const MountInfo* topmost_on(const std::vector<MountInfo>& mounts, const std::string& path) {
  const auto top = std::find_if(mounts.rbegin(), mounts.rend(),
                                [&](const MountInfo& info) { return info.path == path; });
  return top == mounts.rend() ? nullptr : &*top;
}

bool is_ours(const MountInfo& info) {
  return info.type == kTreeType || info.type == kDeviceType;
}

/// The mount as it is now, if it is there and nothing hides it.
std::optional<MountInfo> find(const Mount& mount) {
  const std::vector<MountInfo> mounts = all_mounts();
  for (const MountInfo& info : mounts) {
    if (info.id != mount.id || !is_ours(info)) continue;
    const MountInfo* top = topmost_on(mounts, info.path);
    return top->id == info.id ? std::optional(info) : std::nullopt;
  }
  return std::nullopt;
}

/// Absolute and without symbolic links, as far as a dead mount lets us look.
std::string real_path(const std::string& path) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (!error) return real;
  const std::filesystem::path whole = std::filesystem::absolute(path, error).lexically_normal();
  const std::filesystem::path parent = std::filesystem::canonical(whole.parent_path(), error);
  return error ? whole : parent / whole.filename();
}

std::string mount_data(int fd, unsigned root_mode) {
  return fmt::format("fd={},rootmode={:o},user_id={},group_id={},allow_other,default_permissions",
                     fd, root_mode, getuid(), getgid());
}

}  // namespace

std::vector<MountInfo> parse_mountinfo(std::istream& lines) {
  std::vector<MountInfo> mounts;
  for (std::string line; std::getline(lines, line);) {
    if (auto info = parse_line(line)) mounts.push_back(std::move(*info));
  }
  return mounts;
}

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
  const std::vector<MountInfo> mounts = all_mounts();
  if (const MountInfo* info = topmost_on(mounts, path)) made.id = info->id;
  return made;
}

void detach(const Mount& mount) {
  if (const auto now = find(mount)) umount2(now->path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

void abort_connection(const Mount& mount) {
  const auto now = find(mount);
  if (!now) return;
  std::ofstream(fmt::format("/sys/fs/fuse/connections/{}/abort", now->minor)) << 1 << std::flush;
  umount2(now->path.c_str(), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW);
}

bool remove_dead_mount(const std::string& path) {
  struct stat st {};
  while (stat(path.c_str(), &st) != 0 && errno == ENOTCONN) {
    const std::string place = real_path(path);
    const std::vector<MountInfo> mounts = all_mounts();
    const MountInfo* top = topmost_on(mounts, place);
    if (top == nullptr || !is_ours(*top)) {
      errno = ENOTCONN;
      return false;
    }
    if (umount2(place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) != 0) return false;
  }
  return true;
}

bool is_blkio_mount(const std::string& path) {
  const std::vector<MountInfo> mounts = all_mounts();
  const MountInfo* top = topmost_on(mounts, path);
  return top != nullptr && is_ours(*top);
}

}  // namespace blkio::daemon
