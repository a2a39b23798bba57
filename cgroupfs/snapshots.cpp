// SPDX-License-Identifier: MIT
#include "cgroupfs/snapshots.hpp"

#include <algorithm>

namespace blkio::cgroupfs {

Result<std::string_view> Snapshots::read(std::uint64_t handle, std::uint64_t offset,
                                         std::size_t size, const Make& make) {
  const auto known = snapshots_.find(handle);
  const bool follows =
      offset != 0 && known != snapshots_.end() && known->second.next_offset == offset;
  if (!follows) {
    BLKIO_TRY(auto text, make());
    snapshots_.insert_or_assign(handle, Snapshot{std::move(text), offset});
  }
  Snapshot& snapshot = snapshots_.find(handle)->second;
  const std::string_view whole = snapshot.text;
  const std::string_view part = whole.substr(std::min<std::size_t>(offset, whole.size()), size);
  snapshot.next_offset = offset + part.size();
  return part;
}

}  // namespace blkio::cgroupfs
