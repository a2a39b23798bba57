// SPDX-License-Identifier: MIT
/// A Controller without an engine: it remembers what the files told it, and tests set its counters.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "blkio/controller.hpp"

namespace blkio::test {

class FakeController final : public Controller {
 public:
  using CounterKey = std::tuple<GroupId, DeviceNumber, Counter>;

  explicit FakeController(Dialect dialect = Dialect::kKernel) : dialect_(dialect) {}

  // --- what a test prepares
  void add_device(DeviceNumber device, bool weights) { devices_[device] = weights; }
  /// The group did I/O on the device, and this is what was counted.
  void count(GroupId group, DeviceNumber device, Counter counter, const OpCounts& counts) {
    meet_device(group, device);
    counts_[{group, device, counter}] += counts;
  }
  void count(GroupId group, DeviceNumber device, Scalar scalar, std::uint64_t n) {
    meet_device(group, device);
    scalars_[{group, device, scalar}] += n;
  }
  /// Another engine serves it than the others.
  void set_apart(DeviceNumber device) { apart_.insert(device); }
  void set_report(GroupId group, DeviceNumber device, const ThrottleReport& report) {
    reports_[{group, device}] = report;
  }
  void set_token_status(GroupId group, DeviceNumber device, const TokenStatus& status) {
    token_status_[{group, device}] = status;
  }

  // --- what a test asks
  std::optional<std::uint64_t> limit(GroupId group, DeviceNumber device, Limit limit) const {
    return rules(group, device).of(limit).per_second;
  }
  DeviceRules rules(GroupId group, DeviceNumber device) const {
    const auto found = rules_.find({group, device});
    return found == rules_.end() ? DeviceRules{} : found->second;
  }
  const Weights& weights(GroupId group) { return weights_[group].first; }
  const Weights& leaf_weights(GroupId group) { return weights_[group].second; }
  struct Share {
    GroupId group;
    DeviceNumber device;
    DeviceNumber other;  ///< 0:0: of unshare()
    bool operator==(const Share&) const = default;
  };
  /// What share() and unshare() were told since the last question.
  std::vector<Share> take_shared() { return std::exchange(shared_, {}); }
  /// Calls of set_rules, refused writes not among them.
  int limits_set() const { return limits_set_; }
  /// Of the last of them.
  Levels levels() const { return levels_; }
  bool knows(GroupId group) const { return parents_.contains(group); }
  bool was_reset(GroupId group) const { return reset_.contains(group); }

  // --- Controller
  bool has_device(DeviceNumber device) const override { return devices_.contains(device); }
  bool has_weights(DeviceNumber device) const override {
    const auto found = devices_.find(device);
    return found != devices_.end() && found->second;
  }

  void group_added(GroupId group, GroupId parent) override { parents_[group] = parent; }
  void group_removed(GroupId group, GroupId parent) override {
    if (dialect_ == Dialect::kDoc) hand_over(group, parent);
    std::erase_if(counts_,
                  [group](const auto& entry) { return std::get<0>(entry.first) == group; });
    std::erase_if(inherited_,
                  [group](const auto& entry) { return std::get<0>(entry.first) == group; });
    std::erase_if(scalars_,
                  [group](const auto& entry) { return std::get<0>(entry.first) == group; });
    std::erase_if(rules_, [group](const auto& entry) { return entry.first.first == group; });
    met_.erase(group);
    parents_.erase(group);
  }

  void meet_device(GroupId group, DeviceNumber device) override {
    for (;; group = parents_.at(group)) {
      auto& met = met_[group];
      if (std::find(met.begin(), met.end(), device) == met.end()) met.insert(met.begin(), device);
      if (group == GroupId::kRoot) return;
    }
  }
  void start_throttle_counters(DeviceNumber device) override { started_.insert(device); }
  void set_rules(GroupId group, DeviceNumber device, const DeviceRules& rules,
                 Levels levels) override {
    ++limits_set_;
    levels_ = levels;
    rules_[{group, device}] = rules;
  }
  Result<void> can_share(DeviceNumber device, DeviceNumber other) const override {
    return apart_.contains(device) == apart_.contains(other) ? Result<void>(success())
                                                             : failure(EXDEV, "apart");
  }
  void share(GroupId group, DeviceNumber device, DeviceNumber other) override {
    shared_.push_back({group, device, other});
  }
  void unshare(GroupId group, DeviceNumber device) override {
    shared_.push_back({group, device, {}});
  }
  ThrottleReport throttle_report(GroupId group, DeviceNumber device) const override {
    const auto found = reports_.find({group, device});
    return found == reports_.end() ? ThrottleReport{} : found->second;
  }
  std::optional<TokenStatus> token_status(GroupId group, DeviceNumber device) const override {
    const auto found = token_status_.find({group, device});
    if (found == token_status_.end()) return std::nullopt;
    return found->second;
  }

  void set_weights(GroupId group, const Weights& weights, const Weights& leaf_weights) override {
    weights_[group] = {weights, leaf_weights};
  }

  std::vector<DeviceNumber> devices_met(GroupId group) const override {
    const auto found = met_.find(group);
    return found == met_.end() ? std::vector<DeviceNumber>{} : found->second;
  }
  OpCounts counts(GroupId group, DeviceNumber device, Counter counter) const override {
    return lookup(counts_, {group, device, counter});
  }
  OpCounts inherited_counts(GroupId group, DeviceNumber device, Counter counter) const override {
    return lookup(inherited_, {group, device, counter});
  }
  std::uint64_t scalar(GroupId group, DeviceNumber device, Scalar scalar) const override {
    const auto found = scalars_.find({group, device, scalar});
    return found == scalars_.end() ? 0 : found->second;
  }
  bool throttle_counters_started(DeviceNumber device) const override {
    return dialect_ == Dialect::kDoc || started_.contains(device);
  }
  void reset_stats(GroupId group) override {
    reset_.insert(group);
    const auto is_of_group = [group](const auto& entry) {
      return std::get<0>(entry.first) == group;
    };
    std::erase_if(counts_, [&](const auto& entry) {
      return is_of_group(entry) && !is_gauge(std::get<2>(entry.first));
    });
    std::erase_if(inherited_, is_of_group);
    std::erase_if(scalars_, is_of_group);
  }

 private:
  using Counts = std::map<CounterKey, OpCounts>;

  static OpCounts lookup(const Counts& counts, const CounterKey& key) {
    const auto found = counts.find(key);
    return found == counts.end() ? OpCounts{} : found->second;
  }
  void hand_over(GroupId group, GroupId parent) {
    for (const Counts* from : {&counts_, &inherited_}) {
      const Counts source = *from;
      for (const auto& [key, counts] : source) {
        const auto& [owner, device, counter] = key;
        if (owner == group && !is_gauge(counter)) inherited_[{parent, device, counter}] += counts;
      }
    }
    const auto scalars = scalars_;
    for (const auto& [key, n] : scalars) {
      const auto& [owner, device, scalar] = key;
      const bool time = scalar == Scalar::kTimeNs || scalar == Scalar::kTimeLeftNs;
      if (owner == group && time) scalars_[{parent, device, Scalar::kTimeLeftNs}] += n;
    }
  }

  Dialect dialect_;
  std::map<DeviceNumber, bool> devices_;  ///< and whether weights act on it
  std::map<GroupId, std::pair<Weights, Weights>> weights_;
  std::map<GroupId, GroupId> parents_;
  std::map<GroupId, std::vector<DeviceNumber>> met_;
  std::set<DeviceNumber> started_;
  std::map<std::pair<GroupId, DeviceNumber>, DeviceRules> rules_;
  std::map<std::pair<GroupId, DeviceNumber>, ThrottleReport> reports_;
  std::map<std::pair<GroupId, DeviceNumber>, TokenStatus> token_status_;
  std::vector<Share> shared_;
  std::set<DeviceNumber> apart_;
  int limits_set_ = 0;
  Levels levels_ = Levels::kKept;
  Counts counts_;
  Counts inherited_;
  std::map<std::tuple<GroupId, DeviceNumber, Scalar>, std::uint64_t> scalars_;
  std::set<GroupId> reset_;
};

}  // namespace blkio::test
