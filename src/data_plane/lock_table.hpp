// SPDX-License-Identifier: MIT
/// Locks of one device: POSIX and OFD byte ranges, and flock.
///
/// Every open has an inode of its own, so the kernel would never let two openers' locks meet: the
/// daemon keeps them for the device as a whole. Not on the path of any I/O.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace blkio::data_plane {

enum class LockType : std::uint8_t { kShared, kExclusive, kUnlock };
enum class LockKind : std::uint8_t { kRange, kFlock };  ///< the two kinds do not see each other

struct FileLock {
  LockKind kind = LockKind::kRange;
  LockType type = LockType::kShared;
  std::uint64_t start = 0;
  std::uint64_t end = 0;  ///< inclusive, as in the protocol
  std::uint64_t owner = 0;
  std::uint64_t handle = 0;  ///< the open file it was taken through: gone when that is closed
  pid_t pid = 0;

  bool overlaps(const FileLock& other) const { return start <= other.end && other.start <= end; }
};

/// A pure data structure; used on the engine thread.
class LockTable {
 public:
  /// The first lock that would keep `wanted` from being set, if any.
  std::optional<FileLock> conflict(const FileLock& wanted) const;
  /// Sets or, with kUnlock, clears the owner's lock on the range, splitting and joining as fcntl(2)
  /// says. Precondition: no conflict.
  void set(const FileLock& lock);
  /// close(2) of any descriptor drops all range locks of the process (fcntl(2)). True if there was
  /// one.
  bool drop_owner(std::uint64_t owner);
  /// The last descriptor of an open file is gone: OFD locks and flocks go with it.
  bool drop_handle(std::uint64_t handle);
  bool empty() const { return locks_.empty(); }

 private:
  std::vector<FileLock> locks_;
};

}  // namespace blkio::data_plane
