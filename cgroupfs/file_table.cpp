// SPDX-License-Identifier: MIT
#include "cgroupfs/file_table.hpp"

#include <cassert>
#include <cerrno>
#include <unordered_map>

#include "cgroupfs/core_files.hpp"
#include "cgroupfs/group_tree.hpp"
#include "cgroupfs/stat_files.hpp"
#include "cgroupfs/throttle_files.hpp"
#include "cgroupfs/weight_files.hpp"

namespace blkio::cgroupfs {
namespace {

constexpr mode_t kReadWrite = 0644;
constexpr mode_t kReadOnly = 0444;
constexpr mode_t kWriteOnly = 0200;

constexpr Presence kAlways{Place::kEverywhere, Place::kEverywhere};
constexpr Presence kRootOnly{Place::kRoot, Place::kRoot};
constexpr Presence kNotInKernelRoot{Place::kChildren, Place::kEverywhere};
constexpr Presence kDocOnly{Place::kNowhere, Place::kEverywhere};

constexpr auto kOwn = StatScope::kOwn;
constexpr auto kRecursive = StatScope::kRecursive;
constexpr auto kThrottled = StatDevices::kThrottled;
constexpr auto kWeighted = StatDevices::kWeighted;
constexpr auto kAll = StatDevices::kAll;

// clang-format off
std::vector<FileRow> make_files() {
  return {
    {"tasks", kReadWrite, kAlways, show_members(TaskScope::kThread), store_member(TaskScope::kThread), kMaxWriteBytes, true},
    {"cgroup.procs", kReadWrite, kAlways, show_members(TaskScope::kProcess), store_member(TaskScope::kProcess), kMaxWriteBytes, true},
    {"cgroup.clone_children", kReadWrite, kAlways, show_flag(&Group::clone_children), store_flag(&Group::clone_children)},
    {"cgroup.sane_behavior", kReadOnly, kRootOnly, show_sane_behavior(), {}},
    {"notify_on_release", kReadWrite, kAlways, show_flag(&Group::notify_on_release), store_flag(&Group::notify_on_release)},
    {"release_agent", kReadWrite, kRootOnly, show_release_agent(), store_release_agent(), kMaxReleaseAgentBytes, false, true},

    rule_file("blkio.throttle.read_bps_device", kAlways, rate_of(Limit::kReadBps)),
    rule_file("blkio.throttle.write_bps_device", kAlways, rate_of(Limit::kWriteBps)),
    rule_file("blkio.throttle.read_iops_device", kAlways, rate_of(Limit::kReadIops)),
    rule_file("blkio.throttle.write_iops_device", kAlways, rate_of(Limit::kWriteIops)),
    rule_file("blkio.throttle.total_bps_device", kDocOnly, rate_of(Limit::kTotalBps)),
    rule_file("blkio.throttle.total_iops_device", kDocOnly, rate_of(Limit::kTotalIops)),
    rule_file("blkio.throttle.read_bps_max_device", kDocOnly, burst_rate_of(Limit::kReadBps)),
    rule_file("blkio.throttle.read_iops_max_device", kDocOnly, burst_rate_of(Limit::kReadIops)),
    rule_file("blkio.throttle.write_bps_max_device", kDocOnly, burst_rate_of(Limit::kWriteBps)),
    rule_file("blkio.throttle.write_iops_max_device", kDocOnly, burst_rate_of(Limit::kWriteIops)),
    rule_file("blkio.throttle.total_bps_max_device", kDocOnly, burst_rate_of(Limit::kTotalBps)),
    rule_file("blkio.throttle.total_iops_max_device", kDocOnly, burst_rate_of(Limit::kTotalIops)),
    rule_file("blkio.throttle.read_bps_max_length_device", kDocOnly, burst_length_of(Limit::kReadBps)),
    rule_file("blkio.throttle.read_iops_max_length_device", kDocOnly, burst_length_of(Limit::kReadIops)),
    rule_file("blkio.throttle.write_bps_max_length_device", kDocOnly, burst_length_of(Limit::kWriteBps)),
    rule_file("blkio.throttle.write_iops_max_length_device", kDocOnly, burst_length_of(Limit::kWriteIops)),
    rule_file("blkio.throttle.total_bps_max_length_device", kDocOnly, burst_length_of(Limit::kTotalBps)),
    rule_file("blkio.throttle.total_iops_max_length_device", kDocOnly, burst_length_of(Limit::kTotalIops)),
    rule_file("blkio.throttle.iops_size_device", kDocOnly, iops_size()),
    rule_file("blkio.throttle.max_hold_device", kDocOnly, max_hold_ms()),
    rule_file("blkio.throttle.dry_run_device", kDocOnly, dry_run()),
    shared_file("blkio.throttle.shared_device", kDocOnly),
    rule_file("blkio.tokens.max_device", kDocOnly, tokens_max()),
    rule_file("blkio.tokens.refill_device", kDocOnly, tokens_refill()),
    {"blkio.tokens.status", kReadOnly, kDocOnly, show_token_status(), {}},
    {"blkio.throttle.stat", kReadOnly, kDocOnly, show_throttle_stat(), {}, kMaxWriteBytes, false, false, news_of_throttle_stat()},

    {"blkio.weight", kReadWrite, kDocOnly, show_weight(WeightKind::kGroup), store_weight(WeightKind::kGroup)},
    {"blkio.weight_device", kReadWrite, kDocOnly, show_device_weights(WeightKind::kGroup), store_device_weight(WeightKind::kGroup)},
    {"blkio.leaf_weight", kReadWrite, kDocOnly, show_weight(WeightKind::kLeaf), store_weight(WeightKind::kLeaf)},
    {"blkio.leaf_weight_device", kReadWrite, kDocOnly, show_device_weights(WeightKind::kLeaf), store_device_weight(WeightKind::kLeaf)},
    {"blkio.bfq.weight", kReadWrite, kNotInKernelRoot, show_weight(WeightKind::kGroup), store_weight(WeightKind::kGroup)},
    {"blkio.bfq.weight_device", kReadWrite, kNotInKernelRoot, show_device_weights(WeightKind::kGroup), store_device_weight(WeightKind::kGroup)},

    {"blkio.reset_stats", kWriteOnly, kAlways, {}, store_reset_stats()},
    {"blkio.io_service_bytes", kReadOnly, kDocOnly, show_stat(Counter::kBfqBytes, kAll, kOwn), {}},
    {"blkio.io_service_bytes_recursive", kReadOnly, kDocOnly, show_stat(Counter::kBfqBytes, kAll, kRecursive), {}},
    {"blkio.io_serviced", kReadOnly, kDocOnly, show_stat(Counter::kBfqIos, kAll, kOwn), {}},
    {"blkio.io_serviced_recursive", kReadOnly, kDocOnly, show_stat(Counter::kBfqIos, kAll, kRecursive), {}},
    {"blkio.io_service_time", kReadOnly, kDocOnly, show_stat(Counter::kServiceNs, kAll, kOwn), {}},
    {"blkio.io_service_time_recursive", kReadOnly, kDocOnly, show_stat(Counter::kServiceNs, kAll, kRecursive), {}},
    {"blkio.io_wait_time", kReadOnly, kDocOnly, show_stat(Counter::kWaitNs, kAll, kOwn), {}},
    {"blkio.io_wait_time_recursive", kReadOnly, kDocOnly, show_stat(Counter::kWaitNs, kAll, kRecursive), {}},
    {"blkio.io_merged", kReadOnly, kDocOnly, show_stat(Counter::kMerged, kAll, kOwn), {}},
    {"blkio.io_merged_recursive", kReadOnly, kDocOnly, show_stat(Counter::kMerged, kAll, kRecursive), {}},
    {"blkio.io_queued", kReadOnly, kDocOnly, show_stat(Counter::kQueued, kAll, kOwn), {}},
    {"blkio.io_queued_recursive", kReadOnly, kDocOnly, show_stat(Counter::kQueued, kAll, kRecursive), {}},
    {"blkio.time", kReadOnly, kDocOnly, show_time(kAll, kOwn), {}},
    {"blkio.time_recursive", kReadOnly, kDocOnly, show_time(kAll, kRecursive), {}},
    {"blkio.sectors", kReadOnly, kDocOnly, show_sectors(kAll, kOwn), {}},
    {"blkio.sectors_recursive", kReadOnly, kDocOnly, show_sectors(kAll, kRecursive), {}},
    {"blkio.avg_queue_size", kReadOnly, kDocOnly, show_scalar(Scalar::kAvgQueueSize, kAll), {}},
    {"blkio.group_wait_time", kReadOnly, kDocOnly, show_scalar(Scalar::kGroupWaitNs, kAll), {}},
    {"blkio.idle_time", kReadOnly, kDocOnly, show_scalar(Scalar::kIdleNs, kAll), {}},
    {"blkio.empty_time", kReadOnly, kDocOnly, show_scalar(Scalar::kEmptyNs, kAll), {}},
    {"blkio.dequeue", kReadOnly, kDocOnly, show_scalar(Scalar::kDequeues, kAll), {}},
    {"blkio.bfq.io_service_bytes", kReadOnly, kAlways, show_stat(Counter::kBfqBytes, kWeighted, kOwn), {}},
    {"blkio.bfq.io_service_bytes_recursive", kReadOnly, kAlways, show_stat(Counter::kBfqBytes, kWeighted, kRecursive), {}},
    {"blkio.bfq.io_serviced", kReadOnly, kAlways, show_stat(Counter::kBfqIos, kWeighted, kOwn), {}},
    {"blkio.bfq.io_serviced_recursive", kReadOnly, kAlways, show_stat(Counter::kBfqIos, kWeighted, kRecursive), {}},
    {"blkio.bfq.io_service_time", kReadOnly, kDocOnly, show_stat(Counter::kServiceNs, kWeighted, kOwn), {}},
    {"blkio.bfq.io_service_time_recursive", kReadOnly, kDocOnly, show_stat(Counter::kServiceNs, kWeighted, kRecursive), {}},
    {"blkio.bfq.io_wait_time", kReadOnly, kDocOnly, show_stat(Counter::kWaitNs, kWeighted, kOwn), {}},
    {"blkio.bfq.io_wait_time_recursive", kReadOnly, kDocOnly, show_stat(Counter::kWaitNs, kWeighted, kRecursive), {}},
    {"blkio.bfq.io_merged", kReadOnly, kDocOnly, show_stat(Counter::kMerged, kWeighted, kOwn), {}},
    {"blkio.bfq.io_merged_recursive", kReadOnly, kDocOnly, show_stat(Counter::kMerged, kWeighted, kRecursive), {}},
    {"blkio.bfq.io_queued", kReadOnly, kDocOnly, show_stat(Counter::kQueued, kWeighted, kOwn), {}},
    {"blkio.bfq.io_queued_recursive", kReadOnly, kDocOnly, show_stat(Counter::kQueued, kWeighted, kRecursive), {}},
    {"blkio.bfq.time", kReadOnly, kDocOnly, show_time(kWeighted, kOwn), {}},
    {"blkio.bfq.time_recursive", kReadOnly, kDocOnly, show_time(kWeighted, kRecursive), {}},
    {"blkio.bfq.sectors", kReadOnly, kDocOnly, show_sectors(kWeighted, kOwn), {}},
    {"blkio.bfq.sectors_recursive", kReadOnly, kDocOnly, show_sectors(kWeighted, kRecursive), {}},
    {"blkio.bfq.avg_queue_size", kReadOnly, kDocOnly, show_scalar(Scalar::kAvgQueueSize, kWeighted), {}},
    {"blkio.bfq.group_wait_time", kReadOnly, kDocOnly, show_scalar(Scalar::kGroupWaitNs, kWeighted), {}},
    {"blkio.bfq.idle_time", kReadOnly, kDocOnly, show_scalar(Scalar::kIdleNs, kWeighted), {}},
    {"blkio.bfq.empty_time", kReadOnly, kDocOnly, show_scalar(Scalar::kEmptyNs, kWeighted), {}},
    {"blkio.bfq.dequeue", kReadOnly, kDocOnly, show_scalar(Scalar::kDequeues, kWeighted), {}},
    {"blkio.throttle.io_service_bytes", kReadOnly, kAlways, show_stat(Counter::kThrottleBytes, kThrottled, kOwn), {}},
    {"blkio.throttle.io_service_bytes_recursive", kReadOnly, kAlways, show_stat(Counter::kThrottleBytes, kThrottled, kRecursive), {}},
    {"blkio.throttle.io_serviced", kReadOnly, kAlways, show_stat(Counter::kThrottleIos, kThrottled, kOwn), {}},
    {"blkio.throttle.io_serviced_recursive", kReadOnly, kAlways, show_stat(Counter::kThrottleIos, kThrottled, kRecursive), {}},
  };
}
// clang-format on

std::unordered_map<FileNumber, const FileRow*> files_by_number() {
  std::unordered_map<FileNumber, const FileRow*> files;
  for (const FileRow& row : all_files()) {
    const FileNumber number = file_number(row.name);
    const bool is_new = files.emplace(number, &row).second;
    // A file needs another name if this fails: two names have one hash.
    assert(is_new && number != FileNumber::kDirectory);
    static_cast<void>(is_new);
  }
  return files;
}

}  // namespace

const std::vector<FileRow>& all_files() {
  static const std::vector<FileRow> files = make_files();
  return files;
}

bool is_present(const FileRow& row, Dialect dialect, bool in_root) {
  const Place place = dialect == Dialect::kKernel ? row.presence.in_kernel : row.presence.in_doc;
  return place == Place::kEverywhere || place == (in_root ? Place::kRoot : Place::kChildren);
}

const FileRow* find_file(std::string_view name, Dialect dialect, bool in_root) {
  const FileRow* const row = find_file(file_number(name), dialect, in_root);
  return row != nullptr && row->name == name ? row : nullptr;
}

const FileRow* find_file(FileNumber number, Dialect dialect, bool in_root) {
  static const auto files = files_by_number();
  const auto found = files.find(number);
  if (found == files.end() || !is_present(*found->second, dialect, in_root)) return nullptr;
  return found->second;
}

Result<std::string> show_file(const FileServices& services, GroupId id, const FileRow& row) {
  const Group* const group = services.tree.find(id);
  if (group == nullptr) return failure(ENODEV);
  if (!row.show) return failure(EINVAL);
  return row.show(services, *group);
}

Result<void> store_file(const FileServices& services, GroupId id, const FileRow& row,
                        std::string_view text, const Writer& writer) {
  if (text.size() > row.max_write_bytes) return failure(E2BIG);
  Group* const group = services.tree.find(id);
  if (group == nullptr) return failure(ENODEV);
  if (text.empty()) return success();
  if (!row.store) return failure(EINVAL);
  return row.store(services, *group, until_nul(text), writer);
}

}  // namespace blkio::cgroupfs
