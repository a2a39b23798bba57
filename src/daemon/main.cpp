// SPDX-License-Identifier: MIT
/// blkio: parse, check, go to the background, hold.
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <iostream>

#include "data_plane/ring.hpp"
#include "fuse_module.hpp"
#include "holder.hpp"
#include "mounts.hpp"
#include "options.hpp"

namespace blkio::daemon {
namespace {

void complain(const Error& error) {
  std::cerr << "blkio: " << error.to_string() << '\n';
}

std::string hint_for_io_uring(int error) {
  if (error == EPERM) {
    return "forbidden by sysctl kernel.io_uring_disabled or by a seccomp filter; allow it";
  }
  if (error == ENOSYS) return "not in this kernel or forbidden by a seccomp filter; it is needed";
  return "cannot be used";
}

Result<std::string> real_path(const std::string& path) {
  std::error_code error;
  std::string real = std::filesystem::canonical(path, error);
  if (error) return failure(error.value(), path);
  return real;
}

/// Everything that can be known to fail without mounting anything.
Result<void> check(Options& options) {
  if (const Result<void> ring = data_plane::probe_io_uring(); !ring) {
    const int error = ring.error().number;
    return failure(error, fmt::format("io_uring is {}", hint_for_io_uring(error)));
  }
  if (options.transport == Transport::kUring) BLKIO_TRY(offer_fuse_over_io_uring());
  BLKIO_TRY(const int fuse, open_fuse());
  close(fuse);
  if (!remove_dead_mount(options.mountpoint)) return failure(errno, options.mountpoint);
  struct stat st {};
  if (stat(options.mountpoint.c_str(), &st) != 0) return failure(errno, options.mountpoint);
  if (!S_ISDIR(st.st_mode)) return failure(ENOTDIR, options.mountpoint);
  BLKIO_TRY(options.mountpoint, real_path(options.mountpoint));
  // The daemon does not stay in this directory.
  if (!options.control.empty()) options.control = std::filesystem::absolute(options.control);
  if (!options.state.empty()) options.state = std::filesystem::absolute(options.state);
  if (is_blkio_mount(options.mountpoint)) {
    return failure(EBUSY, fmt::format("{}: blkio is mounted here already", options.mountpoint));
  }
  return success();
}

/// Until the daemon is in the background, all goes to stderr.
void set_up_log(const Options& options, bool background) {
  std::shared_ptr<spdlog::logger> logger;
  if (!options.log_file.empty()) {
    logger = std::make_shared<spdlog::logger>(
        "blkio", std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.log_file));
  } else if (background) {
    logger = std::make_shared<spdlog::logger>(
        "blkio",
        std::make_shared<spdlog::sinks::syslog_sink_mt>("blkio", LOG_PID, LOG_DAEMON, false));
  } else {
    logger = std::make_shared<spdlog::logger>("blkio",
                                              std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_pattern("blkio: %l: %v");
  }
  logger->set_level(spdlog::level::from_str(options.log_level));
  logger->flush_on(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

/// The mount answers when stat(2) of its root returns.
void wait_until_it_answers(const Options& options) {
  struct stat st {};
  stat(options.mountpoint.c_str(), &st);
}

int run_in_foreground(const Options& options, std::vector<data_plane::BackingDevice> devices) {
  return run_holder(options, std::move(devices), [](const Result<void>& started) {
    if (!started) complain(started.error());
  });
}

/// The parent waits on a pipe for one byte: 0 when the mount is there.
int run_in_background(const Options& options, std::vector<data_plane::BackingDevice> devices) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    complain({errno, "pipe"});
    return 1;
  }
  const pid_t child = fork();
  if (child < 0) {
    complain({errno, "fork"});
    return 1;
  }
  if (child == 0) {
    close(ends[0]);
    setsid();
    return run_holder(options, std::move(devices), [&](const Result<void>& started) {
      if (!started) complain(started.error());
      const char code = started ? 0 : 1;
      if (write(ends[1], &code, 1) != 1) std::exit(1);
      close(ends[1]);
    });
  }
  close(ends[1]);
  char code = 1;
  if (read(ends[0], &code, 1) != 1) code = 1;
  if (code == 0) wait_until_it_answers(options);
  return code;
}

int run(int argc, char** argv) {
  Result<ParsedCommandLine> parsed = parse_command_line(argc, argv);
  if (!parsed) {
    std::cerr << "blkio: " << parsed.error().context << '\n';
    return 2;
  }
  if (parsed.value().exit_code) return *parsed.value().exit_code;
  Options options = std::move(parsed.value().options);
  if (options.remount) return 0;
  try {
    set_up_log(options, false);
  } catch (const spdlog::spdlog_ex& error) {
    std::cerr << "blkio: log: " << error.what() << '\n';
    return 1;
  }
  Result<std::vector<data_plane::BackingDevice>> devices = open_devices(options);
  Result<void> checked = devices ? check(options) : Result<void>(failure(0));
  if (!devices || !checked) {
    complain(devices ? checked.error() : devices.error());
    return 1;
  }
  if (options.foreground) return run_in_foreground(options, std::move(devices.value()));
  set_up_log(options, true);
  return run_in_background(options, std::move(devices.value()));
}

}  // namespace
}  // namespace blkio::daemon

int main(int argc, char** argv) {
  return blkio::daemon::run(argc, argv);
}
