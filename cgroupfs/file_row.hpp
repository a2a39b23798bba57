// SPDX-License-Identifier: MIT
/// What one row of the file table says of a file.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

#include "blkio/controller.hpp"
#include "blkio/result.hpp"
#include "blkio/types.hpp"
#include "cgroupfs/change_listener.hpp"
#include "cgroupfs/grammar.hpp"
#include "cgroupfs/group.hpp"

namespace blkio::cgroupfs {

class GroupTree;

/// What the files work on. All outlive the files.
struct FileServices {
  GroupTree& tree;
  Controller& controller;
  Membership& membership;
  Dialect dialect = Dialect::kDoc;
  Hierarchy hierarchy = Hierarchy::kTree;
  /// May he name a program that the daemon will run? None: everybody may.
  std::function<bool(const Writer&)> may_name_agent{};
  /// None: nobody keeps the groups.
  ChangeListener* changes = nullptr;
};

/// The text of a file, as one read(2) of all of it gives it.
using Show = std::function<std::string(const FileServices&, const Group&)>;
/// Takes the text of one write(2), not empty, cut at its first NUL.
using Store =
    std::function<Result<void>(const FileServices&, Group&, std::string_view, const Writer&)>;

/// A number; another one means that poll(2) has something to tell. Asked when the file is read and
/// when it is polled.
using News = std::function<std::uint64_t(const FileServices&, const Group&)>;

/// In which groups' directories a file is found.
enum class Place : std::uint8_t { kNowhere, kRoot, kChildren, kEverywhere };

struct Presence {
  Place in_kernel;
  Place in_doc;
};

/// One file; the same row serves every group.
struct FileRow {
  std::string_view name;
  mode_t mode;
  Presence presence;
  Show show;    ///< none: reading is EINVAL
  Store store;  ///< none: writing is EINVAL, even by root through a 0444 file
  std::size_t max_write_bytes = kMaxWriteBytes;
  bool speaks_of_tasks = false;  ///< by their ids, which depend on who opened the file
  bool names_agent = false;      ///< may_name_agent is asked when it is opened
  News news{};                   ///< none: there is no news once it has been read
};

}  // namespace blkio::cgroupfs
