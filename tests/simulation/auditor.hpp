// SPDX-License-Identifier: MIT
/// Watches a simulated queue from outside and stops the run at the first broken promise.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "io_queue.hpp"
#include "simulation/bookkeeper.hpp"

namespace blkio::simulation {

/// Keeps its own, simple model of everything the queue promises:
///   * a request goes once, in the order of its group and direction, and never after a cancel;
///   * no limit of its path passes more than rate * T, its bucket and one request in any window T;
///     the bucket of an even one is kCatchUpNs' worth;
///   * a request goes while there are tokens, and there are never more than max;
///   * no request fails before max_hold_ms of its path, nor one that could go;
///   * nothing waits beside a free device while its path is open (work conservation);
///   * whoever could go is not passed over for ever (starvation);
///   * the statistics are the sums of what happened.
/// A broken promise is thrown as std::logic_error with the seed and the virtual time.
class Auditor {
 public:
  /// weighted: the device may be kept free, and a light group may wait for long, so work
  /// conservation and starvation are not looked at here but in tests/simulation/fair_queue.
  Auditor(std::uint64_t seed, Hierarchy hierarchy, bool weighted)
      : seed_(seed), hierarchy_(hierarchy), by_turns_(!weighted) {
    groups_[GroupId::kRoot];
  }
  /// There was a time of weights, and what it left is not by turns.
  void sharing_changed() { by_turns_ = false; }

  void group_added(GroupId group, GroupId parent);
  void group_removed(GroupId group, GroupId parent, TimeNs now);
  void rules_set(GroupId group, const DeviceRules& rules, Levels levels, TimeNs now);

  void arrived(const data_plane::QueuedIo& io, TimeNs now);
  void cancelled(const data_plane::QueuedIo& io, TimeNs now);
  /// `queue` says so; it is cancelled next.
  void overdue(const data_plane::QueuedIo& io, const data_plane::IoQueue& queue, TimeNs now);
  /// `queue` has just handed the request out.
  void went(const data_plane::QueuedIo& io, const data_plane::IoQueue& queue, TimeNs now);
  void completed(const data_plane::QueuedIo& io, TimeNs now);
  /// next() has nothing, and the device has room.
  void nothing_goes(data_plane::IoQueue& queue, TimeNs now);
  /// A deadline has come and nothing was changed since it was announced.
  void deadline_came(bool something_went, TimeNs now);
  /// At any time.
  void statistics(GroupId group, const stats::DeviceStats& stats, TimeNs now);
  /// At any time: `time_ns` is what all groups have of the device's.
  void sum_of_time(std::uint64_t time_ns, TimeNs now);

  std::uint64_t went() const { return went_; }
  std::uint64_t waiting() const { return waiting_; }

 private:
  /// A leaking bucket without a bottom line: the most, over all windows that end now, by which
  /// what passed exceeds the rate.
  struct Account {
    std::optional<long double> rate;
    long double bucket = 0;
    long double excess = 0;
    // Since the excess was last zero.
    long double highest_rate = 0;
    long double highest_bucket = 0;
    TimeNs seen = 0;
    void leak(TimeNs now);
    void set(std::optional<long double> per_second, long double size, TimeNs now);
    /// By how much a bucket that has to be open is not.
    long double over() const;
  };

  /// Period by period.
  struct TokenAccount {
    TokenRule rule;
    std::uint64_t level = 0;  ///< a request goes only if it is above 0, so never below
    std::uint64_t carry = 0;  ///< thousandths of a token
    TimeNs next_refill = 0;
    bool binds() const { return rule.max && rule.refill; }
    void refill(TimeNs now);
  };

  struct Group {
    GroupId parent = GroupId::kRoot;
    int contenders = 1;  ///< child groups, and its own tasks
    DeviceRules rules;
    std::array<Account, kLimits> accounts;
    std::array<Account, kLimits> bursts;
    TokenAccount tokens;
    std::array<std::deque<const data_plane::QueuedIo*>, kDirections> waiting;
    std::array<int, kDirections> passed_over{};
  };

  [[noreturn]] void fail(const std::string& what, TimeNs now) const;
  std::deque<const data_plane::QueuedIo*>& queue_of(const data_plane::QueuedIo& io);
  void charge(Group& payer, const data_plane::QueuedIo& io, TimeNs now);
  void charge(Account& account, long double units, TimeNs now);
  void set_tokens(Group& group, const TokenRule& rule, TimeNs now);
  bool any_bound() const;
  int fair_wait(GroupId group) const;

  std::uint64_t seed_;
  Hierarchy hierarchy_;
  bool by_turns_;
  std::map<GroupId, Group> groups_;
  Bookkeeper book_;
  std::uint64_t went_ = 0;
  std::uint64_t waiting_ = 0;
};

}  // namespace blkio::simulation
