// SPDX-License-Identifier: MIT
#include "engine.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <ctime>
#include <future>

namespace blkio::data_plane {
namespace {

constexpr unsigned kRingEntries = 1024;
/// A look at a device is a system call; with more devices the ring tells of messages at once.
constexpr std::size_t kMostLookedAt = 4;
/// What is pinned besides held payloads: landing buffers and data at the devices.
constexpr std::size_t kWorkingBytes = 256u << 20;

/// As sched_setattr(2) takes it; the C library's own headers do not have it everywhere.
struct SchedulingAttributes {
  std::uint32_t size = sizeof(SchedulingAttributes);
  std::uint32_t policy = SCHED_OTHER;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t slice_ns = 0;  ///< "runtime": who asks for short ones is served sooner (Linux 6.12)
  std::uint64_t deadline_ns = 0;
  std::uint64_t period_ns = 0;
};

/// What direct I/O on any of the devices asks of a buffer's address: on some (dm-crypt with blocks
/// of 4096 bytes) it must be aligned like an offset.
std::uint32_t buffer_alignment(const std::vector<EngineDevice>& devices) {
  std::uint32_t alignment = BufferArena::kLead;
  for (const EngineDevice& each : devices) alignment = std::max(alignment, each.device.alignment);
  return alignment;
}

std::size_t arena_limit(const EngineOptions& options, std::size_t devices) {
  return options.shard.max_held_bytes * std::max<std::size_t>(devices, 1) + kWorkingBytes;
}

}  // namespace

TimeNs monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

void go_first() {
  const auto tid = static_cast<id_t>(gettid());
  setpriority(PRIO_PROCESS, tid, -10);
  if (sched_getscheduler(0) != SCHED_OTHER) return;  // somebody has chosen for us
  SchedulingAttributes wanted;
  wanted.nice = getpriority(PRIO_PROCESS, tid);
  wanted.slice_ns = 100'000;
  syscall(SYS_sched_setattr, 0, &wanted, 0);
}

Engine::Engine(std::vector<EngineDevice> devices, EngineOptions options)
    : devices_(std::move(devices)),
      options_(std::move(options)),
      arena_(ring_, arena_limit(options_, devices_.size()), buffer_alignment(devices_)),
      groups_(*options_.root_stats),
      spinner_(options_.spin_ns) {}

Engine::~Engine() {
  if (thread_.joinable()) join();
  if (event_fd_ >= 0) close(event_fd_);
}

Result<void> Engine::open() {
  BLKIO_TRY(ring_.open(kRingEntries, options_.shard.transport == TransportKind::kUring));
  for (const EngineDevice& device : devices_) BLKIO_TRY(add_device(device));
  wakeup_.engine = this;
  wakeup_.handler = [](Completion& self, std::int32_t) {
    Engine& engine = *static_cast<Wakeup&>(self).engine;
    engine.mailbox_.run();
    if (!engine.ended_) engine.listen();
  };
  listen();
  return success();
}

Result<void> Engine::add_device(const EngineDevice& device) {
  if (device.device.alignment > arena_.alignment()) {
    return failure(0, fmt::format("{}: its blocks of {} bytes need other buffers than the devices "
                                  "known at the start; give it with device= then",
                                  device.device.path, device.device.alignment));
  }
  BLKIO_TRY(const FileIndex fuse, ring_.register_file(device.fuse_fd));
  FileIndex file{};
  if (device.device.kind != BackingKind::kNull) {
    Result<FileIndex> registered = ring_.register_file(device.device.fd);
    if (!registered) {
      ring_.unregister_file(fuse);
      return registered.error();
    }
    file = registered.value();
  }
  EngineParts parts{ring_,
                    arena_,
                    requests_,
                    groups_,
                    *options_.issuers,
                    options_.process_gone,
                    options_.thread_killed,
                    placement_,
                    now_,
                    options_.holders_changed};
  shards_.push_back(std::make_unique<DeviceShard>(std::move(parts), device.device, fuse, file,
                                                  options_.shard, device.weighted,
                                                  *device.negotiated));
  arena_.set_limit(arena_limit(options_, shards_.size()));
  return success();
}

void Engine::remove_device(DeviceNumber number) {
  const auto found = std::find_if(shards_.begin(), shards_.end(), [&](const auto& shard) {
    return shard->device().number == number;
  });
  assert(found != shards_.end() && (*found)->quiet());
  ring_.unregister_file((*found)->fuse());
  if ((*found)->device().kind != BackingKind::kNull) ring_.unregister_file((*found)->file());
  shards_.erase(found);
  arena_.set_limit(arena_limit(options_, shards_.size()));
}

Result<void> Engine::start() {
  event_fd_ = eventfd(0, EFD_CLOEXEC);
  if (event_fd_ < 0) return failure(errno, "eventfd");
  std::promise<Result<void>> opened;
  thread_ = std::thread([&] {
    pthread_setname_np(pthread_self(), "blkio-engine");
    prctl(PR_SET_TIMERSLACK, 1);  // deadlines are kept to the microsecond
#ifdef PR_SET_IO_FLUSHER
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);  // of the thread; see protect_from_reclaim()
#endif
    go_first();
    Result<void> result = open();
    const bool ok = result.has_value();
    opened.set_value(std::move(result));
    if (ok) run();
    shards_.clear();
    ring_.close();
  });
  Result<void> result = opened.get_future().get();
  if (!result) thread_.join();
  return result;
}

void Engine::listen() {
  ring_.read_plain(wakeup_, event_fd_, &wakeup_.count, sizeof wakeup_.count);
}

void Engine::post(Task& task) {
  mailbox_.put(task);
  const std::uint64_t one = 1;
  if (write(event_fd_, &one, sizeof one) != sizeof one) {
    spdlog::critical("waking the engine: {}", std::generic_category().message(errno));
    std::abort();
  }
}

void Engine::run() {
  now_ = monotonic_now();
  while (!ended_) {
    for (const auto& shard : shards_) shard->turn(now_);
    place();
    wait(deadline());
    now_ = monotonic_now();  // before the handlers: what they hear of has happened by now
    ring_.reap();
    const TimeNs asked = alarm_.take_rung();
    if (asked != kNever && is_punctual_) early_wake_.woken(asked, now_);
    if (stopping_) check_drained();
  }
}

void Engine::place() {
  const pid_t client = placement_.due(now_);
  if (client == 0 || !options_.cpu_of) return;
  const std::optional<unsigned> cpu = options_.cpu_of(client);
  const int own = sched_getcpu();
  if (!cpu || own < 0) return;
  if (!placement_.looked(now_, static_cast<unsigned>(own), *cpu)) return;
  if (!affinity_.avoid(placement_.avoided())) placement_.refused(now_);
}

void Engine::wait(TimeNs until) {
  const bool busy = is_busy();
  const TimeNs budget = spinner_.budget(busy);
  if (shards_.size() > kMostLookedAt) expect();
  if (budget != 0 && spin(std::min(until, monotonic_now() + budget))) return;
  expect();
  is_punctual_ = !busy && options_.spin_ns != 0;
  if (until != kNever) {
    const TimeNs now = monotonic_now();
    if (is_punctual_ && early_wake_.is_close(until, now)) return await(until, now);
    if (until <= now) {
      ring_.poll();
      return;
    }
    alarm_.set(is_punctual_ ? early_wake_.before(until, now) : until);
  }
  ring_.wait(kNever);
}

void Engine::await(TimeNs until, TimeNs since) {
  ring_.poll();
  look_until(until);
  early_wake_.spent(monotonic_now() - since);
}

bool Engine::spin(TimeNs until) {
  const bool woken = ring_.poll();
  if (look() || woken) return true;
  const bool found = look_until(until);
  found ? spinner_.found() : spinner_.in_vain();
  return found;
}

/// At least once; true if there was something.
bool Engine::look_until(TimeNs until) {
  do {
    if (look()) return true;
  } while (monotonic_now() < until);
  return false;
}

/// At all of them: whoever has much to say does not hide the others.
bool Engine::look() {
  bool found = false;
  for (const auto& shard : shards_) found |= shard->look();
  return found || (ring_.has_news() && ring_.poll());
}

void Engine::expect() {
  for (const auto& shard : shards_) shard->expect();
}

/// More is at the devices than the one request of one client.
bool Engine::is_busy() const {
  std::size_t in_flight = 0;
  for (const auto& shard : shards_) in_flight += shard->in_flight();
  return in_flight > 1;
}

TimeNs Engine::deadline() {
  TimeNs next = kNever;
  for (const auto& shard : shards_) next = std::min(next, shard->deadline());
  return next;
}

DeviceShard* Engine::shard(DeviceNumber number) {
  for (const auto& shard : shards_) {
    if (shard->device().number == number) return shard.get();
  }
  return nullptr;
}

void Engine::stop() {
  call([&] {
    stopping_ = true;
    for (const auto& shard : shards_) shard->stop();
  });
}

void Engine::check_drained() {
  if (drained_) return;
  drained_ = std::all_of(shards_.begin(), shards_.end(),
                         [](const auto& shard) { return shard->drained(); });
  if (!drained_) return;
  ring_.submit();  // replies that go out with the next submission
  if (options_.on_drained) options_.on_drained();
}

void Engine::join() {
  call([&] { ended_ = true; });
  thread_.join();
}

}  // namespace blkio::data_plane
