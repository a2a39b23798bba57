// SPDX-License-Identifier: MIT
/// The cgroup files' port to the engines.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>

#include "blkio/controller.hpp"
#include "data_plane/engines.hpp"
#include "saved_state.hpp"
#include "stats/group_stats.hpp"

namespace blkio::control_plane {

/// Owns the groups' counters; carries each change to the engine and waits until it is applied.
/// Reading a counter asks nobody. Control thread only.
class EngineController final : public Controller {
 public:
  struct Device {
    DeviceNumber number;
    bool has_weights = true;
  };
  /// The engines are started after the root's statistics exist and stopped before they go.
  EngineController(stats::GroupStats& root_stats, std::vector<Device> devices, Dialect dialect);
  void attach(data_plane::Engines& engines) { engines_ = &engines; }

  bool has_device(DeviceNumber device) const override;
  bool has_weights(DeviceNumber device) const override;
  void group_added(GroupId group, GroupId parent) override;
  void group_removed(GroupId group, GroupId parent) override;
  void meet_device(GroupId group, DeviceNumber device) override;
  void start_throttle_counters(DeviceNumber device) override;
  void set_rules(GroupId group, DeviceNumber device, const DeviceRules& rules,
                 Levels levels) override;
  Result<void> can_share(DeviceNumber device, DeviceNumber other) const override;
  void share(GroupId group, DeviceNumber device, DeviceNumber other) override;
  void unshare(GroupId group, DeviceNumber device) override;
  ThrottleReport throttle_report(GroupId group, DeviceNumber device) const override;
  std::optional<TokenStatus> token_status(GroupId group, DeviceNumber device) const override;
  void set_weights(GroupId group, const Weights& weights, const Weights& leaf_weights) override;
  std::vector<DeviceNumber> devices_met(GroupId group) const override;
  OpCounts counts(GroupId group, DeviceNumber device, Counter counter) const override;
  OpCounts inherited_counts(GroupId group, DeviceNumber device, Counter counter) const override;
  std::uint64_t scalar(GroupId group, DeviceNumber device, Scalar scalar) const override;
  bool throttle_counters_started(DeviceNumber device) const override;
  void reset_stats(GroupId group) override;

  /// All that f() asks of the engines is done in one go: they stand still meanwhile, and there is
  /// one answer of each to wait for, instead of one for every call.
  template <class F>
  void together(F&& f) {
    engines_->together(f);
  }
  /// The engine serves the device since.
  void device_added(const Device& device);
  /// The engine does not serve it any more. What was counted is forgotten.
  void device_removed(DeviceNumber device);
  /// Whether weights act on the device from now on.
  void set_scheduler(DeviceNumber device, bool has_weights);

  /// Those that are proxied.
  std::vector<DeviceNumber> devices() const;
  /// nullptr if the group is gone or has never met the device. Lives as long as the group.
  const stats::DeviceStats* row_of(GroupId group, DeviceNumber device) const;
  /// The group gets to know the device; what an earlier daemon had counted is added.
  void restore_counts(GroupId group, DeviceNumber device, const SavedCounts& saved);

 private:
  const stats::GroupStats* stats_of(GroupId group) const;
  stats::GroupStats* stats_of(GroupId group);

  stats::GroupStats& root_stats_;
  std::map<DeviceNumber, bool> devices_;  ///< number -> has weights
  Dialect dialect_;
  std::set<DeviceNumber> counting_;  ///< Dialect::kKernel: a rule was written
  std::unordered_map<GroupId, std::unique_ptr<stats::GroupStats>> stats_;
  data_plane::Engines* engines_ = nullptr;
};

}  // namespace blkio::control_plane
