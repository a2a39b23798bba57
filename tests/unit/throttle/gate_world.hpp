// SPDX-License-Identifier: MIT
/// A gate that requests go through the moment they may, in virtual time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "rules_of.hpp"
#include "throttle/gate.hpp"

namespace blkio::test {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;

struct GateWorld {
  explicit GateWorld(const DeviceRules& rules = {}, TimeNs now = 0) { set(rules, now); }

  void set(const DeviceRules& rules, TimeNs now, Levels levels = Levels::kKept) {
    gate.set_rules(rules, levels, now);
  }
  /// One request goes as soon as it may, not before `now`; says when.
  TimeNs go(Op op, std::uint64_t bytes, TimeNs now) {
    const TimeNs opens = gate.opens_at(direction_of(op));
    if (opens > now) gate.note_waited(direction_of(op));
    const TimeNs at = std::max(now, opens);
    gate.charge(op, bytes, at);
    return at;
  }
  /// When n of them go that are all there at `now`.
  std::vector<TimeNs> flood(Op op, std::uint64_t bytes, std::size_t n, TimeNs now = 0) {
    std::vector<TimeNs> went;
    for (; went.size() < n; went.push_back(now)) now = go(op, bytes, now);
    return went;
  }
  /// How many go at `now` without waiting.
  std::size_t burst(Op op, std::uint64_t bytes, TimeNs now) {
    std::size_t n = 0;
    for (; gate.opens_at(direction_of(op)) <= now; ++n) gate.charge(op, bytes, now);
    return n;
  }

  throttle::Gate gate;
};

inline DeviceRules strict(DeviceRules rules) {
  rules.qemu_strict = true;
  return rules;
}

inline DeviceRules tokens_of(std::uint64_t max, const TokenRefill& refill) {
  DeviceRules rules;
  rules.tokens = {max, refill};
  return rules;
}

}  // namespace blkio::test
