// SPDX-License-Identifier: MIT
/// What the readers of open files are in the middle of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "blkio/result.hpp"

namespace blkio::cgroupfs {

/// A file's text is made when a read starts and kept while reads follow one another, so that a
/// reader with a small buffer sees one state; any other offset makes it anew (as fs/seq_file.c,
/// seq_read_iter). A handle nobody has read through takes no memory, and an unknown one is a new
/// one: handles outlive the process that gave them.
class Snapshots {
 public:
  using Make = std::function<Result<std::string>()>;

  /// At most `size` bytes from `offset`; empty at the end. The view holds until the next call.
  Result<std::string_view> read(std::uint64_t handle, std::uint64_t offset, std::size_t size,
                                const Make& make);
  /// Whether anything has been read through the handle.
  bool contains(std::uint64_t handle) const { return snapshots_.contains(handle); }
  void release(std::uint64_t handle) { snapshots_.erase(handle); }
  std::size_t size() const { return snapshots_.size(); }

 private:
  struct Snapshot {
    std::string text;
    std::uint64_t next_offset = 0;
  };
  std::unordered_map<std::uint64_t, Snapshot> snapshots_;
};

}  // namespace blkio::cgroupfs
