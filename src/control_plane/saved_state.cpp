// SPDX-License-Identifier: MIT
#include "saved_state.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "blkio/limit_words.hpp"
#include "cgroupfs/device_text.hpp"
#include "cgroupfs/file_table.hpp"
#include "cgroupfs/grammar.hpp"
#include "cgroupfs/rule_checks.hpp"
#include "fingerprint.hpp"

namespace blkio::control_plane {
namespace {

using cgroupfs::Attributes;
using cgroupfs::Group;
using nlohmann::json;
using Totals = stats::SchedulingStats::Totals;

// The words of the file. A counter, limit or total that is added gets one; none is ever renamed.
constexpr std::array<std::pair<Counter, const char*>, 7> kCounterWords{{
    {Counter::kThrottleBytes, "throttle_bytes"},
    {Counter::kThrottleIos, "throttle_ios"},
    {Counter::kBfqBytes, "bytes"},
    {Counter::kBfqIos, "ios"},
    {Counter::kServiceNs, "service_ns"},
    {Counter::kWaitNs, "wait_ns"},
    {Counter::kMerged, "merged"},
}};
static_assert(kCounterWords.size() == kCounters - 1, "all but the gauge");

constexpr std::array<std::pair<std::uint64_t Totals::*, const char*>, 8> kTotalWords{{
    {&Totals::time_ns, "time_ns"},
    {&Totals::time_left_ns, "time_left_ns"},
    {&Totals::queue_sizes, "queue_sizes"},
    {&Totals::picks, "picks"},
    {&Totals::group_wait_ns, "group_wait_ns"},
    {&Totals::idle_ns, "idle_ns"},
    {&Totals::empty_ns, "empty_ns"},
    {&Totals::dequeues, "dequeues"},
}};

std::size_t index(Counter counter) {
  return static_cast<std::size_t>(counter);
}

// ---- bytes -------------------------------------------------------------------------------------

bool is_plain(char c) {
  return c > ' ' && c < 0x7f && c != '%' && c != '"' && c != '\\';
}

/// JSON holds no arbitrary bytes; what is not plain ASCII becomes %XX.
std::string escaped(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    if (is_plain(c)) {
      text += c;
    } else {
      fmt::format_to(std::back_inserter(text), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

std::string unescaped(const std::string& text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes += text[i];
    } else {
      bytes += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    }
  }
  return bytes;
}

DeviceNumber device_of(const std::string& text) {
  const auto number = parse_device_number(text);
  if (!number) throw std::invalid_argument(text + " is no device number");
  return *number;
}

json to_json(GroupId group) {
  return static_cast<std::uint32_t>(group);
}
GroupId group_id(const json& value) {
  return GroupId{value.get<std::uint32_t>()};
}

// ---- groups ------------------------------------------------------------------------------------

json to_json(const Attributes& from) {
  json value = {{"own", {from.mode, from.uid, from.gid}},
                {"times", {from.accessed, from.modified, from.changed}}};
  for (const auto& [name, bytes] : from.xattrs) value["xattrs"][escaped(name)] = escaped(bytes);
  return value;
}

Attributes attributes_from(const json& value) {
  const json& own = value.at("own");
  const json& times = value.at("times");
  Attributes to{own.at(0), own.at(1), own.at(2), times.at(0), times.at(1), times.at(2)};
  if (value.contains("xattrs")) {
    for (const auto& [name, bytes] : value.at("xattrs").items()) {
      to.xattrs[unescaped(name)] = unescaped(bytes);
    }
  }
  return to;
}

json to_json(const Weights& weights) {
  json value = {{"value", weights.value}};
  for (const auto& [device, weight] : weights.of_device) value["devices"][to_text(device)] = weight;
  return value;
}

Weights weights_from(const json& record, const char* key) {
  Weights weights;
  if (!record.contains(key)) return weights;
  const json& value = record.at(key);
  weights.value = value.at("value");
  if (!value.contains("devices")) return weights;
  for (const auto& [device, weight] : value.at("devices").items()) {
    weights.of_device[device_of(device)] = weight;
  }
  return weights;
}

bool is_default(const Weights& weights) {
  return weights.value == kDefaultWeight && weights.of_device.empty();
}

// What a set says beside its rates; left out where it is as nobody set it.
constexpr std::array<std::pair<std::uint64_t DeviceRules::*, const char*>, 2> kNumberWords{{
    {&DeviceRules::iops_size, "iops_size"},
    {&DeviceRules::max_hold_ms, "max_hold_ms"},
}};
constexpr std::array<std::pair<bool DeviceRules::*, const char*>, 2> kFlagWords{{
    {&DeviceRules::dry_run, "dry_run"},
    {&DeviceRules::qemu_strict, "qemu_strict"},
}};
constexpr auto kBurst = "_max";
constexpr auto kBurstLength = "_max_length";
constexpr auto kSharedWith = "shared_with";
constexpr auto kTokensMax = "tokens_max";
constexpr auto kTokensRefill = "tokens_refill";

void put_rate(json& value, const std::string& word, const RateRule& rule) {
  const RateRule unset;
  if (rule.per_second) value[word] = *rule.per_second;
  if (rule.burst_per_second != unset.burst_per_second) value[word + kBurst] = rule.burst_per_second;
  if (rule.burst_seconds != unset.burst_seconds) value[word + kBurstLength] = rule.burst_seconds;
}

RateRule rate_from(const json& value, const std::string& word) {
  RateRule rule;
  if (value.contains(word)) rule.per_second = value.at(word).get<std::uint64_t>();
  rule.burst_per_second = value.value(word + kBurst, rule.burst_per_second);
  rule.burst_seconds = value.value(word + kBurstLength, rule.burst_seconds);
  return rule;
}

TokenRule tokens_from(const json& value) {
  TokenRule tokens;
  if (value.contains(kTokensMax)) tokens.max = value.at(kTokensMax).get<std::uint64_t>();
  if (!value.contains(kTokensRefill)) return tokens;
  const std::string text = value.at(kTokensRefill);
  const auto refill = cgroupfs::parse_token_refill(text, cgroupfs::kMaxTokens);
  if (!refill) throw std::invalid_argument(text + " is no refill of tokens");
  tokens.refill = refill.value();
  return tokens;
}

json to_json(const DeviceRules& rules) {
  json value = json::object();
  for (const auto& [limit, word] : kLimitWords) put_rate(value, word, rules.of(limit));
  for (const auto& [number, word] : kNumberWords) {
    if (rules.*number != 0) value[word] = rules.*number;
  }
  for (const auto& [flag, word] : kFlagWords) {
    if (rules.*flag) value[word] = true;
  }
  if (rules.shared_with) value[kSharedWith] = to_text(*rules.shared_with);
  if (rules.tokens.max) value[kTokensMax] = *rules.tokens.max;
  if (rules.tokens.refill) value[kTokensRefill] = cgroupfs::to_text(*rules.tokens.refill);
  return value;
}

DeviceRules rules_from(const json& value) {
  DeviceRules rules;
  for (const auto& [limit, word] : kLimitWords) rules.of(limit) = rate_from(value, word);
  for (const auto& [number, word] : kNumberWords) rules.*number = value.value(word, rules.*number);
  for (const auto& [flag, word] : kFlagWords) rules.*flag = value.value(word, false);
  if (value.contains(kSharedWith)) rules.shared_with = device_of(value.at(kSharedWith));
  rules.tokens = tokens_from(value);
  return rules;
}

std::string_view name_of(cgroupfs::FileNumber number) {
  for (const cgroupfs::FileRow& row : cgroupfs::all_files()) {
    if (cgroupfs::file_number(row.name) == number) return row.name;
  }
  return {};
}

// ---- counts ------------------------------------------------------------------------------------

json to_json(const OpCounts& counts) {
  return {counts.read, counts.write, counts.discard};
}

OpCounts counts_from(const json& record, const char* part, const char* word) {
  OpCounts counts;
  if (!record.contains(part) || !record.at(part).contains(word)) return counts;
  const json& value = record.at(part).at(word);
  counts.read = value.at(0);
  counts.write = value.at(1);
  counts.discard = value.at(2);
  counts.sync = counts.total();
  return counts;
}

}  // namespace

SavedCounts SavedCounts::of(const stats::DeviceStats& stats) {
  SavedCounts saved;
  for (const auto& [counter, word] : kCounterWords) {
    saved.rows[index(counter)] = {stats.counters.own(counter), stats.counters.inherited(counter)};
  }
  saved.scheduling = stats.scheduling.totals();
  return saved;
}

void SavedCounts::restore_to(stats::DeviceStats& stats) const {
  for (const auto& [counter, word] : kCounterWords) {
    const Row& row = rows[index(counter)];
    stats.counters.restore(counter, row.own, row.inherited);
  }
  stats.scheduling.restore(scheduling);
}

std::uint64_t SavedCounts::print() const {
  Fingerprint print;
  for (const Row& row : rows) {
    for (const OpCounts* counts : {&row.own, &row.inherited}) {
      print.mix(counts->read);
      print.mix(counts->write);
      print.mix(counts->discard);
    }
  }
  for (const auto& [total, word] : kTotalWords) print.mix(scheduling.*total);
  return print.value();
}

// ---- records -----------------------------------------------------------------------------------

json globals_record(const SavedGlobals& globals) {
  json counting = json::array();
  for (const DeviceNumber device : globals.counting) counting.push_back(to_text(device));
  return {{"globals",
           {{"boot", globals.boot},
            {"pid_namespace", globals.pid_namespace},
            {"release_agent", escaped(globals.release_agent)},
            {"counting", std::move(counting)}}}};
}

json group_record(const Group& group) {
  json record = {
      {"group", to_json(group.id)},
      {"parent", to_json(group.parent)},
      {"name", escaped(group.name)},
      {"made", {group.creator.mode, group.creator.uid, group.creator.gid, group.creator.now}},
      {"directory", to_json(group.directory)}};
  for (const auto& [number, attributes] : group.files) {
    const std::string_view name = name_of(number);
    if (!name.empty()) record["files"][std::string(name)] = to_json(attributes);
  }
  if (group.notify_on_release) record["notify_on_release"] = true;
  if (group.clone_children) record["clone_children"] = true;
  for (const auto& [device, rules] : group.rules) {
    record["limits"][to_text(device)] = to_json(rules);
  }
  if (!is_default(group.weights)) record["weight"] = to_json(group.weights);
  if (!is_default(group.leaf_weights)) record["leaf_weight"] = to_json(group.leaf_weights);
  return record;
}

json removal_record(GroupId group) {
  return {{"removed", to_json(group)}};
}

json counts_record(GroupId group, DeviceNumber device, const SavedCounts& counts) {
  json record = {{"counts", to_json(group)}, {"device", to_text(device)}};
  for (const auto& [counter, word] : kCounterWords) {
    const SavedCounts::Row& row = counts.rows[index(counter)];
    if (row.own.total() != 0) record["own"][word] = to_json(row.own);
    if (row.inherited.total() != 0) record["inherited"][word] = to_json(row.inherited);
  }
  for (const auto& [total, word] : kTotalWords) {
    if (counts.scheduling.*total != 0) record["scheduling"][word] = counts.scheduling.*total;
  }
  return record;
}

json members_record(GroupId group, const std::vector<SavedTask>& tasks) {
  json processes = json::array();  // [process, thread, thread ...]
  for (const SavedTask& task : tasks) {
    if (processes.empty() || processes.back().at(0) != task.tgid) {
      processes.push_back(json::array({task.tgid}));
    }
    processes.back().push_back(task.tid);
  }
  return {{"members", to_json(group)},
          {"seen", tasks.empty() ? 0 : tasks.front().seen_ns},
          {"processes", std::move(processes)}};
}

json task_record(const SavedTask& task) {
  return {{"task", task.tid},
          {"process", task.tgid},
          {"whole", task.process},
          {"in", to_json(task.group)},
          {"seen", task.seen_ns}};
}

// ---- their sum ---------------------------------------------------------------------------------

void SavedState::apply(const json& record) {
  if (record.contains("group")) return apply_group(record);
  if (record.contains("removed")) return apply_removal(group_id(record.at("removed")));
  if (record.contains("counts")) return apply_counts(record);
  if (record.contains("members")) return apply_members(record);
  if (record.contains("task")) return apply_task(record);
  if (!record.contains("globals")) return;
  const json& from = record.at("globals");
  globals = {from.at("boot"), from.at("pid_namespace"), unescaped(from.at("release_agent")), {}};
  for (const json& device : from.at("counting")) globals.counting.insert(device_of(device));
}

void SavedState::apply_group(const json& record) {
  const GroupId id = group_id(record.at("group"));
  const json& made = record.at("made");
  Group group;
  group.id = id;
  group.parent = group_id(record.at("parent"));
  group.name = unescaped(record.at("name"));
  group.creator = {made.at(0), made.at(1), made.at(2), made.at(3)};
  group.directory = attributes_from(record.at("directory"));
  if (record.contains("files")) {
    for (const auto& [name, attributes] : record.at("files").items()) {
      group.files[cgroupfs::file_number(name)] = attributes_from(attributes);
    }
  }
  group.notify_on_release = record.value("notify_on_release", false);
  group.clone_children = record.value("clone_children", false);
  if (record.contains("limits")) {
    for (const auto& [device, limits] : record.at("limits").items()) {
      group.rules[device_of(device)] = rules_from(limits);
    }
  }
  group.weights = weights_from(record, "weight");
  group.leaf_weights = weights_from(record, "leaf_weight");
  groups[id].group = std::move(group);
}

void SavedState::apply_removal(GroupId group) {
  groups.erase(group);
  std::erase_if(tasks, [&](const auto& entry) { return entry.second.group == group; });
}

void SavedState::apply_counts(const json& record) {
  const auto group = groups.find(group_id(record.at("counts")));
  if (group == groups.end()) return;
  const DeviceNumber device = device_of(record.at("device"));
  SavedCounts saved;
  for (const auto& [counter, word] : kCounterWords) {
    saved.rows[index(counter)] = {counts_from(record, "own", word),
                                  counts_from(record, "inherited", word)};
  }
  if (record.contains("scheduling")) {
    const json& totals = record.at("scheduling");
    for (const auto& [total, word] : kTotalWords) {
      saved.scheduling.*total = totals.value(word, std::uint64_t{0});
    }
  }
  auto& counts = group->second.counts;
  const auto known = std::find_if(counts.begin(), counts.end(),
                                  [&](const auto& entry) { return entry.first == device; });
  if (known == counts.end()) {
    counts.emplace_back(device, saved);
  } else {
    known->second = saved;
  }
}

void SavedState::apply_members(const json& record) {
  const GroupId group = group_id(record.at("members"));
  std::erase_if(tasks, [&](const auto& entry) { return entry.second.group == group; });
  for (const json& process : record.at("processes")) {
    const pid_t tgid = process.at(0);
    for (std::size_t i = 1; i < process.size(); ++i) {
      const pid_t tid = process.at(i);
      tasks[tid] = {tid, tgid, group, false, record.at("seen")};
    }
  }
}

void SavedState::apply_task(const json& record) {
  const SavedTask task{record.at("task"), record.at("process"), group_id(record.at("in")),
                       record.at("whole"), record.at("seen")};
  if (task.process) {
    std::erase_if(tasks, [&](const auto& entry) { return entry.second.tgid == task.tgid; });
  }
  tasks[task.tid] = task;
}

}  // namespace blkio::control_plane
