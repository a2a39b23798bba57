// SPDX-License-Identifier: MIT
#include "worker.hpp"

#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "cgroupfs/file_table.hpp"
#include "cgroupfs/fuse_session.hpp"
#include "cgroupfs/group_tree.hpp"
#include "control_plane/cgroup_mirror.hpp"
#include "control_plane/control_path.hpp"
#include "control_plane/control_socket.hpp"
#include "control_plane/engine_controller.hpp"
#include "control_plane/group_release.hpp"
#include "control_plane/privilege.hpp"
#include "control_plane/process_watch.hpp"
#include "control_plane/task_directory.hpp"
#include "data_plane/engine.hpp"

namespace blkio::daemon {
namespace {

namespace asio = boost::asio;
using control_plane::EngineController;
using control_plane::TaskDirectory;
using nlohmann::json;

/// Task events are taken off their socket at least this often, so that it never overruns.
constexpr auto kDrainEvery = std::chrono::milliseconds(20);

std::string to_text(DeviceNumber number) {
  return fmt::format("{}:{}", number.major, number.minor);
}

std::vector<EngineController::Device> controlled_devices(const Inheritance& from) {
  std::vector<EngineController::Device> devices;
  for (const data_plane::BackingDevice& device : from.devices) {
    const auto it = from.options.weights.find(device.number);
    devices.push_back({device.number, it == from.options.weights.end() || it->second});
  }
  return devices;
}

cgroupfs::Creator creator(mode_t mode) {
  return {mode, getuid(), getgid(), cgroupfs::FuseSession::system_wall_clock()};
}

/// The whole worker: builds the two planes, joins them, runs the control thread.
class Worker {
 public:
  explicit Worker(const Inheritance& inheritance);

  Result<void> start();
  int run();

 private:
  data_plane::EngineOptions engine_options();
  std::vector<data_plane::EngineDevice> engine_devices();
  cgroupfs::FileServices services();
  Result<void> open_tasks();
  Result<void> open_tree();
  void adopt_groups();
  Result<void> open_control();
  void serve_tree();
  void drain_task_events();
  void watch_signals();
  void begin_stop();
  void update_default_groups();
  json answer(const json& request);
  json status();
  json devices();

  const Inheritance& from_;
  asio::io_context io_;
  asio::signal_set signals_{io_, SIGTERM, SIGINT};
  asio::posix::stream_descriptor tree_fd_{io_};
  asio::posix::stream_descriptor task_fd_{io_};
  asio::steady_timer drain_timer_{io_};

  std::optional<control_plane::KernelProcFiles> proc_;
  std::unique_ptr<TaskDirectory> tasks_;
  control_plane::CgroupMirror* mirror_ = nullptr;  ///< the directory's; nullptr: none
  stats::GroupStats root_stats_;
  EngineController controller_;
  std::unique_ptr<data_plane::Engine> engine_;
  std::unique_ptr<cgroupfs::GroupTree> tree_;
  std::unique_ptr<control_plane::GroupRelease> release_;
  std::unique_ptr<cgroupfs::FuseSession> session_;
  std::unique_ptr<control_plane::ControlSocket> control_;
  std::map<DeviceNumber, std::optional<GroupId>> default_groups_;
  bool stopping_ = false;
};

Worker::Worker(const Inheritance& inheritance)
    : from_(inheritance),
      controller_(root_stats_, controlled_devices(inheritance), inheritance.options.dialect) {}

data_plane::EngineOptions Worker::engine_options() {
  data_plane::EngineOptions options;
  options.shard.hierarchy = from_.options.hierarchy;
  options.shard.count_from_start = from_.options.dialect == Dialect::kDoc;
  options.shard.max_held_bytes = from_.options.max_held_bytes;
  options.issuers = tasks_.get();
  options.process_gone = [this](pid_t tgid) { return control_plane::process_gone(*proc_, tgid); };
  options.thread_killed = [this](pid_t tid) { return control_plane::thread_killed(*proc_, tid); };
  options.root_stats = &root_stats_;
  options.on_drained = [this] { asio::post(io_, [this] { io_.stop(); }); };
  return options;
}

std::vector<data_plane::EngineDevice> Worker::engine_devices() {
  std::vector<data_plane::EngineDevice> devices;
  for (std::size_t i = 0; i < from_.devices.size(); ++i) {
    devices.push_back(
        {from_.devices[i], from_.device_mounts[i].fuse_fd, &from_.shared->devices[i]});
  }
  return devices;
}

cgroupfs::FileServices Worker::services() {
  return {*tree_,
          controller_,
          *tasks_,
          from_.options.dialect,
          from_.options.hierarchy,
          [](const Writer& writer) {
            return control_plane::may_name_release_agent(writer.tid, writer.uid);
          }};
}

Result<void> Worker::open_tasks() {
  std::unique_ptr<control_plane::CgroupMirror> mirror;
  if (from_.mirror) {
    BLKIO_TRY(mirror, control_plane::CgroupMirror::open(*from_.mirror));
    mirror_ = mirror.get();
  }
  // For tests of what is left where the kernel grants no news of forks and exits.
  const bool no_events = std::getenv("BLKIO_NO_TASK_EVENTS") != nullptr;
  BLKIO_TRY(tasks_, no_events
                        ? TaskDirectory::open(TaskDirectory::Source::kProcWalk, std::move(mirror))
                        : TaskDirectory::open(std::move(mirror)));
  return success();
}

/// Groups that a killed daemon left in the mirror come back, with their tasks and nothing else.
void Worker::adopt_groups() {
  if (mirror_ == nullptr) return;
  std::vector<GroupId> parents{GroupId::kRoot};
  while (!parents.empty()) {
    const GroupId parent = parents.back();
    parents.pop_back();
    for (const std::string& name : mirror_->left_behind(parent)) {
      if (tree_->child(*tree_->find(parent), name) == nullptr) {
        const auto made = tree_->mkdir(parent, name, creator(0755));
        if (!made) {
          spdlog::warn("mirror: {} is not taken over: {}", name, made.error().to_string());
          continue;
        }
      }
      const GroupId group = tree_->child(*tree_->find(parent), name)->id;
      tasks_->adopt(group);
      parents.push_back(group);
    }
  }
}

Result<void> Worker::open_tree() {
  const Dialect dialect = from_.options.dialect;
  tree_ = std::make_unique<cgroupfs::GroupTree>(
      controller_, *tasks_,
      [dialect](std::string_view name, bool in_root) {
        return cgroupfs::find_file(name, dialect, in_root) != nullptr;
      },
      creator(0555));
  adopt_groups();
  release_ = std::make_unique<control_plane::GroupRelease>(io_, *tree_, *tasks_);
  BLKIO_TRY(release_->start());
  BLKIO_TRY(session_, cgroupfs::FuseSession::open(dup(from_.tree.fuse_fd), services()));
  tree_fd_.assign(dup(session_->fd()));
  return success();
}

Result<void> Worker::open_control() {
  std::string path = from_.options.control;
  if (path.empty()) {
    Result<std::string> usual = control_plane::control_path(from_.tree.path);
    if (!usual) {
      spdlog::info("no control socket: {}", usual.error().to_string());
      return success();
    }
    path = std::move(usual.value());
  }
  BLKIO_TRY(control_, control_plane::ControlSocket::open(
                          io_, path, [this](const json& request) { return answer(request); }));
  return success();
}

Result<void> Worker::start() {
  BLKIO_TRY(auto proc, control_plane::KernelProcFiles::open());
  proc_.emplace(std::move(proc));
  BLKIO_TRY(open_tasks());
  engine_ = std::make_unique<data_plane::Engine>(engine_devices(), engine_options());
  BLKIO_TRY(engine_->start());
  controller_.attach(*engine_);
  BLKIO_TRY(open_tree());
  BLKIO_TRY(open_control());
  serve_tree();
  if (tasks_->fd() >= 0) {
    task_fd_.assign(dup(tasks_->fd()));
    drain_task_events();
  }
  watch_signals();
  return success();
}

void Worker::serve_tree() {
  tree_fd_.async_wait(asio::posix::stream_descriptor::wait_read,
                      [this](const boost::system::error_code& error) {
                        if (error) return;
                        const bool goes_on = session_->process_pending();
                        if (!from_.options.default_groups.empty()) update_default_groups();
                        if (goes_on) return serve_tree();
                        spdlog::info("{} was unmounted", from_.tree.path);
                        begin_stop();
                      });
}

void Worker::drain_task_events() {
  task_fd_.async_wait(asio::posix::stream_descriptor::wait_read,
                      [this](const boost::system::error_code& error) {
                        if (error) return;
                        tasks_->drain();
                        drain_timer_.expires_after(kDrainEvery);
                        drain_timer_.async_wait([this](const boost::system::error_code& stopped) {
                          if (!stopped) drain_task_events();
                        });
                      });
}

void Worker::watch_signals() {
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (!error) begin_stop();
  });
}

void Worker::begin_stop() {
  if (std::exchange(stopping_, true)) return;
  tree_fd_.cancel();
  engine_->stop();  // on_drained() ends run()
}

/// The groups of `group=` may come, go and be renamed at any time.
void Worker::update_default_groups() {
  for (const auto& [number, path] : from_.options.default_groups) {
    const cgroupfs::Group* group = tree_->resolve(path);
    const auto id = group == nullptr ? std::nullopt : std::optional(group->id);
    if (std::exchange(default_groups_[number], id) == id) continue;
    engine_->call([&, device = number] {
      if (data_plane::DeviceShard* shard = engine_->shard(device)) shard->set_default_group(id);
    });
  }
}

json Worker::status() {
  return {{"ok", true},
          {"version", BLKIO_VERSION},
          {"mountpoint", from_.tree.path},
          {"holder_pid", from_.holder_pid},
          {"worker_pid", getpid()},
          {"membership", tasks_->source()},
          {"task_events", tasks_->events()},
          {"transport", "classic"},
          {"hierarchy", from_.options.hierarchy == Hierarchy::kTree ? "tree" : "flat"},
          {"dialect", from_.options.dialect == Dialect::kDoc ? "doc" : "kernel"},
          {"groups", tree_->size()}};
}

json Worker::devices() {
  json rows = json::array();
  engine_->call([&] {
    for (const auto& shard : engine_->shards()) {
      const data_plane::BackingDevice& device = shard->device();
      rows.push_back({{"device", to_text(device.number)},
                      {"name", device.name},
                      {"path", device.path},
                      {"bytes", device.bytes},
                      {"logical_block", device.logical_block},
                      {"direct", device.direct},
                      {"read_only", device.read_only},
                      {"scheduler", controller_.has_weights(device.number) ? "bfq" : "none"},
                      {"connected", shard->connected()},
                      {"held", shard->held()},
                      {"held_bytes", shard->held_bytes()},
                      {"in_flight", shard->in_flight()}});
    }
  });
  return {{"ok", true}, {"devdir", from_.device_directory}, {"devices", std::move(rows)}};
}

json Worker::answer(const json& request) {
  const std::string command = request.value("command", "");
  if (command == "status") return status();
  if (command == "devices") return devices();
  return {{"ok", false}, {"error", fmt::format("unknown command: {}", command)}};
}

int Worker::run() {
  io_.run();
  engine_->join();
  return 0;
}

/// A process that serves block I/O must not wait for memory that only its own I/O can free.
void protect_from_reclaim() {
#ifdef PR_SET_IO_FLUSHER
  if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) spdlog::debug("PR_SET_IO_FLUSHER: not permitted");
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Under a limit, MCL_FUTURE would make later allocations fail.
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const bool unlimited = limit.rlim_cur == RLIM_INFINITY || control_plane::is_machine_root();
  if (!unlimited || mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    spdlog::debug("memory is not locked");
  }
#endif
}

}  // namespace

Result<int> run_worker(const Inheritance& inheritance, const std::function<void()>& ready) {
  prctl(PR_SET_NAME, "blkio-worker");
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  Worker worker(inheritance);
  BLKIO_TRY(worker.start());
  protect_from_reclaim();
  ready();
  return worker.run();
}

}  // namespace blkio::daemon
