// SPDX-License-Identifier: MIT
/// What lies beneath a proxied file: a block device, a regular file, or nothing at all.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "blkio/result.hpp"
#include "blkio/types.hpp"

namespace blkio::data_plane {

inline constexpr std::uint32_t kLargestBlock = 4096;

enum class BackingKind : std::uint8_t { kBlockDevice, kFile, kNull };

/// Opened by the holder, used by the worker; the descriptor outlives any worker.
struct BackingDevice {
  BackingKind kind = BackingKind::kNull;
  DeviceNumber number;
  std::string name;  ///< basename: how it appears in devdir
  std::string path;
  int fd = -1;
  std::uint64_t bytes = 0;
  /// O_DIRECT requests of clients must be multiples of it (EINVAL otherwise, as a device answers).
  std::uint32_t logical_block = 512;
  /// What offsets and buffers of I/O on fd must be aligned to: logical_block with O_DIRECT, 1
  /// without.
  std::uint32_t alignment = 1;
  bool direct = false;
  bool read_only = false;
  mode_t permissions = 0600;
  uid_t uid = 0;  ///< the device's; ours where our user namespace does not know it, as for gid
  gid_t gid = 0;
};

/// Opens `path` for proxying. `number` tells under which MAJ:MIN; the one of a block device itself
/// is in st_rdev. Errors name the path: ENOENT, EACCES, ENXIO, EINVAL (neither block device nor
/// regular file, or smaller than a block), EOPNOTSUPP (blocks of more than kLargestBlock).
Result<BackingDevice> open_backing_device(const std::string& path);

/// A device of `bytes` bytes that reads zeros and forgets what is written.
BackingDevice null_backing_device(std::uint64_t bytes);

}  // namespace blkio::data_plane
