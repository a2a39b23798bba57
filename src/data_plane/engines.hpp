// SPDX-License-Identifier: MIT
/// All engines of a daemon, and which of them serves which device.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <vector>

#include "engine.hpp"

namespace blkio::data_plane {

/// A device belongs to one engine, from the moment it comes until it goes, and engines share
/// nothing that changes per request. For one thread, the control thread.
class Engines {
 public:
  /// `count` threads, the devices dealt out to them in turn. options.on_drained is called, on one
  /// of their threads, when the last of them has nothing left to do.
  Engines(const std::vector<EngineDevice>& devices, EngineOptions options, unsigned count = 1);

  /// Returns when all serve their devices, or with the reason why one cannot.
  Result<void> start();
  /// No new requests, held ones fail; on_drained() follows.
  void stop();
  /// Ends the threads, drained or not.
  void join();

  /// By the engine that has the fewest; or why it cannot be served.
  Result<void> add_device(const EngineDevice& device);
  /// Of a shard that is quiet().
  void remove_device(DeviceNumber number);

  /// Runs f(shard, now) on the thread of the device's engine and returns when it has run; does
  /// nothing if no engine serves the device.
  template <class F>
  void on_shard(DeviceNumber device, F&& f) {
    const auto home = homes_.find(device);
    if (home == homes_.end()) return;
    Engine& engine = *home->second;
    call(engine, [&] {
      if (DeviceShard* shard = engine.shard(device)) f(*shard, engine.now());
    });
  }

  /// The same with the engine: f(engine).
  template <class F>
  void on_engine(DeviceNumber device, F&& f) {
    const auto home = homes_.find(device);
    if (home == homes_.end()) return;
    call(*home->second, [&] { f(*home->second); });
  }
  /// True if one engine serves both.
  bool are_together(DeviceNumber device, DeviceNumber other) const {
    const auto home = homes_.find(device);
    const auto others = homes_.find(other);
    return home != homes_.end() && others != homes_.end() && home->second == others->second;
  }

  /// Runs f(engine) on the thread of each, one after the other.
  template <class F>
  void on_each(F&& f) {
    for (const auto& engine : engines_) {
      call(*engine, [&] { f(*engine); });
    }
  }

  /// Runs f() while all engines stand still: what it asks of them costs no further waiting.
  template <class F>
  void together(F&& f) {
    const bool outermost = !std::exchange(standing_still_, true);
    outermost ? stop_from(0, f) : f();
    if (outermost) standing_still_ = false;
  }

 private:
  template <class F>
  void call(Engine& engine, F&& f) {
    if (standing_still_) return f();
    engine.call(f);
  }
  template <class F>
  void stop_from(std::size_t first, F&& f) {
    if (first == engines_.size()) return f();
    engines_[first]->call([&] { stop_from(first + 1, f); });
  }

  std::vector<std::unique_ptr<Engine>> engines_;
  std::map<DeviceNumber, Engine*> homes_;
  std::atomic<std::size_t> not_drained_ = 0;
  bool standing_still_ = false;
};

}  // namespace blkio::data_plane
