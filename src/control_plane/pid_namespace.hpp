// SPDX-License-Identifier: MIT
/// Ids of tasks as another pid namespace has them.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "blkio/controller.hpp"
#include "blkio/result.hpp"

namespace blkio::control_plane {

/// A pid namespace below the daemon's.
class PidNamespace {
 public:
  /// How ids are translated: by the kernel (Linux 6.11), or by what /proc/TID/status shows, which
  /// for to_ours() means a look at every task.
  enum class Method : std::uint8_t { kBest, kStatusFiles };

  /// Of the task: nullopt if it is the daemon's own. An error: it cannot be told, the task is gone.
  static Result<std::optional<PidNamespace>> of(pid_t tid, Method method = Method::kBest);

  PidNamespace(PidNamespace&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), depth_(other.depth_), method_(other.method_) {}
  PidNamespace& operator=(PidNamespace&&) = delete;
  ~PidNamespace();

  /// 0: nobody has this id there.
  pid_t to_ours(pid_t id) const;
  /// 0: the task is not seen there.
  pid_t from_ours(pid_t tid) const;

 private:
  PidNamespace(int fd, std::size_t depth, Method method)
      : fd_(fd), depth_(depth), method_(method) {}
  pid_t ask_kernel(unsigned long question, pid_t id) const;
  pid_t id_in_status(pid_t tid) const;

  int fd_;
  std::size_t depth_;  ///< how many namespaces below ours
  Method method_;
};

/// Membership::seen_by(). nullptr: the opener sees ids as we do.
std::shared_ptr<Membership> membership_seen_by(Membership& ours, pid_t opener);

}  // namespace blkio::control_plane
