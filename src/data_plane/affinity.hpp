// SPDX-License-Identifier: MIT
/// The CPUs a thread may run on.
#pragma once

#include <sched.h>

#include <optional>

namespace blkio::data_plane {

/// Takes a CPU away from the calling thread, as long as it has others. What somebody else allows or
/// forbids the thread meanwhile (taskset, a cpuset) holds from then on. One thread.
class Affinity {
 public:
  /// Of all CPUs the thread was given, all but this one; nullopt: all. True if that is so now.
  bool avoid(std::optional<unsigned> cpu);

 private:
  cpu_set_t given_{};
  cpu_set_t own_{};  ///< what avoid() has set last
  bool is_set_ = false;
};

}  // namespace blkio::data_plane
