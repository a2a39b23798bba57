// SPDX-License-Identifier: MIT
/// The ports through which the cgroup files reach the rest of the system.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "blkio/device_rules.hpp"
#include "blkio/op_counts.hpp"
#include "blkio/result.hpp"
#include "blkio/throttle_report.hpp"
#include "blkio/types.hpp"
#include "blkio/weights.hpp"

namespace blkio {

/// What the group files ask of the data plane.
///
/// Called on the control thread only. Every call returns when the engine has applied it, so a rule
/// binds from the moment its write(2) returns. Implemented by control_plane/engine_controller and,
/// for tests without an engine, by tests/unit/fake_controller.hpp.
class Controller {
 public:
  virtual ~Controller() = default;

  /// True if the device is proxied; rules for any other are ENODEV.
  virtual bool has_device(DeviceNumber device) const = 0;
  /// True if proportional weights act on the device (scheduler=bfq).
  virtual bool has_weights(DeviceNumber device) const = 0;

  /// The root group exists from the start and is never announced.
  virtual void group_added(GroupId group, GroupId parent) = 0;
  /// The group has no tasks and no children. Its waiting requests move to `parent`, and so does,
  /// in Dialect::kDoc, what it has counted (into the parent's recursive view).
  virtual void group_removed(GroupId group, GroupId parent) = 0;

  /// The group and all its ancestors get to know the device: it has rows in their files from now
  /// on. Called before the value of a rule is looked at (blk-cgroup.c, blkg_conf_prep).
  virtual void meet_device(GroupId group, DeviceNumber device) = 0;
  /// Somebody wrote a throttle rule for the device: the kernel's throttle counters start to count.
  virtual void start_throttle_counters(DeviceNumber device) = 0;
  /// The whole set, in place of the last one; an empty one removes all. The device has been met.
  virtual void set_rules(GroupId group, DeviceNumber device, const DeviceRules& rules,
                         Levels levels) = 0;
  /// Whether limits can be shared by the two devices, both proxied; EXDEV, with what to do about
  /// it, if they are served by threads that share nothing.
  virtual Result<void> can_share(DeviceNumber device, DeviceNumber other) const = 0;
  /// From now on the group's limits on `device` are those on `other`, and whoever shares them: one
  /// account, with the rules it has there, so that set_rules() for one is for all. Both are
  /// proxied; nothing happens if they cannot share, or do already.
  virtual void share(GroupId group, DeviceNumber device, DeviceNumber other) = 0;
  /// Not any more: the group is without rules on the device, if it shared some there. The others go
  /// on together.
  virtual void unshare(GroupId group, DeviceNumber device) = 0;
  /// What the group's limits on the device have done, and whom they hold now. Asks the engine; all
  /// zeros for a group without rules.
  virtual ThrottleReport throttle_report(GroupId group, DeviceNumber device) const = 0;
  /// The group's tokens on the device now. Asks the engine. nullopt: they do not bind (one of the
  /// two rules is missing).
  virtual std::optional<TokenStatus> token_status(GroupId group, DeviceNumber device) const = 0;

  /// `weights`: against the group's siblings; `leaf_weights`: of its own tasks against its child
  /// groups. They bind at once on every device that has weights. As by cgroup.leaf_weight of old
  /// (block/cfq-iosched.c), the root has only the second.
  virtual void set_weights(GroupId group, const Weights& weights, const Weights& leaf_weights) = 0;

  /// Devices the group knows, the one met last first: the order of the rows in all its files.
  virtual std::vector<DeviceNumber> devices_met(GroupId group) const = 0;
  /// The group's own count. Lock-free, does not wait for the engine. Zeros if never met.
  virtual OpCounts counts(GroupId group, DeviceNumber device, Counter counter) const = 0;
  /// What removed descendants left (Dialect::kDoc); zeros otherwise.
  virtual OpCounts inherited_counts(GroupId group, DeviceNumber device, Counter counter) const = 0;
  /// One number of the group, in the unit its name says. Lock-free, does not wait for the engine. 0
  /// if never met; Scalar::kTimeLeftNs is 0 in Dialect::kKernel.
  virtual std::uint64_t scalar(GroupId group, DeviceNumber device, Scalar scalar) const = 0;
  /// True if the throttle files show rows of this device (the kernel: once any rule was written).
  virtual bool throttle_counters_started(DeviceNumber device) const = 0;
  /// Clears the group's own statistics and what removed children left, but no gauge.
  virtual void reset_stats(GroupId group) = 0;
};

enum class TaskScope : std::uint8_t {
  kThread,   ///< `tasks`: the one thread
  kProcess,  ///< `cgroup.procs`: the whole process the id belongs to
};

/// Who wrote an id into tasks or cgroup.procs; ids of the daemon's own namespaces.
struct Writer {
  pid_t tid = 0;  ///< the thread that an id of 0 means
  uid_t uid = 0;  ///< of who opened the file: his are the rights
};

/// Which task is in which group, as far as the files ask. Called on the control thread; errors are
/// the kernel's (ESRCH, EINVAL for kernel threads that must not move, EACCES by the attach rule).
class Membership {
 public:
  virtual ~Membership() = default;

  /// A group is being made or renamed; an error refuses it. The root group exists from the start.
  virtual Result<void> add_group(GroupId, GroupId /*parent*/, std::string_view /*name*/) {
    return success();
  }
  virtual Result<void> rename_group(GroupId, std::string_view /*name*/) { return success(); }
  /// The group, which has no child groups, is to go. EBUSY: it has tasks.
  virtual Result<void> remove_group(GroupId group) {
    if (has_tasks(group)) return failure(EBUSY);
    return success();
  }

  /// id 0 is the writer itself.
  virtual Result<void> attach(pid_t id, TaskScope scope, GroupId group, const Writer& writer) = 0;
  /// Ascending, without duplicates. kProcess lists a process if one of its threads is inside.
  virtual std::vector<pid_t> members(GroupId group, TaskScope scope) = 0;
  /// True if the group holds living tasks. Zombies do not count.
  virtual bool has_tasks(GroupId group) = 0;

  /// The same with ids as the task that opened a file sees them: those of its pid namespace.
  /// nullptr: as here. opener: 0 if its namespace hides it from us; then no id can be named.
  virtual std::shared_ptr<Membership> seen_by(pid_t /*opener*/) { return nullptr; }
};

/// What the data plane learns about the issuer of a request.
struct Issuer {
  GroupId group = GroupId::kRoot;
  pid_t tgid = 0;       ///< 0 if not known
  bool usable = false;  ///< false: a kernel thread, or an id of a foreign pid namespace
};

/// Called on an engine thread, once per batch of requests that arrived together. Must not block on
/// anything a task waiting for its I/O could hold.
class IssuerDirectory {
 public:
  virtual ~IssuerDirectory() = default;
  virtual void resolve(const pid_t* tids, Issuer* issuers, std::size_t count) = 0;
};

}  // namespace blkio
