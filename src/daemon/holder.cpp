// SPDX-License-Identifier: MIT
#include "holder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
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

#include "cgroupfs/device_text.hpp"
#include "device_directory.hpp"
#include "holder_link.hpp"
#include "mirror.hpp"
#include "mounts.hpp"
#include "worker.hpp"

namespace blkio::daemon {
namespace {

using data_plane::BackingDevice;
using nlohmann::json;

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

const BackingDevice& backing(const BackingDevice& device) {
  return device;
}
const BackingDevice& backing(const ProxiedDevice& device) {
  return device.backing;
}

template <class Device>
Result<void> check_unique(const std::vector<Device>& devices, const BackingDevice& device,
                          const std::string& text) {
  for (const Device& each : devices) {
    const BackingDevice& other = backing(each);
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
      : directory_(options.devdir.empty() ? default_device_directory() : options.devdir),
        at_start_(std::move(devices)) {
    all_.options = options;
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
  Result<void> make_directory();
  Result<void> mount_device(BackingDevice device);
  Result<std::size_t> free_slot() const;
  [[noreturn]] void become_worker(const ReadyPipe& pipe);
  Result<void> wait_until_ready(const ReadyPipe& pipe);
  void wait_for_news();
  void read_signal();
  void on_signal(int number);
  void answer_worker();
  Result<LinkMessage> add_device(const std::string& text);
  Result<LinkMessage> remove_device(const std::string& text);
  void abort_all();

  Inheritance all_;
  DeviceDirectory directory_;
  std::vector<BackingDevice> at_start_;  ///< until they are mounted
  int link_ = -1;                        ///< our end
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

Result<void> Holder::make_directory() {
  if (!all_.device_directory.empty()) return success();
  BLKIO_TRY(directory_.create());
  all_.device_directory = directory_.path();
  return success();
}

Result<std::size_t> Holder::free_slot() const {
  for (std::size_t slot = 0; slot < SharedState::kDevices; ++slot) {
    const bool used = std::any_of(all_.devices.begin(), all_.devices.end(),
                                  [&](const ProxiedDevice& device) { return device.slot == slot; });
    if (!used) return slot;
  }
  return failure(E2BIG, fmt::format("there are {} devices already", SharedState::kDevices));
}

Result<void> Holder::mount_device(BackingDevice device) {
  BLKIO_TRY(make_directory());
  BLKIO_TRY(const std::size_t slot, free_slot());
  BLKIO_TRY(Mount mount, directory_.add(device, all_.options.source));
  all_.shared->devices[slot] = {};
  all_.devices.push_back({std::move(device), std::move(mount), slot});
  return success();
}

Result<void> Holder::mount_devices() {
  for (BackingDevice& device : at_start_) BLKIO_TRY(mount_device(std::move(device)));
  at_start_.clear();
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
  close(link_);
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
  BLKIO_TRY(const LinkEnds link, make_link());
  link_ = link.holder;
  all_.link = link.worker;
  worker_ = fork();
  if (worker_ < 0) return failure(errno, "fork");
  if (worker_ == 0) become_worker(pipe);

  close(pipe.write_end);
  close(std::exchange(all_.link, -1));
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
  for (const ProxiedDevice& device : all_.devices) abort_connection(device.mount);
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
    wait_for_news();
  }
}

void Holder::wait_for_news() {
  std::array<pollfd, 2> both{{{signal_fd_, POLLIN, 0}, {link_, POLLIN, 0}}};
  if (poll(both.data(), both.size(), -1) < 0) return;
  if (both[1].revents != 0) answer_worker();
  if ((both[0].revents & POLLIN) != 0) read_signal();
}

/// The worker may neither mount nor open what it has no right to in its place; we do.
void Holder::answer_worker() {
  Result<LinkMessage> question = receive_message(link_);
  if (!question) {  // it has ended, a signal tells how
    close(std::exchange(link_, -1));
    return;
  }
  const json& body = question.value().body;
  Result<LinkMessage> answer =
      body.contains("add") ? add_device(body.at("add")) : remove_device(body.value("remove", ""));
  if (!answer) answer = LinkMessage{{{"ok", false}, {"error", answer.error().to_string()}}, {}};
  if (const auto sent = send_message(link_, answer.value()); !sent) {
    spdlog::error("answering the worker: {}", sent.error().to_string());
  }
}

Result<LinkMessage> Holder::add_device(const std::string& text) {
  BLKIO_TRY(const DeviceOption option, parse_device(text));
  BLKIO_TRY(BackingDevice device, open_device(option));
  Result<void> added = check_unique(all_.devices, device, text);
  if (added) added = mount_device(device);
  if (!added) {
    if (device.fd >= 0) close(device.fd);
    return added.error();
  }
  return to_message(all_.devices.back());
}

Result<LinkMessage> Holder::remove_device(const std::string& text) {
  const auto number = parse_device_number(text);
  const auto found = std::find_if(
      all_.devices.begin(), all_.devices.end(),
      [&](const ProxiedDevice& device) { return number && device.backing.number == *number; });
  if (found == all_.devices.end()) return failure(ENODEV, text);
  abort_connection(found->mount);
  detach(found->mount);
  directory_.remove(found->backing.number);
  close(found->mount.fuse_fd);
  if (found->backing.fd >= 0) close(found->backing.fd);
  all_.devices.erase(found);
  return LinkMessage{{{"ok", true}}, {}};
}

void Holder::read_signal() {
  signalfd_siginfo info{};
  if (read(signal_fd_, &info, sizeof info) != sizeof info) return;
  if (info.ssi_signo != SIGCHLD) on_signal(static_cast<int>(info.ssi_signo));
}

void Holder::unmount_all() {
  for (const ProxiedDevice& device : all_.devices) {
    detach(device.mount);
    close(device.mount.fuse_fd);
  }
  if (all_.tree.fuse_fd >= 0) {
    detach(all_.tree);
    close(all_.tree.fuse_fd);
  }
  directory_.remove_all();
  if (all_.mirror) close_mirror(*all_.mirror);
}

Result<void> check_proxied(const std::vector<BackingDevice>& devices, DeviceNumber number,
                           const std::string& option) {
  std::vector<std::string> numbers;
  for (const BackingDevice& device : devices) {
    if (device.number == number) return success();
    numbers.push_back(to_text(device.number));
  }
  const std::string known = numbers.empty() ? "none" : fmt::to_string(fmt::join(numbers, ", "));
  return failure(0, fmt::format("{0}: no device= has the number {1}, those there are have: {2}; "
                                "add device={1}=PATH or correct the number",
                                option, to_text(number), known));
}

/// The daemon would wait for itself.
Result<void> check_place_of_state(const std::string& path,
                                  const std::vector<BackingDevice>& devices) {
  if (path.empty()) return success();
  struct stat place {};
  const std::string directory = std::filesystem::absolute(path).parent_path();
  if (::stat(directory.c_str(), &place) != 0) return failure(errno, "state=" + path);
  for (const BackingDevice& device : devices) {
    struct stat own {};  // its number may be one of our own making
    const bool below = device.kind == data_plane::BackingKind::kBlockDevice &&
                       ::fstat(device.fd, &own) == 0 && own.st_rdev == place.st_dev;
    if (!below) continue;
    return failure(0, fmt::format("state={}: lies on {}, which is to be proxied; put it elsewhere",
                                  path, device.path));
  }
  return success();
}

/// What is said of a device that is not proxied would do nothing, and nobody would notice.
Result<void> check_options_of_devices(const Options& options,
                                      const std::vector<BackingDevice>& devices) {
  for (const auto& [number, weights] : options.weights) {
    const char* scheduler = weights ? "bfq" : "none";
    BLKIO_TRY(
        check_proxied(devices, number, fmt::format("scheduler={}={}", to_text(number), scheduler)));
  }
  for (const auto& [number, group] : options.default_groups) {
    BLKIO_TRY(check_proxied(devices, number, fmt::format("group={}={}", to_text(number), group)));
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
  BLKIO_TRY(check_options_of_devices(options, devices));
  BLKIO_TRY(check_place_of_state(options.state, devices));
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
