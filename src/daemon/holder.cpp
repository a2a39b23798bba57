// SPDX-License-Identifier: MIT
#include "holder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <new>

#include "device_directory.hpp"
#include "mirror.hpp"
#include "mounts.hpp"
#include "worker.hpp"

namespace blkio::daemon {
namespace {

using data_plane::BackingDevice;

std::string to_text(DeviceNumber number) {
  return fmt::format("{}:{}", number.major, number.minor);
}

Result<BackingDevice> open_device(const DeviceOption& option) {
  BackingDevice device;
  if (option.path.empty()) {
    device = data_plane::null_backing_device(option.null_bytes);
    device.name = fmt::format("null{}", option.number->minor);
  } else {
    BLKIO_TRY(device, data_plane::open_backing_device(option.path));
    if (device.kind == data_plane::BackingKind::kFile && !option.number) {
      return failure(EINVAL, fmt::format("device={}: a regular file needs a number, say "
                                         "device=259:0={}",
                                         option.text, option.path));
    }
    if (device.kind == data_plane::BackingKind::kFile && !device.direct) {
      spdlog::warn("{}: its file system refuses O_DIRECT, the page cache is used", option.path);
    }
  }
  if (option.number) device.number = *option.number;
  return device;
}

/// A memfd, so that a later worker finds what an earlier one left.
Result<SharedState*> make_shared_state() {
  const int fd = memfd_create("blkio-state", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, sizeof(SharedState)) != 0) return failure(errno, "memfd");
  void* address = mmap(nullptr, sizeof(SharedState), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) return failure(errno, "memfd");
  return new (address) SharedState();
}

/// Lets go of the terminal and of whoever reads our output.
void leave_terminal() {
  if (chdir("/") != 0) return;
  const int null = open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) dup2(null, fd);
  if (null > 2) close(null);
}

/// A pipe on which the worker says one line: empty when it runs, else why it does not.
struct ReadyPipe {
  int read_end = -1;
  int write_end = -1;
};

class Holder {
 public:
  Holder(const Options& options, std::vector<BackingDevice> devices)
      : directory_(options.devdir.empty() ? default_device_directory() : options.devdir) {
    all_.options = options;
    all_.devices = std::move(devices);
    all_.holder_pid = getpid();
  }

  /// From here on a signal waits until we look at it: none can end us between two mounts.
  Result<void> take_signals();
  Result<void> mount_all();
  Result<void> start_worker();
  /// Returns when the worker has ended.
  int supervise();
  void unmount_all();

 private:
  Result<void> mount_devices();
  [[noreturn]] void become_worker(const ReadyPipe& pipe);
  Result<void> wait_until_ready(const ReadyPipe& pipe);
  void read_signal();
  void on_signal(int number);
  void abort_all();

  Inheritance all_;
  DeviceDirectory directory_;
  sigset_t signals_{};
  int signal_fd_ = -1;
  pid_t worker_ = -1;
  unsigned stop_signals_ = 0;
};

Result<void> Holder::take_signals() {
  sigemptyset(&signals_);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) sigaddset(&signals_, number);
  sigprocmask(SIG_BLOCK, &signals_, nullptr);
  signal_fd_ = signalfd(-1, &signals_, SFD_CLOEXEC);
  if (signal_fd_ < 0) return failure(errno, "signalfd");
  return success();
}

Result<void> Holder::mount_devices() {
  if (all_.devices.empty()) return success();
  BLKIO_TRY(directory_.create());
  all_.device_directory = directory_.path();
  for (const BackingDevice& device : all_.devices) {
    BLKIO_TRY(Mount mount, directory_.add(device, all_.options.source));
    all_.device_mounts.push_back(std::move(mount));
  }
  return success();
}

Result<void> Holder::mount_all() {
  BLKIO_TRY(all_.shared, make_shared_state());
  all_.mirror = open_mirror(all_.options);  // before the tree may cover it
  BLKIO_TRY(mount_devices());
  BLKIO_TRY(all_.tree,
            mount_fuse(all_.options.mountpoint, kTreeType, all_.options.source, S_IFDIR | 0555));
  return success();
}

void Holder::become_worker(const ReadyPipe& pipe) {
  close(pipe.read_end);
  close(signal_fd_);
  sigprocmask(SIG_UNBLOCK, &signals_, nullptr);
  const auto say = [&](const std::string& line) {
    if (write(pipe.write_end, line.data(), line.size()) < 0) _exit(1);
    close(pipe.write_end);
  };
  Result<int> ended = run_worker(all_, [&] {
    if (!all_.options.foreground) leave_terminal();
    say("\n");
  });
  if (!ended) say(ended.error().to_string() + "\n");
  // The holder was killed: nobody else takes the mounts away.
  if (getppid() != all_.holder_pid) unmount_all();
  spdlog::shutdown();
  // Not _exit: sanitizers report leaks from exit handlers.
  std::exit(ended ? ended.value() : 1);
}

Result<void> Holder::start_worker() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return failure(errno, "pipe");
  const ReadyPipe pipe{ends[0], ends[1]};
  worker_ = fork();
  if (worker_ < 0) return failure(errno, "fork");
  if (worker_ == 0) become_worker(pipe);

  close(pipe.write_end);
  Result<void> ready = wait_until_ready(pipe);
  close(pipe.read_end);
  if (!ready) waitpid(worker_, nullptr, 0);
  return ready;
}

/// A signal may come before the worker says anything: it is passed on at once.
Result<void> Holder::wait_until_ready(const ReadyPipe& pipe) {
  std::string line;
  char c = 0;
  while (c != '\n') {
    std::array<pollfd, 2> both{{{pipe.read_end, POLLIN, 0}, {signal_fd_, POLLIN, 0}}};
    if (poll(both.data(), both.size(), -1) < 0) continue;
    if ((both[1].revents & POLLIN) != 0) read_signal();
    if (both[0].revents == 0) continue;
    if (read(pipe.read_end, &c, 1) != 1) {
      return failure(EIO, stop_signals_ != 0 ? "stopped before the worker was ready"
                                             : "the worker ended before it was ready");
    }
    if (c != '\n') line += c;
  }
  if (!line.empty()) return failure(0, line);
  return success();
}

void Holder::abort_all() {
  for (const Mount& mount : all_.device_mounts) abort_connection(mount);
  abort_connection(all_.tree);
}

void Holder::on_signal(int number) {
  if (number == SIGHUP || worker_ <= 0) return;
  if (++stop_signals_ == 1) {
    kill(worker_, SIGTERM);
    return;
  }
  spdlog::warn("stopped a second time: aborting the connections");
  abort_all();
  kill(worker_, SIGKILL);
}

int Holder::supervise() {
  while (true) {
    int status = 0;
    const pid_t ended = waitpid(worker_, &status, WNOHANG);
    if (ended == worker_) {
      worker_ = -1;
      if (WIFEXITED(status)) return WEXITSTATUS(status);
      spdlog::error("the worker was ended by signal {}", WTERMSIG(status));
      return stop_signals_ != 0 ? 0 : 1;
    }
    read_signal();
  }
}

void Holder::read_signal() {
  signalfd_siginfo info{};
  if (read(signal_fd_, &info, sizeof info) != sizeof info) return;
  if (info.ssi_signo != SIGCHLD) on_signal(static_cast<int>(info.ssi_signo));
}

void Holder::unmount_all() {
  for (const Mount& mount : all_.device_mounts) {
    detach(mount);
    close(mount.fuse_fd);
  }
  if (all_.tree.fuse_fd >= 0) {
    detach(all_.tree);
    close(all_.tree.fuse_fd);
  }
  directory_.remove_all();
  if (all_.mirror) close_mirror(*all_.mirror);
}

Result<void> check_unique(const std::vector<BackingDevice>& devices, const BackingDevice& device,
                          const std::string& text) {
  for (const BackingDevice& other : devices) {
    if (other.number == device.number) {
      return failure(EEXIST, fmt::format("device={}: number {} is already that of {}", text,
                                         to_text(device.number), other.path));
    }
    if (other.name == device.name) {
      return failure(EEXIST, fmt::format("device={}: name {} is already that of {}", text,
                                         device.name, other.path));
    }
  }
  return success();
}

}  // namespace

Result<std::vector<BackingDevice>> open_devices(const Options& options) {
  std::vector<BackingDevice> devices;
  for (const DeviceOption& option : options.devices) {
    BLKIO_TRY(BackingDevice device, open_device(option));
    BLKIO_TRY(check_unique(devices, device, option.text));
    devices.push_back(std::move(device));
  }
  if (devices.size() > SharedState::kDevices) {
    return failure(E2BIG,
                   fmt::format("{} devices, at most {}", devices.size(), SharedState::kDevices));
  }
  return devices;
}

int run_holder(const Options& options, std::vector<BackingDevice> devices,
               const std::function<void(const Result<void>&)>& report) {
  prctl(PR_SET_NAME, "blkio-holder");
  Holder holder(options, std::move(devices));
  Result<void> started = holder.take_signals();
  if (started) started = holder.mount_all();
  if (started) started = holder.start_worker();
  int code = 1;
  if (started) {
    if (!options.foreground) leave_terminal();
    report(started);
    code = holder.supervise();
    holder.unmount_all();
  } else {
    holder.unmount_all();
    report(started);
  }
  return code;
}

}  // namespace blkio::daemon
