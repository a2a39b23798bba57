// SPDX-License-Identifier: MIT
#include "rule_commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "blkio/qemu_names.hpp"
#include "cgroupfs/device_text.hpp"
#include "cgroupfs/grammar.hpp"
#include "cgroupfs/group_tree.hpp"
#include "cgroupfs/rule_checks.hpp"
#include "cgroupfs/rules.hpp"
#include "control_socket.hpp"

namespace blkio::control_plane {
namespace {

using cgroupfs::kMaxHoldMs;
using cgroupfs::kMaxTokens;
using nlohmann::json;

constexpr auto kThrottleSet = "throttle set";
constexpr auto kThrottleGet = "throttle get";
constexpr auto kShared = "shared";
constexpr auto kTokensSet = "tokens set";
constexpr auto kTokensGet = "tokens get";

/// The number of a set that a name of QEMU's means; nullptr: none.
std::uint64_t* number_called(DeviceRules& rules, std::string_view name) {
  if (name == qemu::kQmpIopsSize) return &rules.iops_size;
  for (const auto& known : qemu::kLimitNames) {
    if (!name.starts_with(known.qmp)) continue;
    const std::string_view behind = name.substr(known.qmp.size());
    RateRule& rule = rules.of(known.limit);
    if (behind.empty()) return &rule.per_second.emplace();
    if (behind == qemu::kQmpMax) return &rule.burst_per_second;
    if (behind == qemu::kQmpMaxLength) return &rule.burst_seconds;
  }
  return nullptr;
}

/// The device whose limits they are; of the first one, another; 0: nobody else's. As it is taken.
std::string shared_by(const cgroupfs::Group& group, DeviceNumber device) {
  const auto first = cgroupfs::rules_of(group, device).shared_with;
  if (!first) return "0";
  if (*first != device) return to_text(*first);
  for (const DeviceNumber each : cgroupfs::sharers(group, device)) {
    if (each != device) return to_text(each);
  }
  return "0";
}

/// Who only joins or leaves names no limits, and so unsets none.
bool says_nothing_else(const json& request) {
  const auto named = [&](const char* word) { return request.contains(word); };
  return named(kShared) && !named("limits") && !named("max_hold") && !named("dry_run") &&
         !named("qemu_strict");
}

/// QEMU's 0 is no limit.
void drop_zeros(DeviceRules& rules) {
  for (RateRule& rule : rules.limits) {
    if (rule.per_second == 0U) rule.per_second.reset();
  }
}

/// Empty if all is well, else why not.
std::string read_throttle(const json& request, DeviceRules& rules) {
  const json limits = request.value("limits", json::object());
  for (const auto& [name, number] : limits.items()) {
    std::uint64_t* const place = number_called(rules, name);
    if (place == nullptr) return fmt::format("{}: no such limit", name);
    *place = number.get<std::uint64_t>();
  }
  drop_zeros(rules);
  rules.max_hold_ms = request.value("max_hold", std::uint64_t{0});
  rules.dry_run = request.value("dry_run", false);
  rules.qemu_strict = request.value("qemu_strict", false);
  if (rules.max_hold_ms > kMaxHoldMs) {
    return fmt::format("max_hold: should be ms, at most {}", kMaxHoldMs);
  }
  const auto checked = cgroupfs::check_rules(rules);
  return checked ? "" : checked.error().to_string();
}

/// What is handed out in one period, rounded up.
std::uint64_t tokens_of_a_period(const TokenRefill& refill) {
  if (!refill.of_a_second) return refill.tokens;
  __extension__ typedef unsigned __int128 Product;
  const Product thousandths = Product{refill.tokens} * refill.period_ms;
  return static_cast<std::uint64_t>(std::min<Product>((thousandths + 999) / 1000, kMaxTokens));
}

std::string read_refill(const std::string& word, const std::string& text, TokenRule& tokens) {
  const auto refill = cgroupfs::parse_token_refill(text, kMaxTokens);
  if (!refill) return fmt::format("{}={}: should be N, N@Tms or N/s@Tms", word, text);
  tokens.refill = refill.value();
  if (tokens.refill->tokens == 0) tokens.refill.reset();
  return "";
}

std::string read_credit(const std::string& text, TokenRule& tokens) {
  if (text.find("/s@") == std::string::npos) {
    return fmt::format("credit={}: should be N/s@Tms", text);
  }
  std::string fault = read_refill("credit", text, tokens);
  if (!fault.empty()) return fault;
  tokens.max.reset();
  if (tokens.refill) tokens.max = tokens_of_a_period(*tokens.refill);
  return "";
}

std::string read_tokens(const json& request, TokenRule& tokens) {
  if (request.contains("credit") && request.contains("tokens-refill")) {
    return "credit and tokens-refill say the same, give one of them";
  }
  std::string fault;
  if (request.contains("credit")) fault = read_credit(request.at("credit"), tokens);
  if (request.contains("tokens-refill")) {
    fault = read_refill("tokens-refill", request.at("tokens-refill"), tokens);
  }
  if (!fault.empty() || !request.contains("tokens-max")) return fault;
  const std::uint64_t max = request.at("tokens-max");
  if (max > kMaxTokens)
    return fmt::format("tokens-max: should be requests, at most {}", kMaxTokens);
  tokens.max = max == 0 ? std::nullopt : std::optional(max);
  return "";
}

}  // namespace

struct RuleCommands::Place {
  cgroupfs::Group* group = nullptr;
  DeviceNumber device;
};

RuleCommands::RuleCommands(cgroupfs::FileServices services, FindDevice find_device)
    : services_(std::move(services)), find_device_(std::move(find_device)) {}

bool RuleCommands::takes(const std::string& command) {
  return command == kThrottleSet || command == kThrottleGet || command == kTokensSet ||
         command == kTokensGet;
}

json RuleCommands::answer(const json& request) {
  const std::string command = request.at("command");
  const std::string group = request.at("group");
  const std::string device = request.at("device");
  Place place{services_.tree.resolve(group), {}};
  if (place.group == nullptr) return refusal(group + ": no such group");
  const auto number = find_device_(device);
  if (!number) return refusal(device + ": no such device is proxied");
  place.device = *number;
  if (command == kThrottleGet) return get_throttle(place);
  if (command == kTokensGet) return get_tokens(place);
  const std::string fault =
      command == kThrottleSet ? set_throttle(place, request) : set_tokens(place, request);
  if (!fault.empty()) return refusal(fmt::format("{} {}: {}", group, device, fault));
  return {{"ok", true}};
}

std::string RuleCommands::set_throttle(const Place& place, const json& request) {
  DeviceRules rules;
  std::string fault = read_throttle(request, rules);
  if (!fault.empty()) return fault;
  fault = share(place, request);
  if (!fault.empty() || says_nothing_else(request)) return fault;
  rules.tokens = cgroupfs::rules_of(*place.group, place.device).tokens;
  apply(place, rules, request.value("reset_levels", false) ? Levels::kReset : Levels::kKept);
  return "";
}

std::string RuleCommands::share(const Place& place, const json& request) {
  if (!request.contains(kShared)) return "";
  cgroupfs::Group& group = *place.group;
  const std::string other = request.at(kShared);
  cgroupfs::meet(services_.controller, group, place.device);
  if (other == "0") {
    cgroupfs::leave(services_.controller, group, place.device);
  } else {
    const auto number = find_device_(other);
    if (!number) return fmt::format("shared={}: no such device is proxied", other);
    if (*number == place.device) return fmt::format("shared={}: it is the same device", other);
    const auto joined = cgroupfs::join(services_.controller, group, place.device, *number);
    if (!joined) return joined.error().context;
  }
  if (services_.changes != nullptr) services_.changes->group_changed(group.id);
  return "";
}

json RuleCommands::get_throttle(const Place& place) {
  const DeviceRules rules = cgroupfs::rules_of(*place.group, place.device);
  json answer = {{"ok", true},
                 {"max_hold", rules.max_hold_ms},
                 {"dry_run", rules.dry_run},
                 {"qemu_strict", rules.qemu_strict},
                 {kShared, shared_by(*place.group, place.device)},
                 {std::string(qemu::kQmpIopsSize), rules.iops_size}};
  for (const auto& known : qemu::kLimitNames) {
    const RateRule& rule = rules.of(known.limit);
    const std::string name(known.qmp);
    answer[name] = rule.per_second.value_or(0);
    answer[name + std::string(qemu::kQmpMax)] = rule.burst_per_second;
    answer[name + std::string(qemu::kQmpMaxLength)] = rule.burst_seconds;
  }
  return answer;
}

std::string RuleCommands::set_tokens(const Place& place, const json& request) {
  DeviceRules rules = cgroupfs::rules_of(*place.group, place.device);
  std::string fault = read_tokens(request, rules.tokens);
  if (fault.empty()) apply(place, rules, Levels::kKept);
  return fault;
}

json RuleCommands::get_tokens(const Place& place) const {
  const TokenRule tokens = cgroupfs::rules_of(*place.group, place.device).tokens;
  json answer = {{"ok", true},
                 {"tokens-max", tokens.max.value_or(0)},
                 {"tokens-refill", cgroupfs::to_text(tokens.refill.value_or(TokenRefill{}))}};
  const auto status = services_.controller.token_status(place.group->id, place.device);
  if (!status) return answer;
  answer["io_count"] = status->io_count;
  answer["io_rate"] = status->io_rate;
  answer["io_tokens"] = status->io_tokens;
  return answer;
}

void RuleCommands::apply(const Place& place, const DeviceRules& rules, Levels levels) {
  cgroupfs::meet(services_.controller, *place.group, place.device);
  cgroupfs::set_rules(services_.controller, *place.group, place.device, rules, levels);
  if (services_.changes != nullptr) services_.changes->group_changed(place.group->id);
}

}  // namespace blkio::control_plane
