// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace blkio_bench {

[[noreturn]] inline void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

struct FuseFileOptions {
  const char* name;              ///< as mount(8) shows it
  std::uint64_t size = 0;        ///< bytes
  unsigned background = 0;       ///< requests that the kernel sends before it waits for replies
  std::uint32_t open_flags = 0;  ///< FOPEN_*
  bool spin = false;             ///< asks for the next request without ever sleeping
  bool fill = false;             ///< makes its zeros anew for every read, as a target has to
};

/// A file of zeros, mounted on a regular file by mount(2) and served from /dev/fuse itself, one
/// request after the other. What it is told to write it forgets. Errors end the process.
class FuseFile {
 public:
  FuseFile(const char* path, const FuseFileOptions& options) : options_(options), zeros_(kLongest) {
    connection_ = ::open("/dev/fuse", O_RDWR | O_CLOEXEC | (options.spin ? O_NONBLOCK : 0));
    if (connection_ < 0) fail("/dev/fuse");
    const std::string words =
        "fd=" + std::to_string(connection_) +
        ",rootmode=100644,user_id=0,group_id=0,allow_other,max_read=" + std::to_string(kLongest);
    if (::mount(options.name, path, "fuse", 0, words.c_str()) != 0) fail(path);
  }

  /// Until it is unmounted. Before a read or write is answered, `work(offset)` is called.
  template <typename Work>
  void run(Work work) {
    std::vector<char> message(kLongest + kPage);
    for (;;) {
      const ssize_t length = ::read(connection_, message.data(), message.size());
      if (length > 0) {
        serve(message.data(), work);
      } else if (length < 0 && errno == ENODEV) {
        return;
      } else if (errno != EINTR && errno != ENOENT && errno != EAGAIN) {
        fail("/dev/fuse");
      }
    }
  }

 private:
  static constexpr std::size_t kLongest = 1 << 20;  ///< of one request
  static constexpr std::size_t kPage = 4096;
  static constexpr std::uint64_t kForeverS = 3600;

  template <typename Work>
  void serve(const char* message, Work& work) {
    const auto& in = *reinterpret_cast<const fuse_in_header*>(message);
    const char* body = message + sizeof in;
    switch (in.opcode) {
      case FUSE_INIT:
        return greet(in, *reinterpret_cast<const fuse_init_in*>(body));
      case FUSE_GETATTR:
      case FUSE_SETATTR: {
        const fuse_attr_out out = attributes();
        return reply(in, &out, sizeof out);
      }
      case FUSE_OPEN: {
        fuse_open_out out{};
        out.open_flags = options_.open_flags;
        return reply(in, &out, sizeof out);
      }
      case FUSE_READ: {
        const auto& read = *reinterpret_cast<const fuse_read_in*>(body);
        work(read.offset);
        const std::size_t length = inside(read.offset, read.size);
        if (options_.fill) std::memset(zeros_.data(), 0, length);
        return reply(in, zeros_.data(), length);
      }
      case FUSE_WRITE: {
        const auto& write = *reinterpret_cast<const fuse_write_in*>(body);
        work(write.offset);
        const fuse_write_out out{.size = write.size, .padding = 0};
        return reply(in, &out, sizeof out);
      }
      case FUSE_STATFS: {
        const fuse_statfs_out out{};
        return reply(in, &out, sizeof out);
      }
      case FUSE_FSYNC:
      case FUSE_FLUSH:
      case FUSE_RELEASE:
        return reply(in, nullptr, 0);
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        return;
      default:
        return reply(in, nullptr, 0, -ENOSYS);
    }
  }

  void greet(const fuse_in_header& in, const fuse_init_in& init) {
    fuse_init_out out{};
    out.major = FUSE_KERNEL_VERSION;
    out.minor = 31;
    out.max_readahead = init.max_readahead;
    out.flags = FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_BIG_WRITES | FUSE_MAX_PAGES;
    out.max_background = static_cast<std::uint16_t>(options_.background);
    out.congestion_threshold = out.max_background;
    out.max_write = kLongest;
    out.time_gran = 1;
    out.max_pages = kLongest / kPage;
    reply(in, &out, sizeof out);
  }

  fuse_attr_out attributes() const {
    fuse_attr_out out{};
    out.attr_valid = kForeverS;
    out.attr.ino = FUSE_ROOT_ID;
    out.attr.size = options_.size;
    out.attr.blocks = options_.size / 512;
    out.attr.mode = S_IFREG | 0644;
    out.attr.nlink = 1;
    out.attr.blksize = kPage;
    return out;
  }

  std::size_t inside(std::uint64_t offset, std::size_t length) const {
    return offset >= options_.size ? 0 : std::min<std::uint64_t>(length, options_.size - offset);
  }

  void reply(const fuse_in_header& in, const void* data, std::size_t size, int error = 0) {
    fuse_out_header out{};
    out.len = static_cast<std::uint32_t>(sizeof out + size);
    out.error = error;
    out.unique = in.unique;
    std::array<iovec, 2> parts{{{&out, sizeof out}, {const_cast<void*>(data), size}}};
    if (::writev(connection_, parts.data(), size == 0 ? 1 : 2) < 0 && errno != ENOENT) {
      std::perror("answer");
    }
  }

  const FuseFileOptions options_;
  std::vector<char> zeros_;
  int connection_ = -1;
};

}  // namespace blkio_bench
