// SPDX-License-Identifier: MIT
#include "cgroupfs/rule_checks.hpp"

#include <fmt/format.h>

#include "blkio/qemu_names.hpp"

namespace blkio::cgroupfs {
namespace {

auto fault(std::string sentence) {
  return failure(0, std::move(sentence));
}

std::uint64_t average(const RateRule& rule) {
  return rule.per_second.value_or(0);
}
std::uint64_t burst(const RateRule& rule) {
  return rule.burst_per_second;
}

/// `value` is average or burst; looks at bytes, then at ios.
bool total_beside_direction(const DeviceRules& rules, std::uint64_t (*value)(const RateRule&)) {
  const auto both = [&](Limit total, Limit read, Limit write) {
    return value(rules.of(total)) != 0 &&
           (value(rules.of(read)) != 0 || value(rules.of(write)) != 0);
  };
  return both(Limit::kTotalBps, Limit::kReadBps, Limit::kWriteBps) ||
         both(Limit::kTotalIops, Limit::kReadIops, Limit::kWriteIops);
}

bool has_iops(const DeviceRules& rules) {
  return average(rules.of(Limit::kTotalIops)) != 0 || average(rules.of(Limit::kReadIops)) != 0 ||
         average(rules.of(Limit::kWriteIops)) != 0;
}

}  // namespace

Result<void> check_rate(const RateRule& rule) {
  if (average(rule) > kMaxRate || burst(rule) > kMaxRate) {
    return fault(fmt::format("bps/iops/max values must be within [0, {}]", kMaxRate));
  }
  if (rule.burst_seconds == 0) return fault("the burst length cannot be 0");
  if (burst(rule) == 0) {
    if (rule.burst_seconds > 1) return fault("burst length set without burst rate");
    return success();
  }
  if (rule.burst_seconds > kMaxRate / burst(rule)) {
    return fault("burst length too high for this burst rate");
  }
  if (average(rule) == 0) return fault("bps_max/iops_max require corresponding bps/iops values");
  if (burst(rule) < average(rule)) return fault("bps_max/iops_max cannot be lower than bps/iops");
  return success();
}

Result<void> check_exclusive(const DeviceRules& rules) {
  if (total_beside_direction(rules, average) || total_beside_direction(rules, burst)) {
    return fault("bps/iops/max total values and read/write values cannot be used at the same time");
  }
  return success();
}

Result<void> check_rules(const DeviceRules& rules) {
  if (rules.qemu_strict) BLKIO_TRY(check_exclusive(rules));
  if (rules.iops_size != 0 && !has_iops(rules)) {
    return fault("iops size requires an iops value to be set");
  }
  for (const auto& name : qemu::kLimitNames) BLKIO_TRY(check_rate(rules.of(name.limit)));
  return success();
}

}  // namespace blkio::cgroupfs
