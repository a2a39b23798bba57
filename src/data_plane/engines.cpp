// SPDX-License-Identifier: MIT
#include "engines.hpp"

#include <algorithm>
#include <cassert>

namespace blkio::data_plane {

Engines::Engines(const std::vector<EngineDevice>& devices, EngineOptions options, unsigned count)
    : not_drained_(count) {
  assert(count > 0);
  options.on_drained = [this, all_drained = std::move(options.on_drained)] {
    if (--not_drained_ == 0 && all_drained) all_drained();
  };
  std::vector<std::vector<EngineDevice>> hands(count);
  for (std::size_t i = 0; i < devices.size(); ++i) hands[i % count].push_back(devices[i]);
  for (std::vector<EngineDevice>& hand : hands) {
    engines_.push_back(std::make_unique<Engine>(hand, options));
    for (const EngineDevice& each : hand) homes_[each.device.number] = engines_.back().get();
  }
}

Result<void> Engines::start() {
  for (const auto& engine : engines_) {
    Result<void> started = engine->start();
    if (started) continue;
    for (const auto& earlier : engines_) {
      if (earlier == engine) break;
      earlier->join();
    }
    return started;
  }
  return success();
}

void Engines::stop() {
  for (const auto& engine : engines_) engine->stop();
}

void Engines::join() {
  for (const auto& engine : engines_) engine->join();
}

Result<void> Engines::add_device(const EngineDevice& device) {
  const auto fewer = [](const auto& a, const auto& b) {
    return a->shards().size() < b->shards().size();
  };
  Engine& engine = **std::min_element(engines_.begin(), engines_.end(), fewer);
  Result<void> served = success();
  call(engine, [&] { served = engine.add_device(device); });
  if (served) homes_[device.device.number] = &engine;
  return served;
}

void Engines::remove_device(DeviceNumber number) {
  const auto home = homes_.find(number);
  assert(home != homes_.end());
  call(*home->second, [&] { home->second->remove_device(number); });
  homes_.erase(home);
}

}  // namespace blkio::data_plane
