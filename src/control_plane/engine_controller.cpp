// SPDX-License-Identifier: MIT
#include "engine_controller.hpp"

namespace blkio::control_plane {

EngineController::EngineController(stats::GroupStats& root_stats, std::vector<Device> devices,
                                   Dialect dialect)
    : root_stats_(root_stats), dialect_(dialect) {
  for (const Device& device : devices) devices_[device.number] = device.has_weights;
}

bool EngineController::has_device(DeviceNumber device) const {
  return devices_.contains(device);
}

bool EngineController::has_weights(DeviceNumber device) const {
  const auto it = devices_.find(device);
  return it != devices_.end() && it->second;
}

template <class F>
void EngineController::on_shard(DeviceNumber device, F&& f) {
  engine_->call([&] {
    if (data_plane::DeviceShard* shard = engine_->shard(device)) f(*shard);
  });
}

void EngineController::group_added(GroupId group, GroupId parent) {
  stats::GroupStats& stats = *(stats_[group] = std::make_unique<stats::GroupStats>());
  engine_->call([&] { engine_->groups().group_added(group, parent, stats); });
}

void EngineController::group_removed(GroupId group, GroupId parent) {
  engine_->call([&] {
    for (const auto& shard : engine_->shards())
      shard->queue().group_removed(group, parent, engine_->now());
    engine_->groups().group_removed(group);
  });
  stats_.erase(group);
}

void EngineController::meet_device(GroupId group, DeviceNumber device) {
  on_shard(device, [&](data_plane::DeviceShard& shard) { shard.queue().meet(group); });
}

void EngineController::start_throttle_counters(DeviceNumber device) {
  if (dialect_ == Dialect::kDoc || !counting_.insert(device).second) return;
  on_shard(device, [](data_plane::DeviceShard& shard) { shard.queue().start_throttle_counters(); });
}

void EngineController::set_limit(GroupId group, DeviceNumber device, Limit limit,
                                 std::optional<std::uint64_t> per_second) {
  on_shard(device, [&](data_plane::DeviceShard& shard) {
    shard.queue().set_limit(group, limit, per_second, engine_->now());
  });
}

const stats::GroupStats* EngineController::stats_of(GroupId group) const {
  if (group == GroupId::kRoot) return &root_stats_;
  const auto it = stats_.find(group);
  return it == stats_.end() ? nullptr : it->second.get();
}

std::vector<DeviceNumber> EngineController::devices_met(GroupId group) const {
  const stats::GroupStats* stats = stats_of(group);
  return stats == nullptr ? std::vector<DeviceNumber>{} : stats->devices();
}

const stats::DeviceStats* EngineController::row_of(GroupId group, DeviceNumber device) const {
  const stats::GroupStats* stats = stats_of(group);
  return stats == nullptr ? nullptr : stats->find(device);
}

OpCounts EngineController::counts(GroupId group, DeviceNumber device, Counter counter) const {
  const stats::DeviceStats* row = row_of(group, device);
  return row == nullptr ? OpCounts{} : row->counters.own(counter);
}

OpCounts EngineController::inherited_counts(GroupId group, DeviceNumber device,
                                            Counter counter) const {
  if (dialect_ == Dialect::kKernel) return {};
  const stats::DeviceStats* row = row_of(group, device);
  return row == nullptr ? OpCounts{} : row->counters.inherited(counter);
}

std::uint64_t EngineController::scalar(GroupId group, DeviceNumber device, Scalar scalar) const {
  if (dialect_ == Dialect::kKernel && scalar == Scalar::kTimeLeftNs) return 0;
  const stats::DeviceStats* row = row_of(group, device);
  return row == nullptr ? 0 : row->scheduling.scalar(scalar);
}

bool EngineController::throttle_counters_started(DeviceNumber device) const {
  return dialect_ == Dialect::kDoc || counting_.contains(device);
}

void EngineController::reset_stats(GroupId group) {
  if (group == GroupId::kRoot) {
    root_stats_.reset();
  } else if (const auto it = stats_.find(group); it != stats_.end()) {
    it->second->reset();
  }
}

}  // namespace blkio::control_plane
