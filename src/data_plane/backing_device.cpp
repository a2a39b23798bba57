// SPDX-License-Identifier: MIT
#include "backing_device.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <filesystem>
#include <fstream>

namespace blkio::data_plane {
namespace {

constexpr std::uint32_t kSector = 512;

/// For writing if the device lets us, with O_DIRECT if the file system can.
int open_best(const std::string& path, BackingDevice& device) {
  for (const bool direct : {true, false}) {
    for (const int access : {O_RDWR, O_RDONLY}) {
      const int fd = open(path.c_str(), access | O_CLOEXEC | (direct ? O_DIRECT : 0));
      if (fd >= 0) {
        device.direct = direct;
        device.read_only = access == O_RDONLY;
        return fd;
      }
      if (errno != EINVAL && errno != EROFS && errno != EACCES && errno != EPERM) return -1;
      if (errno == EINVAL) break;
    }
    if (errno != EINVAL) return -1;
  }
  return -1;
}

Result<void> measure_block_device(BackingDevice& device) {
  int read_only = 0;
  int logical = 0;
  if (ioctl(device.fd, BLKGETSIZE64, &device.bytes) != 0 ||
      ioctl(device.fd, BLKSSZGET, &logical) != 0 || ioctl(device.fd, BLKROGET, &read_only) != 0) {
    return failure(errno, device.path);
  }
  device.logical_block = static_cast<std::uint32_t>(logical);
  if (device.logical_block > kLargestBlock) {
    return failure(EOPNOTSUPP, fmt::format("{}: blocks of {} bytes, at most {}", device.path,
                                           device.logical_block, kLargestBlock));
  }
  device.read_only = device.read_only || read_only != 0;
  return success();
}

/// What direct I/O on the file must be aligned to; 0: it cannot be. The kernel tells (Linux 6.1),
/// or 4096 suits the file systems that do not.
std::uint32_t direct_alignment(int fd) {
#ifdef STATX_DIOALIGN
  struct statx sx {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 &&
      (sx.stx_mask & STATX_DIOALIGN) != 0) {
    if (sx.stx_dio_offset_align == 0) return 0;
    return std::max({kSector, sx.stx_dio_offset_align, sx.stx_dio_mem_align});
  }
#endif
  return kLargestBlock;
}

/// Where direct I/O would need more than a block (or is not there at all), the page cache is used.
void measure_file(BackingDevice& device, const struct stat& st) {
  device.bytes = static_cast<std::uint64_t>(st.st_size);
  device.logical_block = kSector;
  if (!device.direct) return;
  const std::uint32_t alignment = direct_alignment(device.fd);
  if (std::has_single_bit(alignment) && alignment <= kLargestBlock) {
    device.logical_block = alignment;
    return;
  }
  device.direct = false;
  fcntl(device.fd, F_SETFL, fcntl(device.fd, F_GETFL) & ~O_DIRECT);
}

/// Has our user namespace a name for the id? `map`: uid_map or gid_map, of user_namespaces(7).
bool is_mapped(const char* map, std::uint64_t id) {
  std::ifstream lines(map);
  if (!lines) return true;
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  while (lines >> inside >> outside >> count) {
    if (id >= inside && id - inside < count) return true;
  }
  return false;
}

/// The kernel lets nobody write to a file of ours that belongs to an id the namespace does not
/// have: such a device belongs to us, who could open it.
void take_owner(BackingDevice& device, const struct stat& st) {
  device.uid = is_mapped("/proc/self/uid_map", st.st_uid) ? st.st_uid : getuid();
  device.gid = is_mapped("/proc/self/gid_map", st.st_gid) ? st.st_gid : getgid();
}

}  // namespace

Result<BackingDevice> open_backing_device(const std::string& path) {
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) return failure(errno, path);
  BackingDevice device;
  device.path = path;
  device.name = std::filesystem::path(path).filename();
  if (S_ISBLK(st.st_mode)) {
    device.kind = BackingKind::kBlockDevice;
    device.number = {major(st.st_rdev), minor(st.st_rdev)};
  } else if (S_ISREG(st.st_mode)) {
    device.kind = BackingKind::kFile;
  } else {
    return failure(EINVAL, fmt::format("{}: neither a block device nor a regular file", path));
  }
  device.permissions = st.st_mode & 0777;
  take_owner(device, st);
  device.fd = open_best(path, device);
  if (device.fd < 0) return failure(errno, path);

  if (device.kind == BackingKind::kBlockDevice) {
    BLKIO_TRY(measure_block_device(device));
  } else {
    measure_file(device, st);
  }
  device.alignment = device.direct ? device.logical_block : 1;
  device.bytes -= device.bytes % device.logical_block;
  if (device.bytes == 0) {
    return failure(EINVAL,
                   fmt::format("{}: holds no block of {} bytes", path, device.logical_block));
  }
  return device;
}

BackingDevice null_backing_device(std::uint64_t bytes) {
  BackingDevice device;
  device.kind = BackingKind::kNull;
  device.name = "null";
  device.path = "null";
  device.bytes = bytes - bytes % kSector;
  device.uid = getuid();
  device.gid = getgid();
  device.permissions = 0660;
  return device;
}

}  // namespace blkio::data_plane
