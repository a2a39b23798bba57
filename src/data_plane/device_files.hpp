// SPDX-License-Identifier: MIT
/// The small file system of one device connection: a directory with one file, the device.
///
/// Answers everything that is no I/O. Every LOOKUP is answered with a new node, so each open has an
/// inode of its own and the kernel never makes one opener's write wait for another's
/// (docs/decisions/0003-one-inode-per-open.md). Any node but the root means the device: there is no
/// table of nodes, and FORGET needs no answer.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <list>
#include <span>
#include <string_view>

#include "backing_device.hpp"
#include "lock_table.hpp"
#include "message.hpp"

namespace blkio::data_plane {

/// How DeviceFiles answers; implemented by DeviceShard.
class Replier {
 public:
  virtual ~Replier() = default;
  virtual void answer(ReplyTo to, int error, const void* data, std::size_t bytes) = 0;
};

/// What INIT agreed on. Kept in the memory that holder and worker share.
struct Negotiated {
  std::uint32_t minor = 0;
  std::uint64_t flags = 0;

  bool over_ring() const { return (flags & kInitOverIoUring) != 0; }
};

class DeviceFiles {
 public:
  /// over_ring: ask for FUSE over io_uring.
  DeviceFiles(const BackingDevice& device, Replier& replier, Negotiated& negotiated,
              bool over_ring = false);

  /// Answers the message, now or (a lock that is waited for) later.
  void handle(const Message& message);
  /// OPEN needs to know its group first; `handle` is what later requests of this open carry.
  void open(ReplyTo to, std::uint64_t handle);
  /// What an OPEN must fail with before anybody looks at its group; 0 if it may go on.
  int refuse_open(std::uint64_t node, std::uint32_t flags) const;
  /// Ends a lock request that waits; false if there is none with this id.
  bool interrupt(std::uint64_t unique);
  /// Ends all lock requests that wait with this error.
  void fail_waiting(int error);
  /// Calls gone(tgid) for processes that wait for a lock and ends the waits of those that are. Of a
  /// process in a foreign pid namespace (0) nothing is known.
  template <class F>
  void drop_dead_waiters(F&& gone) {
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      const auto next = std::next(it);
      if (it->lock.pid > 0 && gone(it->lock.pid)) end_wait(it, EINTR);
      it = next;
    }
  }
  bool has_waiters() const { return !waiting_.empty(); }
  bool negotiated() const { return negotiated_.minor != 0; }

 private:
  struct LockWait {
    ReplyTo to;
    FileLock lock;
  };
  using Waits = std::list<LockWait>;

  void init(const Message& message);
  void lookup(const Message& message);
  void get_attributes(const Message& message);
  void set_attributes(const Message& message);
  void read_directory(const Message& message);
  void get_lock(const Message& message);
  void set_lock(const Message& message, bool wait);
  void flush(const Message& message);
  void release(const Message& message);
  void status(const Message& message);
  void give_up(FileLock lock);
  void retry_waiting();
  void end_wait(Waits::iterator wait, int error);
  fuse_attr attributes(std::uint64_t node) const;
  void ok(const Message& message) { replier_.answer(message.reply_to(), 0, nullptr, 0); }
  void error(const Message& message, int number) {
    replier_.answer(message.reply_to(), number, nullptr, 0);
  }
  template <class T>
  void answer(const Message& message, const T& value) {
    replier_.answer(message.reply_to(), 0, &value, sizeof value);
  }

  const BackingDevice& device_;
  Replier& replier_;
  Negotiated& negotiated_;
  const bool over_ring_;
  LockTable locks_;
  Waits waiting_;
  std::uint64_t next_node_ = FUSE_ROOT_ID + 1;
  mode_t permissions_;
  uid_t uid_;
  gid_t gid_;
  std::int64_t started_s_;
};

}  // namespace blkio::data_plane
