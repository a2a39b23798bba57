// SPDX-License-Identifier: MIT
/// The cgroup mount's edge: FUSE requests in, replies out, everything between typed.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "blkio/result.hpp"
#include "cgroupfs/file_row.hpp"
#include "cgroupfs/group.hpp"

namespace blkio::cgroupfs {

/// Serves the tree over a descriptor that somebody else has mounted: mount(2) with
/// "fd=N,rootmode=40555,user_id=U,group_id=G,allow_other,default_permissions". The kernel checks
/// permissions; names are never cached there, attributes for a moment, so several mounts of one
/// tree agree. Control thread only.
class FuseSession {
 public:
  /// Now, on the wall clock; for the times stat(2) shows.
  using WallClock = std::function<WallTimeNs()>;
  /// The request that opened the conversation with the kernel, as it was read.
  using InitRequest = std::vector<std::byte>;

  /// Takes over `fuse_fd`, a /dev/fuse descriptor or one end of a SOCK_SEQPACKET pair, makes it
  /// nonblocking and closes it at the end. With the init_request() of a session that is no more,
  /// carries on with its connection; else the first request must be the kernel's INIT.
  /// EINVAL: libfuse refuses the session.
  static Result<std::unique_ptr<FuseSession>> open(int fuse_fd, const FileServices& services,
                                                   WallClock clock = system_wall_clock,
                                                   const InitRequest& resume = {});
  virtual ~FuseSession() = default;

  /// Readable when there is something to process.
  virtual int fd() const = 0;
  /// Answers what is waiting, `at_most` requests of it so that the caller's loop stays fair; does
  /// not block. False when the session is over: unmounted, or the connection aborted.
  virtual bool process_pending(int at_most = 64) = 0;
  /// Wakes those who wait in poll(2) for the news of a file (FileRow::news) that has some. To be
  /// called after whatever may have made some.
  virtual void tell_news() = 0;
  /// Whether somebody may wait for news. From any thread: what happens while it is false is seen by
  /// who begins to wait later.
  virtual bool is_watched() const = 0;
  /// Empty before the kernel's INIT has been processed.
  virtual const InitRequest& init_request() const = 0;

  static WallTimeNs system_wall_clock();
};

}  // namespace blkio::cgroupfs
