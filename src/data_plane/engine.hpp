// SPDX-License-Identifier: MIT
/// An engine: one thread, one io_uring, some devices.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "affinity.hpp"
#include "alarm.hpp"
#include "device_shard.hpp"
#include "early_wake.hpp"
#include "mailbox.hpp"
#include "placement.hpp"
#include "spinner.hpp"

namespace blkio::data_plane {

/// A proxied device and the connection its clients come through; both descriptors are borrowed.
struct EngineDevice {
  BackingDevice device;
  int fuse_fd = -1;
  Negotiated* negotiated = nullptr;  ///< in memory that outlives the engine
  bool weighted = true;              ///< else every group in turn
};

struct EngineOptions {
  ShardOptions shard;
  TimeNs spin_ns = 20'000;  ///< the longest the engine looks for what comes before it sleeps
  IssuerDirectory* issuers = nullptr;
  std::function<bool(pid_t)> process_gone;
  std::function<bool(pid_t)> thread_killed;
  /// The CPU a thread runs on or ran on last, if that can be told; must not block. See Placement.
  std::function<std::optional<unsigned>(pid_t)> cpu_of{};
  stats::GroupStats* root_stats = nullptr;
  /// Called on the engine's thread when a stopped engine has nothing left to do.
  std::function<void()> on_drained;
  /// See EngineParts.
  std::function<void(DeviceNumber, const std::vector<GroupId>&)> holders_changed{};
};

/// start(), call() and join() are for one other thread, the control thread.
class Engine {
 public:
  Engine(std::vector<EngineDevice> devices, EngineOptions options);
  ~Engine();

  /// Returns when the engine serves its devices, or with the reason why it cannot.
  Result<void> start();

  /// Runs `function` on the engine's thread between two turns and returns when it has run. Must not
  /// be called before start() or after join().
  template <class Function>
  void call(Function&& function) {
    struct Call final : Task {
      explicit Call(Function& f) : function(f) {}
      void run() override { function(); }
      Function& function;
    } task(function);
    post(task);
    mailbox_.wait();
  }

  /// From now on the device is served too; or why it cannot be. For use inside call().
  Result<void> add_device(const EngineDevice& device);
  /// Of a shard that is quiet(). For use inside call().
  void remove_device(DeviceNumber number);

  /// The shard of a device, for use inside call(); nullptr if it is not proxied.
  DeviceShard* shard(DeviceNumber number);
  const std::vector<std::unique_ptr<DeviceShard>>& shards() const { return shards_; }
  GroupMap& groups() { return groups_; }
  TimeNs now() const { return now_; }

  /// No new requests, held ones fail; on_drained() follows.
  void stop();
  /// Ends the thread, drained or not.
  void join();

 private:
  struct Wakeup : Completion {
    Engine* engine = nullptr;
    std::uint64_t count = 0;
  };
  Result<void> open();
  void run();
  void post(Task& task);
  void listen();
  TimeNs deadline();
  void place();
  void wait(TimeNs until);
  void await(TimeNs until, TimeNs since);
  bool spin(TimeNs until);
  bool look_until(TimeNs until);
  bool look();
  void expect();
  bool is_busy() const;
  void check_drained();

  std::vector<EngineDevice> devices_;
  EngineOptions options_;
  Ring ring_;
  BufferArena arena_;
  RequestPool requests_;
  GroupMap groups_;
  std::vector<std::unique_ptr<DeviceShard>> shards_;
  Mailbox mailbox_;
  Wakeup wakeup_;
  int event_fd_ = -1;
  TimeNs now_ = 0;
  Spinner spinner_;
  Alarm alarm_{ring_};
  EarlyWake early_wake_;
  bool is_punctual_ = false;  ///< nothing else is to be done: deadlines are waited for awake
  Placement placement_;
  Affinity affinity_;
  bool stopping_ = false;
  bool drained_ = false;
  bool ended_ = false;
  std::thread thread_;
};

/// CLOCK_MONOTONIC.
TimeNs monotonic_now();

/// Many wait for the calling thread: on a busy machine it goes before theirs, by priority where we
/// may say so, by short time slices where the kernel knows them. What it starts later does too.
void go_first();

}  // namespace blkio::data_plane
