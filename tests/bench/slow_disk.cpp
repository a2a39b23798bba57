// SPDX-License-Identifier: MIT
/// slow_disk PATH SIZE_MIB SERVICE_US COUNTERS RANGE_MIB
///
/// Mounts on the regular file PATH a file of zeros that serves one request after the other, each
/// for SERVICE_US: what is put under a loop device where a table needs a serial device of known
/// speed. The file COUNTERS holds, as 64-bit numbers that can be read meanwhile, how many requests
/// began in each range of the file: what went to the device, in the words of nobody who is being
/// measured. Runs until PATH is unmounted.
#include <sys/mman.h>
#include <sys/prctl.h>

#include <atomic>
#include <chrono>
#include <span>
#include <thread>

#include "fuse_file.hpp"

namespace {

using blkio_bench::fail;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr unsigned kBackground = 256;  ///< requests that wait in the kernel
/// A sleep ends this much early, and the rest is spun: waking up takes some.
constexpr std::chrono::microseconds kWakeUp{60};

/// One counter for each range of the disk.
std::span<std::uint64_t> open_counters(const char* path, std::uint64_t ranges) {
  const int file = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  const std::size_t bytes = ranges * sizeof(std::uint64_t);
  if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes)) != 0) fail(path);
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) fail(path);
  return {static_cast<std::uint64_t*>(memory), ranges};
}

/// The one head that moves.
void serve_until(Clock::time_point end) {
  if (end - Clock::now() > kWakeUp) std::this_thread::sleep_until(end - kWakeUp);
  while (Clock::now() < end) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: slow_disk PATH SIZE_MIB SERVICE_US COUNTERS RANGE_MIB\n", stderr);
    return 2;
  }
  ::prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
  const auto number = [&](int index) { return std::strtoull(argv[index], nullptr, 10); };
  const std::uint64_t size = number(2) * kMiB;
  const std::uint64_t range = number(5) * kMiB;
  const std::chrono::microseconds service(number(3));
  const auto counters = open_counters(argv[4], (size + range - 1) / range);
  blkio_bench::FuseFile disk(argv[1],
                             {.name = "slow_disk", .size = size, .background = kBackground});
  disk.run([&](std::uint64_t offset) {
    serve_until(Clock::now() + service);
    if (offset / range < counters.size()) std::atomic_ref(counters[offset / range]).fetch_add(1);
  });
}
