// SPDX-License-Identifier: MIT
/// The FUSE operations of the cgroup mount; private to the edge.
#pragma once

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 14)
#include <fuse_lowlevel.h>

#include <atomic>
#include <memory>
#include <optional>
#include <unordered_map>

#include "cgroupfs/fuse_session.hpp"
#include "cgroupfs/node.hpp"
#include "cgroupfs/snapshots.hpp"

namespace blkio::cgroupfs {

/// Who opened a file of which his rights and his view of the system are part. They stay with the
/// descriptor: a program of root's that inherits it must not lend its rights to what it writes.
struct Opener {
  uid_t uid = 0;
  bool may_name_agent = true;
  std::shared_ptr<Membership> view;  ///< nullptr: sees tasks by the ids we see
};

struct DestroyPollHandle {
  void operator()(fuse_pollhandle* handle) const { fuse_pollhandle_destroy(handle); }
};

/// What was seen through a handle of a file with news, and who waits for more.
struct Watch {
  NodeId node{};
  std::optional<std::uint64_t> read;  ///< FileRow::news at the last read
  std::uint64_t polled = 0;           ///< and when the one who waits began to
  std::unique_ptr<fuse_pollhandle, DestroyPollHandle> waiter;
};

/// What the operations, and libfuse's reads and writes, work on: the session's user data.
struct FuseMount {
  FileServices services;
  FuseSession::WallClock now;
  Snapshots snapshots;
  std::uint64_t first_handle = 0;  ///< of this process; older ones are another's
  std::uint64_t next_handle = 0;
  std::unordered_map<std::uint64_t, Opener> openers;  ///< by handle, of files that ask for them

  std::unordered_map<std::uint64_t, Watch> watches;  ///< by handle
  std::atomic<bool> is_watched = false;              ///< somebody may wait; for other threads

  FuseSession::InitRequest init_request;
  bool muted = false;  ///< replies go nowhere: the kernel has had them
};

const fuse_lowlevel_ops& fuse_operations();

/// Wakes those who wait in poll(2) for what has happened by now.
void tell_news(FuseMount& mount);

}  // namespace blkio::cgroupfs
