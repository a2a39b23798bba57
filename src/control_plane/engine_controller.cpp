// SPDX-License-Identifier: MIT
#include "engine_controller.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <string>
#include <utility>

#include "cgroupfs/device_text.hpp"

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

void EngineController::device_added(const Device& device) {
  devices_[device.number] = device.has_weights;
}

void EngineController::device_removed(DeviceNumber device) {
  devices_.erase(device);
  counting_.erase(device);
  root_stats_.reset(device);
  for (auto& [group, stats] : stats_) stats->reset(device);
}

void EngineController::set_scheduler(DeviceNumber device, bool has_weights) {
  devices_[device] = has_weights;
  engines_->on_shard(device, [&](data_plane::DeviceShard& shard, TimeNs now) {
    shard.queue().set_weighted(has_weights, now);
  });
}

void EngineController::set_weights(GroupId group, const Weights& weights,
                                   const Weights& leaf_weights) {
  engines_->on_each([&](data_plane::Engine& engine) {
    engine.groups().set_weights(group, weights, leaf_weights);
    for (const auto& shard : engine.shards()) shard->queue().weights_changed(group, engine.now());
  });
}

std::vector<DeviceNumber> EngineController::devices() const {
  std::vector<DeviceNumber> numbers;
  for (const auto& [number, has_weights] : devices_) numbers.push_back(number);
  return numbers;
}

void EngineController::group_added(GroupId group, GroupId parent) {
  stats::GroupStats& stats = *(stats_[group] = std::make_unique<stats::GroupStats>());
  engines_->on_each(
      [&](data_plane::Engine& engine) { engine.groups().group_added(group, parent, stats); });
}

void EngineController::group_removed(GroupId group, GroupId parent) {
  engines_->on_each([&](data_plane::Engine& engine) {
    for (const auto& shard : engine.shards()) {
      shard->queue().group_removed(group, parent, engine.now());
    }
    engine.groups().group_removed(group);
  });
  stats_.erase(group);
}

void EngineController::meet_device(GroupId group, DeviceNumber device) {
  if (row_of(group, device) != nullptr) return;  // and so have its ancestors
  engines_->on_shard(device,
                     [&](data_plane::DeviceShard& shard, TimeNs) { shard.queue().meet(group); });
}

void EngineController::start_throttle_counters(DeviceNumber device) {
  if (dialect_ == Dialect::kDoc || !counting_.insert(device).second) return;
  engines_->on_shard(device, [](data_plane::DeviceShard& shard, TimeNs) {
    shard.queue().start_throttle_counters();
  });
}

void EngineController::set_rules(GroupId group, DeviceNumber device, const DeviceRules& rules,
                                 Levels levels) {
  DeviceRules limits = rules;
  limits.shared_with.reset();
  engines_->on_shard(device, [&](data_plane::DeviceShard& shard, TimeNs now) {
    shard.queue().set_rules(group, limits, levels, now);
  });
}

Result<void> EngineController::can_share(DeviceNumber device, DeviceNumber other) const {
  if (engines_->are_together(device, other)) return success();
  std::string why = fmt::format(
      "{} and {} cannot share limits, different threads serve them: give engines=1, or fewer than "
      "now",
      to_text(device), to_text(other));
  spdlog::warn("{}", why);
  return failure(EXDEV, std::move(why));
}

void EngineController::share(GroupId group, DeviceNumber device, DeviceNumber other) {
  if (!can_share(device, other)) return;
  engines_->on_engine(device, [&](data_plane::Engine& engine) {
    data_plane::DeviceShard* const shard = engine.shard(device);
    data_plane::DeviceShard* const others = engine.shard(other);
    if (shard == nullptr || others == nullptr) return;
    shard->queue().share(group, others->queue(), engine.now());
  });
}

void EngineController::unshare(GroupId group, DeviceNumber device) {
  engines_->on_shard(device, [&](data_plane::DeviceShard& shard, TimeNs now) {
    shard.queue().unshare(group, now);
  });
}

ThrottleReport EngineController::throttle_report(GroupId group, DeviceNumber device) const {
  ThrottleReport report;
  engines_->on_shard(device, [&](data_plane::DeviceShard& shard, TimeNs now) {
    report = shard.queue().throttle_report(group, now);
  });
  return report;
}

std::optional<TokenStatus> EngineController::token_status(GroupId group,
                                                          DeviceNumber device) const {
  std::optional<TokenStatus> status;
  engines_->on_shard(device, [&](data_plane::DeviceShard& shard, TimeNs now) {
    status = shard.queue().token_status(group, now);
  });
  return status;
}

const stats::GroupStats* EngineController::stats_of(GroupId group) const {
  if (group == GroupId::kRoot) return &root_stats_;
  const auto it = stats_.find(group);
  return it == stats_.end() ? nullptr : it->second.get();
}

stats::GroupStats* EngineController::stats_of(GroupId group) {
  return const_cast<stats::GroupStats*>(std::as_const(*this).stats_of(group));
}

std::vector<DeviceNumber> EngineController::devices_met(GroupId group) const {
  const stats::GroupStats* stats = stats_of(group);
  if (stats == nullptr) return {};
  std::vector<DeviceNumber> met = stats->devices();
  std::erase_if(met, [&](DeviceNumber device) { return !has_device(device); });
  return met;
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
  if (stats::GroupStats* stats = stats_of(group)) stats->reset();
  engines_->on_each([&](data_plane::Engine& engine) {
    for (const auto& shard : engine.shards()) shard->queue().reset_throttle_report(group);
  });
}

void EngineController::restore_counts(GroupId group, DeviceNumber device,
                                      const SavedCounts& saved) {
  engines_->on_shard(device, [&](data_plane::DeviceShard& shard, TimeNs) {
    shard.queue().meet(group);
    saved.restore_to(stats_of(group)->meet(device));
  });
}

}  // namespace blkio::control_plane
