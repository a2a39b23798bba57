// SPDX-License-Identifier: MIT
/// slow_disk PATH SIZE_MIB SERVICE_US COUNTERS RANGE_MIB
///
/// Mounts on the regular file PATH a file of zeros that serves one request after the other, each
/// for SERVICE_US: what is put under a loop device where a table needs a serial device of known
/// speed. The file COUNTERS holds, as 64-bit numbers that can be read meanwhile, how many requests
/// began in each range of the file: what went to the device, in the words of nobody who is being
/// measured. Runs until PATH is unmounted.
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::size_t kLongest = kMiB;  ///< of one request
constexpr std::size_t kPage = 4096;
constexpr unsigned kBackground = 256;  ///< requests that wait in the kernel
constexpr std::uint64_t kForeverS = 3600;
/// A sleep ends this much early, and the rest is spun: waking up takes some.
constexpr std::chrono::microseconds kWakeUp{60};

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

class SlowDisk {
 public:
  SlowDisk(const char* path, std::uint64_t size, std::chrono::microseconds service,
           const char* counters, std::uint64_t range)
      : size_(size), service_(service), range_(range), zeros_(kLongest) {
    open_counters(counters);
    connect(path);
  }

  void run() {
    std::vector<char> message(kLongest + kPage);
    for (;;) {
      const ssize_t length = ::read(connection_, message.data(), message.size());
      if (length < 0 && errno == ENODEV) return;  // unmounted
      if (length < 0 && errno != EINTR && errno != ENOENT) fail("/dev/fuse");
      if (length > 0) serve(message.data());
    }
  }

 private:
  void open_counters(const char* path) {
    const std::uint64_t ranges = (size_ + range_ - 1) / range_;
    const int file = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    const std::size_t bytes = ranges * sizeof(std::uint64_t);
    if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes)) != 0) fail(path);
    void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) fail(path);
    counters_ = {static_cast<std::uint64_t*>(memory), ranges};
  }

  void connect(const char* path) {
    connection_ = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (connection_ < 0) fail("/dev/fuse");
    const std::string options =
        "fd=" + std::to_string(connection_) +
        ",rootmode=100644,user_id=0,group_id=0,allow_other,max_read=" + std::to_string(kLongest);
    if (::mount("slow_disk", path, "fuse", 0, options.c_str()) != 0) fail(path);
  }

  void serve(const char* message) {
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
        const fuse_open_out out{};
        return reply(in, &out, sizeof out);
      }
      case FUSE_READ: {
        const auto& read = *reinterpret_cast<const fuse_read_in*>(body);
        work(read.offset);
        return reply(in, zeros_.data(), inside(read.offset, read.size));
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
    out.max_background = kBackground;
    out.congestion_threshold = kBackground;
    out.max_write = kLongest;
    out.time_gran = 1;
    out.max_pages = kLongest / kPage;
    reply(in, &out, sizeof out);
  }

  fuse_attr_out attributes() const {
    fuse_attr_out out{};
    out.attr_valid = kForeverS;
    out.attr.ino = FUSE_ROOT_ID;
    out.attr.size = size_;
    out.attr.blocks = size_ / 512;
    out.attr.mode = S_IFREG | 0644;
    out.attr.nlink = 1;
    out.attr.blksize = kPage;
    return out;
  }

  std::size_t inside(std::uint64_t offset, std::size_t length) const {
    return offset >= size_ ? 0 : std::min<std::uint64_t>(length, size_ - offset);
  }

  /// The one head that moves.
  void work(std::uint64_t offset) {
    const Clock::time_point end = Clock::now() + service_;
    if (service_ > kWakeUp) std::this_thread::sleep_until(end - kWakeUp);
    while (Clock::now() < end) {
    }
    const std::uint64_t range = offset / range_;
    if (range < counters_.size()) std::atomic_ref(counters_[range]).fetch_add(1);
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

  const std::uint64_t size_;
  const std::chrono::microseconds service_;
  const std::uint64_t range_;
  const std::vector<char> zeros_;
  std::span<std::uint64_t> counters_;
  int connection_ = -1;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: slow_disk PATH SIZE_MIB SERVICE_US COUNTERS RANGE_MIB\n", stderr);
    return 2;
  }
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
  const auto number = [&](int index) { return std::strtoull(argv[index], nullptr, 10); };
  SlowDisk disk(argv[1], number(2) * kMiB, std::chrono::microseconds(number(3)), argv[4],
                number(5) * kMiB);
  disk.run();
}
