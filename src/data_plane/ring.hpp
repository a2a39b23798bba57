// SPDX-License-Identifier: MIT
/// One io_uring: everything an engine waits for, and all it submits, goes through it.
#pragma once

#include <liburing.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "blkio/result.hpp"
#include "blkio/types.hpp"

namespace blkio::data_plane {

/// What is to happen when a submission completes. Lives inside the object that waits; its address
/// is the submission's user_data, so a completion costs one indirect call and no look-up.
struct Completion {
  using Handler = void (*)(Completion& self, std::int32_t result);
  Handler handler = nullptr;
};

/// A file registered with a ring.
enum class FileIndex : std::uint32_t {};

/// Memory registered with a ring ("fixed buffer"), or kNotRegistered where the kernel refused to
/// pin it (RLIMIT_MEMLOCK); I/O works either way.
enum class RegionIndex : std::int32_t { kNotRegistered = -1 };

/// Used by the one thread that called open() (IORING_SETUP_SINGLE_ISSUER).
class Ring {
 public:
  Ring() = default;
  ~Ring();
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  /// `wide`: submissions have room for the commands of FUSE over io_uring (SQE128).
  /// Errors: ENOSYS (no io_uring), EPERM (forbidden by sysctl or seccomp), ENOMEM.
  Result<void> open(unsigned entries, bool wide = false);
  void close();

  /// Errors: ENFILE when the table is full.
  Result<FileIndex> register_file(int fd);
  void unregister_file(FileIndex file);
  /// What was registered, for calls that do not wait.
  int descriptor(FileIndex file) const { return descriptors_[static_cast<std::size_t>(file)]; }
  RegionIndex register_region(void* address, std::size_t bytes);

  void read(Completion& done, FileIndex file, RegionIndex region, std::byte* to,
            std::uint32_t bytes, std::uint64_t offset);
  void write(Completion& done, FileIndex file, RegionIndex region, const std::byte* from,
             std::uint32_t bytes, std::uint64_t offset, bool synchronous = false);
  void fsync(Completion& done, FileIndex file, bool data_only);
  void fallocate(Completion& done, FileIndex file, int mode, std::uint64_t offset,
                 std::uint64_t bytes);
  void poll_in(Completion& done, FileIndex file);
  /// A command of the file's own. Of a wide ring.
  void command(Completion& done, FileIndex file, std::uint32_t operation,
               std::span<const iovec> places, std::span<const std::byte> arguments);
  /// For descriptors that are not registered.
  void read_plain(Completion& done, int fd, void* to, std::uint32_t bytes);

  /// Completes at `at` (CLOCK_MONOTONIC), once.
  void start_timer(Completion& done, TimeNs at);
  /// For one that has been started: `at` instead. Nothing happens if it has completed meanwhile.
  void move_timer(Completion& done, TimeNs at);

  /// Submits what was queued, waits for one completion or until `timeout_ns` has passed (kNever:
  /// for ever; 0: does not wait).
  void wait(TimeNs timeout_ns);
  /// Submits what was queued and does not wait.
  void submit() { io_uring_submit(&ring_); }
  /// Submits what was queued and does not wait; true if there are completions. No system call if
  /// there is nothing to submit and nothing new.
  bool poll();
  /// True if something has happened that poll() would bring.
  bool has_news() const {
    constexpr unsigned kNews = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    return io_uring_cq_ready(&ring_) != 0 ||
           (io_uring_smp_load_acquire(ring_.sq.kflags) & kNews) != 0;
  }
  /// True if something has completed whose handler has not been called.
  bool has_completions() {
    return io_uring_cq_ready(&ring_) != 0 || io_uring_cq_has_overflow(&ring_);
  }
  /// Calls the handlers of all completions there are; false if there are none.
  bool reap();
  /// Both, one after the other.
  void run_once(TimeNs timeout_ns) {
    wait(timeout_ns);
    reap();
  }

 private:
  io_uring_sqe* next(Completion& done);

  io_uring ring_{};
  __kernel_timespec started_{};  ///< timers that have not been submitted yet
  __kernel_timespec moved_{};
  bool open_ = false;
  std::vector<int> descriptors_;      ///< by slot
  std::vector<unsigned> free_files_;  ///< slots free again
  unsigned regions_ = 0;
};

/// Can this process use io_uring at all? Called before anything is mounted.
Result<void> probe_io_uring();

}  // namespace blkio::data_plane
