// SPDX-License-Identifier: MIT
#include "worker.hpp"

#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <utility>

#include "cgroupfs/device_text.hpp"
#include "cgroupfs/file_table.hpp"
#include "cgroupfs/fuse_session.hpp"
#include "cgroupfs/group_tree.hpp"
#include "cgroupfs/rules.hpp"
#include "control_plane/cgroup_mirror.hpp"
#include "control_plane/control_path.hpp"
#include "control_plane/control_socket.hpp"
#include "control_plane/engine_controller.hpp"
#include "control_plane/group_release.hpp"
#include "control_plane/privilege.hpp"
#include "control_plane/process_watch.hpp"
#include "control_plane/rule_commands.hpp"
#include "control_plane/state_keeper.hpp"
#include "control_plane/task_directory.hpp"
#include "data_plane/engines.hpp"
#include "device_changes.hpp"
#include "holder_link.hpp"

namespace blkio::daemon {
namespace {

namespace asio = boost::asio;
using control_plane::ControlReply;
using control_plane::EngineController;
using control_plane::refusal;
using control_plane::TaskDirectory;
using data_plane::TransportKind;
using nlohmann::json;

/// auto: the fastest that survives kill -9 (docs/decisions/0006-transport.md).
TransportKind transport_kind(const Options& options) {
  return options.transport == Transport::kUring ? TransportKind::kUring : TransportKind::kClassic;
}

std::string_view words_of(TransportKind kind) {
  return kind == TransportKind::kUring ? "uring" : "classic";
}

/// Task events are taken off their socket at least this often, so that it never overruns.
constexpr auto kDrainEvery = std::chrono::milliseconds(20);
/// Who waits for news is not woken more often (the kernel: CGROUP_FILE_NOTIFY_MIN_INTV).
constexpr auto kNewsPause = std::chrono::milliseconds(10);

std::vector<EngineController::Device> controlled_devices(const Inheritance& from) {
  std::vector<EngineController::Device> devices;
  for (const ProxiedDevice& device : from.devices) {
    const DeviceNumber number = device.backing.number;
    devices.push_back({number, has_weights(from.options, number)});
  }
  return devices;
}

cgroupfs::Creator creator(mode_t mode) {
  return {mode, getuid(), getgid(), cgroupfs::FuseSession::system_wall_clock()};
}

/// The whole worker: builds the two planes, joins them, runs the control thread.
class Worker {
 public:
  explicit Worker(Inheritance& inheritance);

  Result<void> start();
  int run();

 private:
  data_plane::EngineOptions engine_options();
  std::vector<data_plane::EngineDevice> engine_devices();
  cgroupfs::FileServices services();
  Result<void> open_tasks();
  Result<void> open_tree();
  Result<void> open_state();
  void adopt_groups();
  Result<void> open_control();
  void serve_tree();
  void tell_news();
  void drain_task_events();
  void watch_signals();
  void begin_stop();
  void update_default_groups();
  void answer(const json& request, const ControlReply& reply);
  json status();
  json devices();
  json set_scheduler(const json& request);

  Inheritance& from_;
  asio::io_context io_;
  HolderLink holder_{io_, from_.link};
  asio::signal_set signals_{io_, SIGTERM, SIGINT};
  asio::posix::stream_descriptor tree_fd_{io_};
  asio::posix::stream_descriptor task_fd_{io_};
  asio::steady_timer drain_timer_{io_};
  asio::steady_timer news_timer_{io_};
  std::chrono::steady_clock::time_point next_news_{};  ///< not before

  std::optional<control_plane::KernelProcFiles> proc_;
  std::unique_ptr<TaskDirectory> tasks_;
  control_plane::CgroupMirror* mirror_ = nullptr;  ///< the directory's; nullptr: none
  stats::GroupStats root_stats_;
  EngineController controller_;
  std::unique_ptr<data_plane::Engines> engines_;
  std::unique_ptr<cgroupfs::GroupTree> tree_;
  std::unique_ptr<control_plane::StateKeeper> state_;
  std::unique_ptr<control_plane::GroupRelease> release_;
  std::unique_ptr<cgroupfs::FuseSession> session_;
  std::atomic<const cgroupfs::FuseSession*> watched_ = nullptr;  ///< session_, for the engine
  std::atomic<bool> news_are_coming_ = false;
  std::optional<DeviceChanges> device_changes_;
  std::unique_ptr<control_plane::RuleCommands> rule_commands_;
  std::unique_ptr<control_plane::ControlSocket> control_;
  std::map<DeviceNumber, std::optional<GroupId>> default_groups_;
  bool stopping_ = false;
};

Worker::Worker(Inheritance& inheritance)
    : from_(inheritance),
      controller_(root_stats_, controlled_devices(inheritance), inheritance.options.dialect) {}

data_plane::EngineOptions Worker::engine_options() {
  data_plane::EngineOptions options;
  options.shard.hierarchy = from_.options.hierarchy;
  options.shard.count_from_start = from_.options.dialect == Dialect::kDoc;
  options.shard.depth = from_.options.depth;
  options.shard.max_held_bytes = from_.options.max_held_bytes;
  options.shard.transport = transport_kind(from_.options);
  options.spin_ns = from_.options.spin_us * TimeNs{1000};
  options.issuers = tasks_.get();
  options.process_gone = [this](pid_t tgid) { return control_plane::process_gone(*proc_, tgid); };
  options.thread_killed = [this](pid_t tid) { return control_plane::thread_killed(*proc_, tid); };
  options.cpu_of = [this](pid_t tid) { return control_plane::cpu_of(*proc_, tid); };
  options.root_stats = &root_stats_;
  options.holders_changed = [this](DeviceNumber, const std::vector<GroupId>&) { tell_news(); };
  options.on_drained = [this] { asio::post(io_, [this] { io_.stop(); }); };
  return options;
}

std::vector<data_plane::EngineDevice> Worker::engine_devices() {
  std::vector<data_plane::EngineDevice> devices;
  for (const ProxiedDevice& device : from_.devices) {
    devices.push_back(engine_device(from_, device));
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
          },
          state_.get()};
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

Result<void> Worker::open_state() {
  if (from_.options.state.empty()) return success();
  const control_plane::StateKeeper::Parts parts{io_, *tree_, controller_, *tasks_, *proc_};
  BLKIO_TRY(state_, control_plane::StateKeeper::open(parts, from_.options.state));
  state_->restore();
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
  BLKIO_TRY(open_state());
  adopt_groups();
  if (state_ != nullptr) BLKIO_TRY(state_->start());
  release_ = std::make_unique<control_plane::GroupRelease>(io_, *tree_, *tasks_);
  BLKIO_TRY(release_->start());
  BLKIO_TRY(session_, cgroupfs::FuseSession::open(dup(from_.tree.fuse_fd), services()));
  watched_ = session_.get();
  tree_fd_.assign(dup(session_->fd()));
  return success();
}

Result<void> Worker::open_control() {
  device_changes_.emplace(
      DeviceChanges::Parts{io_, holder_, from_, *engines_, controller_, *tree_, state_.get()});
  rule_commands_ = std::make_unique<control_plane::RuleCommands>(
      services(), [this](const std::string& text) { return from_.find_device(text); });
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
                          io_, path, [this](const json& request, const ControlReply& reply) {
                            answer(request, reply);
                          }));
  return success();
}

Result<void> Worker::start() {
  BLKIO_TRY(auto proc, control_plane::KernelProcFiles::open());
  proc_.emplace(std::move(proc));
  BLKIO_TRY(open_tasks());
  engines_ = std::make_unique<data_plane::Engines>(engine_devices(), engine_options(),
                                                   from_.options.engines);
  BLKIO_TRY(engines_->start());
  controller_.attach(*engines_);
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

/// On the engine's thread. Only where somebody waits in poll(2), and once for all that happens
/// until he is told.
void Worker::tell_news() {
  const cgroupfs::FuseSession* session = watched_;
  if (session == nullptr || !session->is_watched() || news_are_coming_.exchange(true)) return;
  asio::post(io_, [this] {
    news_timer_.expires_at(next_news_);
    news_timer_.async_wait([this](const boost::system::error_code& stopped) {
      if (stopped) return;
      next_news_ = std::chrono::steady_clock::now() + kNewsPause;
      news_are_coming_ = false;
      session_->tell_news();
    });
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
  engines_->stop();  // on_drained() ends run()
}

/// The groups of `group=` may come, go and be renamed at any time.
void Worker::update_default_groups() {
  for (const auto& [number, path] : from_.options.default_groups) {
    const cgroupfs::Group* group = tree_->resolve(path);
    const auto id = group == nullptr ? std::nullopt : std::optional(group->id);
    if (std::exchange(default_groups_[number], id) == id) continue;
    engines_->on_shard(
        number, [&](data_plane::DeviceShard& shard, TimeNs) { shard.set_default_group(id); });
  }
}

json Worker::status() {
  json state = nullptr;
  if (state_ != nullptr) state = {{"file", state_->path()}, {"trouble", state_->trouble()}};
  return {{"ok", true},
          {"version", BLKIO_VERSION},
          {"state", std::move(state)},
          {"mountpoint", from_.tree.path},
          {"holder_pid", from_.holder_pid},
          {"worker_pid", getpid()},
          {"membership", tasks_->source()},
          {"task_events", tasks_->events()},
          {"transport", words_of(transport_kind(from_.options))},
          {"engines", from_.options.engines},
          {"hierarchy", from_.options.hierarchy == Hierarchy::kTree ? "tree" : "flat"},
          {"dialect", from_.options.dialect == Dialect::kDoc ? "doc" : "kernel"},
          {"groups", tree_->size()}};
}

json Worker::devices() {
  json rows = json::array();
  engines_->on_each([&](data_plane::Engine& engine) {
    for (const auto& shard : engine.shards()) {
      const data_plane::BackingDevice& device = shard->device();
      rows.push_back({{"device", to_text(device.number)},
                      {"name", device.name},
                      {"path", device.path},
                      {"bytes", device.bytes},
                      {"logical_block", device.logical_block},
                      {"direct", device.direct},
                      {"read_only", device.read_only},
                      {"scheduler", controller_.has_weights(device.number) ? "bfq" : "none"},
                      {"transport", words_of(shard->transport())},
                      {"connected", shard->connected()},
                      {"held", shard->held()},
                      {"held_bytes", shard->held_bytes()},
                      {"in_flight", shard->in_flight()}});
    }
  });
  return {{"ok", true}, {"devdir", from_.device_directory}, {"devices", std::move(rows)}};
}

void Worker::answer(const json& request, const ControlReply& reply) {
  const std::string command = request.value("command", "");
  if (command == "status") return reply(status());
  if (command == "devices") return reply(devices());
  if (command == "scheduler") return reply(set_scheduler(request));
  if (control_plane::RuleCommands::takes(command)) return reply(rule_commands_->answer(request));
  if (command == "device add") return device_changes_->add(request.at("device"), reply);
  if (command == "device remove") return device_changes_->remove(request.at("device"), reply);
  reply(refusal(fmt::format("unknown command: {}", command)));
}

json Worker::set_scheduler(const json& request) {
  const std::string text = request.at("device");
  const std::string name = request.at("scheduler");
  const auto number = from_.find_device(text);
  if (!number) return refusal(fmt::format("{}: no such device is proxied", text));
  if (name != "bfq" && name != "none")
    return refusal(fmt::format("{}: should be bfq or none", name));
  controller_.set_scheduler(*number, name == "bfq");
  return {{"ok", true}};
}

int Worker::run() {
  io_.run();
  if (state_ != nullptr) state_->finish();
  engines_->join();
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

std::optional<DeviceNumber> Inheritance::find_device(const std::string& text) const {
  const auto number = parse_device_number(text);
  for (const ProxiedDevice& device : devices) {
    if (device.backing.number == number || device.backing.name == text) {
      return device.backing.number;
    }
  }
  return std::nullopt;
}

Result<int> run_worker(Inheritance& inheritance, const std::function<void()>& ready) {
  prctl(PR_SET_NAME, "blkio-worker");
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  Worker worker(inheritance);
  BLKIO_TRY(worker.start());
  protect_from_reclaim();
  data_plane::go_first();  // now, for the release agents are not to inherit it
  ready();
  return worker.run();
}

}  // namespace blkio::daemon
