// SPDX-License-Identifier: MIT
#include "lock_table.hpp"

#include <algorithm>

namespace blkio::data_plane {

std::optional<FileLock> LockTable::conflict(const FileLock& wanted) const {
  if (wanted.type == LockType::kUnlock) return std::nullopt;
  for (const FileLock& held : locks_) {
    if (held.kind != wanted.kind || held.owner == wanted.owner || !held.overlaps(wanted)) continue;
    if (held.type == LockType::kExclusive || wanted.type == LockType::kExclusive) return held;
  }
  return std::nullopt;
}

void LockTable::set(const FileLock& lock) {
  // What the owner had on the range gives way; what stands out of it on either side stays.
  std::vector<FileLock> kept;
  kept.reserve(locks_.size() + 2);
  FileLock merged = lock;
  for (const FileLock& held : locks_) {
    if (held.kind != lock.kind || held.owner != lock.owner) {
      kept.push_back(held);
      continue;
    }
    const bool touches = held.overlaps(merged) ||
                         (held.end != UINT64_MAX && held.end + 1 == merged.start) ||
                         (merged.end != UINT64_MAX && merged.end + 1 == held.start);
    if (held.type == merged.type && touches) {
      merged.start = std::min(merged.start, held.start);
      merged.end = std::max(merged.end, held.end);
      continue;
    }
    if (!held.overlaps(lock)) {
      kept.push_back(held);
      continue;
    }
    if (held.start < lock.start) {
      kept.push_back(held);
      kept.back().end = lock.start - 1;
    }
    if (held.end > lock.end) {
      kept.push_back(held);
      kept.back().start = lock.end + 1;
    }
  }
  if (lock.type != LockType::kUnlock) kept.push_back(merged);
  locks_ = std::move(kept);
}

bool LockTable::drop_owner(std::uint64_t owner) {
  return std::erase_if(locks_, [&](const FileLock& held) {
           return held.kind == LockKind::kRange && held.owner == owner;
         }) != 0;
}

bool LockTable::drop_handle(std::uint64_t handle) {
  return std::erase_if(locks_, [&](const FileLock& held) { return held.handle == handle; }) != 0;
}

}  // namespace blkio::data_plane
