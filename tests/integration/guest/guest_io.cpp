// SPDX-License-Identifier: MIT
// The whole user space of the tests' virtual machine: process 1, which does the reads and writes
// that it is told to and says when each of them completed.
//
// A line on the second serial port is a list of jobs that run at the same time, five words each:
//
//     read|write DISK BLOCK COUNT PARALLEL
//
// COUNT requests of BLOCK bytes with O_DIRECT, PARALLEL at a time, by as many processes. Answered
// with a line for each job, the completion times in microseconds since the line was read, in
// CLOCK_MONOTONIC, or `error NUMBER` with the errno of a request that failed; and then `done`.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace {

constexpr auto kPort = "/dev/ttyS1";
// In the order in which they need one another.
constexpr const char* kModules[] = {"virtio_ring",           "virtio",     "virtio_pci_legacy_dev",
                                    "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"};
constexpr int kMostRequests = 1 << 16;
constexpr off_t kBytesUsed = 32 << 20;

int64_t now_us() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1'000'000 + time.tv_nsec / 1000;
}

[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "guest: %s: %s\n", what, std::strerror(errno));
  sync();
  std::exit(1);  // the kernel panics, and the machine ends
}

void* shared_memory(size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) give_up("mmap");
  return memory;
}

// What the processes of a job share.
struct Progress {
  std::atomic<int> begun;
  std::atomic<int> ended;
  std::atomic<int> error;
  int64_t times_us[kMostRequests];
};

struct Job {
  bool is_read = true;
  std::string disk;
  size_t block = 0;
  int count = 0;
  int parallel = 0;
  Progress* progress = nullptr;
};

// Every other block, for neighbours would be merged on their way.
bool move_block(int disk, const Job& job, void* memory, int index) {
  const off_t offset = static_cast<off_t>(2 * index * job.block) % kBytesUsed;
  const ssize_t moved = job.is_read ? pread(disk, memory, job.block, offset)
                                    : pwrite(disk, memory, job.block, offset);
  return moved == static_cast<ssize_t>(job.block);
}

void run_worker(const Job& job) {
  Progress& progress = *job.progress;
  const int disk = open(("/dev/" + job.disk).c_str(), O_RDWR | O_DIRECT);
  void* memory = shared_memory(job.block);
  for (int index; (index = progress.begun++) < job.count;) {
    if (disk < 0 || !move_block(disk, job, memory, index)) {
      progress.error = errno;
      return;
    }
    progress.times_us[progress.ended++] = now_us();
  }
}

void start(const Job& job) {
  for (int worker = 0; worker < job.parallel; ++worker) {
    const pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) {
      run_worker(job);
      _exit(0);
    }
  }
}

void answer(FILE* port, const Job& job, int64_t start_us) {
  Progress& progress = *job.progress;
  if (progress.error != 0) {
    std::fprintf(port, "error %d\n", progress.error.load());
    return;
  }
  std::sort(progress.times_us, progress.times_us + job.count);  // others ran between clock and slot
  for (int index = 0; index < job.count; ++index)
    std::fprintf(port, "%lld ", static_cast<long long>(progress.times_us[index] - start_us));
  std::fputs("\n", port);
}

std::vector<Job> parse(char* line) {
  std::vector<Job> jobs;
  for (char* word = std::strtok(line, " \n"); word != nullptr; word = std::strtok(nullptr, " \n")) {
    Job job;
    job.is_read = std::strcmp(word, "read") == 0;
    job.disk = std::strtok(nullptr, " \n");
    job.block = std::strtoul(std::strtok(nullptr, " \n"), nullptr, 10);
    job.count = std::min(std::atoi(std::strtok(nullptr, " \n")), kMostRequests);
    job.parallel = std::atoi(std::strtok(nullptr, " \n"));
    job.progress = static_cast<Progress*>(shared_memory(sizeof(Progress)));
    jobs.push_back(job);
  }
  return jobs;
}

void obey(FILE* port, char* line) {
  std::vector<Job> jobs = parse(line);
  const int64_t start_us = now_us();
  for (const Job& job : jobs) start(job);
  while (wait(nullptr) > 0) {
  }
  for (const Job& job : jobs) {
    answer(port, job, start_us);
    munmap(job.progress, sizeof(Progress));
  }
  std::fputs("done\n", port);
  std::fflush(port);
}

void load_modules() {
  for (const char* name : kModules) {
    const int module = open(("/" + std::string(name) + ".ko").c_str(), O_RDONLY);
    if (module < 0) continue;  // built in
    if (syscall(SYS_finit_module, module, "", 0) != 0) give_up(name);
    close(module);
  }
}

int open_port() {
  const int port = open(kPort, O_RDWR | O_NOCTTY);
  termios mode{};
  if (port < 0 || tcgetattr(port, &mode) != 0) give_up(kPort);
  cfmakeraw(&mode);
  tcsetattr(port, TCSANOW, &mode);
  return port;
}

}  // namespace

int main() {
  mkdir("/dev", 0755);
  if (mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr) != 0) give_up("devtmpfs");
  load_modules();
  const int port = open_port();
  FILE* commands = fdopen(port, "r");
  FILE* answers = fdopen(port, "w");
  std::fputs("ready\n", answers);
  std::fflush(answers);
  char line[4096];
  while (std::fgets(line, sizeof line, commands) != nullptr) obey(answers, line);
  give_up("end of the serial port");
}
