// SPDX-License-Identifier: MIT
/// The files of a group, one row each: the place to look what exists, and to add a file.
#pragma once

#include <string_view>
#include <vector>

#include "blkio/types.hpp"
#include "cgroupfs/file_row.hpp"

namespace blkio::cgroupfs {

/// A file's number is made from its name, so that it stays the same when rows come and go: an open
/// file of a replaced daemon still means the same file. Never FileNumber::kDirectory.
constexpr FileNumber file_number(std::string_view name) {
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return FileNumber{hash & 0x7FFF'FFFFU};  // keeps inode numbers positive, whoever reads them
}

/// Every row of both dialects, in the order directories list them: a blkio.* file is last.
const std::vector<FileRow>& all_files();

/// True if the file is found in the root directory (in_root) or in the others.
bool is_present(const FileRow& row, Dialect dialect, bool in_root);

/// nullptr if the directory has no such file.
const FileRow* find_file(std::string_view name, Dialect dialect, bool in_root);
const FileRow* find_file(FileNumber number, Dialect dialect, bool in_root);

/// The text of a file. ENODEV: the group has been removed; EINVAL: the file cannot be read.
Result<std::string> show_file(const FileServices& services, GroupId group, const FileRow& row);

/// One write(2). In the order of the checks: E2BIG; ENODEV: the group has been removed; an empty
/// text does nothing; EINVAL: the file cannot be written; then the file's own.
Result<void> store_file(const FileServices& services, GroupId group, const FileRow& row,
                        std::string_view text, const Writer& writer);

}  // namespace blkio::cgroupfs
