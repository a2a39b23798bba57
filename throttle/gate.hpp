// SPDX-License-Identifier: MIT
/// All limits of one group on one device.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "blkio/device_rules.hpp"
#include "blkio/throttle_report.hpp"
#include "blkio/types.hpp"
#include "throttle/limiter.hpp"
#include "throttle/tokens.hpp"

namespace blkio::throttle {

/// A gate per direction: open when every limit of the direction lets the next request go. The
/// directions know nothing of each other, but for what counts both. No clock; one thread.
///
/// Several devices may share it. Then there is one account, but a report of each: a call that
/// counts something takes the number of the sharer that it is about.
class Gate {
 public:
  bool limited(Direction direction) const { return limited_[index(direction)]; }

  /// kLongAgo without a limit; kNever under a limit of 0. The gate is open when this is not in the
  /// future.
  TimeNs opens_at(Direction direction) const { return opens_at_[index(direction)]; }

  /// A request goes through, and pays at every limit of its direction. May be called before
  /// opens_at().
  void charge(Op op, std::uint64_t bytes, TimeNs now, std::size_t sharer = 0) {
    if (limited(direction_of(op))) charge_limits(op, bytes, now, sharer);
  }
  /// The direction's gate opens now, and somebody has waited for it.
  void note_waited(Direction direction);

  /// The whole set, in place of the last one. Limits that are in both go on undisturbed; of the
  /// others see Limiter::set_rule() and Tokens::set(). Levels::kReset, and where dry_run changes:
  /// all start afresh.
  void set_rules(const DeviceRules& rules, Levels levels, TimeNs now);
  const DeviceRules& rules() const;
  /// True if a request of one direction may close the other.
  bool has_total() const { return has_total_; }
  /// Their numbers are below `count`, at least 1; 1 until told. What was counted stays.
  void set_sharers(std::size_t count);

  // What becomes of a report. The caller knows who waits, the gate which limit it is for.

  /// Of the limits of the direction, the one that opens last is why somebody has waited: for how
  /// long, summed over all who did, and how many of them go now.
  void count_held(Direction direction, std::uint64_t sum_ns, std::uint64_t delayed,
                  std::size_t sharer = 0);
  /// So far; `holds`, by direction: somebody waits for this gate now.
  ThrottleReport report(std::array<bool, kDirections> holds, TimeNs now,
                        std::size_t sharer = 0) const;
  void reset_report(std::size_t sharer = 0);
  /// nullopt if no tokens bind.
  std::optional<TokenStatus> token_status(TimeNs now);

 private:
  /// The limits by number, and after them the tokens.
  static constexpr std::size_t kTokensAt = kLimits;
  static constexpr std::size_t kLimiters = kLimits + 1;
  /// A set of limiters, a bit for each.
  using Mask = std::uint8_t;

  struct Counted {
    std::uint64_t delayed = 0;
    std::uint64_t held_ns = 0;
  };
  using Counts = std::array<Counted, kLimiters>;
  /// Of one that has rules. Nine in ten groups never have any.
  struct Limited {
    std::array<Mask, kDirections> binding{};
    bool dry_run = false;
    std::array<Limiter, kLimits> limiters;
    std::unique_ptr<Tokens> tokens;
    Counts counted{};              ///< of the first sharer
    std::vector<Counts> others{};  ///< of those behind it
    Counts& counted_by(std::size_t sharer) { return sharer == 0 ? counted : others[sharer - 1]; }
    DeviceRules rules;
  };
  struct Last {
    std::size_t limiter = kLimiters;  ///< kLimiters: there is none
    TimeNs opens_at = kLongAgo;
  };

  static std::size_t index(Direction direction) { return static_cast<std::size_t>(direction); }
  TimeNs limiter_opens_at(std::size_t limiter) const;
  Last last_to_open(Direction direction) const;
  void charge_limits(Op op, std::uint64_t bytes, TimeNs now, std::size_t sharer);
  bool would_hold(Direction direction, TimeNs now, std::size_t sharer);
  void set_tokens(const TokenRule& rule, TimeNs now);
  void note_binding();
  void refresh(Direction direction);

  // What is asked of every gate on the path of every request, apart from the limiters, which are
  // touched only where there is a limit.
  std::array<TimeNs, kDirections> opens_at_{kLongAgo, kLongAgo};
  std::array<bool, kDirections> limited_{};
  bool has_total_ = false;
  std::uint32_t sharers_ = 1;
  std::unique_ptr<Limited> limited_by_;
};

}  // namespace blkio::throttle
