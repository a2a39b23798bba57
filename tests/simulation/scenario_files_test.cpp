// SPDX-License-Identifier: MIT
/// Runs the scenarios in scenarios/*.txt: worlds described in a few lines, and what is to come of
/// them. scenarios/README.md has the words.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>

#include "simulation/simulator.hpp"

using namespace blkio;
using simulation::Client;
using simulation::Options;
using simulation::Simulator;
using simulation::Workload;

namespace {

constexpr TimeNs kUs = 1000;

/// A line, word by word; a word too few or of the wrong kind names the line.
class Line {
 public:
  Line(const std::string& text, int number) : words_(text), number_(number) {}

  bool done() {
    words_ >> std::ws;
    return words_.eof();
  }
  std::string word() {
    std::string next;
    if (!(words_ >> next)) fail("a word is missing");
    return next;
  }
  double number() {
    double next = 0;
    if (!(words_ >> next)) fail("a number is missing");
    return next;
  }
  template <class Integer>
  Integer integer() {
    return static_cast<Integer>(number());
  }
  [[noreturn]] void fail(const std::string& why) const {
    throw std::invalid_argument("line " + std::to_string(number_) + ": " + why);
  }

 private:
  std::istringstream words_;
  int number_;
};

Limit limit_of(Line& line) {
  static const std::map<std::string, Limit> kNames = {
      {"read_bps", Limit::kReadBps},   {"write_bps", Limit::kWriteBps},
      {"read_iops", Limit::kReadIops}, {"write_iops", Limit::kWriteIops},
      {"total_bps", Limit::kTotalBps}, {"total_iops", Limit::kTotalIops}};
  const auto found = kNames.find(line.word());
  if (found == kNames.end()) line.fail("no such limit");
  return found->second;
}

class Scenario {
 public:
  explicit Scenario(const std::filesystem::path& path) {
    options_.sharing.weighted = true;
    std::ifstream file(path);
    std::string text;
    for (int number = 1; std::getline(file, text); ++number) {
      Line line(text.substr(0, text.find('#')), number);
      if (!line.done()) take(line);
    }
    if (world_ == nullptr || expectations_.empty()) throw std::invalid_argument("expects nothing");
  }

  /// In words, what is not as expected; empty if all is.
  std::string run() {
    TimeNs end = 0;
    for (const Expectation& each : expectations_) end = std::max(end, each.to);
    world().run_until(end);
    std::string wrong;
    for (const Expectation& each : expectations_) wrong += difference(each);
    return wrong;
  }

 private:
  struct Expectation {
    TimeNs from = 0;
    TimeNs to = 0;
    std::string load;
    bool share = false;  ///< percent of the service of all loads; else bytes a second
    double value = 0;
    double tolerance = 0;  ///< points, or percent
  };

  void take(Line& line) {
    const std::string what = line.word();
    if (what == "disk") {
      options_.disk.service_least_ns = options_.disk.service_most_ns = line.integer<TimeNs>() * kUs;
      options_.disk.depth = line.integer<std::size_t>();
    } else if (what == "depth") {
      options_.sharing.depth = line.integer<unsigned>();
    } else if (what == "hierarchy") {
      options_.hierarchy = line.word() == "flat" ? Hierarchy::kFlat : Hierarchy::kTree;
    } else if (what == "by-turns") {
      options_.sharing.weighted = false;
    } else if (what == "expect") {
      expect(line);
    } else if (what == "at") {
      const TimeNs when = line.integer<TimeNs>() * kMillisecondNs;
      auto doing = action(line.word(), line);
      world().at(when, std::move(doing));
    } else {
      action(what, line)();
    }
    if (!line.done()) line.fail("what is " + line.word() + "?");
  }

  /// What may be said at the start and `at` a later time.
  std::function<void()> action(const std::string& what, Line& line) {
    if (what == "group") {
      const std::string name = line.word();
      const std::uint32_t weight = line.done() ? kDefaultWeight : line.integer<std::uint32_t>();
      const std::uint32_t leaf = line.done() ? kDefaultWeight : line.integer<std::uint32_t>();
      return [=, this] { weigh(name, weight, leaf); };
    }
    if (what == "limit") {
      const std::string name = line.word();
      const Limit limit = limit_of(line);
      RateRule rule;
      rule.per_second = line.integer<std::uint64_t>();
      if (*rule.per_second == 0) rule = {};
      if (!line.done()) rule.burst_per_second = line.integer<std::uint64_t>();
      if (!line.done()) rule.burst_seconds = line.integer<std::uint64_t>();
      return [=, this] { change(name, [=](DeviceRules& rules) { rules.of(limit) = rule; }); };
    }
    if (what == "tokens") {
      const std::string name = line.word();
      TokenRule rule;
      rule.max = line.integer<std::uint64_t>();
      rule.refill = TokenRefill{line.integer<std::uint64_t>()};
      if (*rule.max == 0) rule = {};
      return [=, this] { change(name, [=](DeviceRules& rules) { rules.tokens = rule; }); };
    }
    if (what == "max-hold") {
      const std::string name = line.word();
      const auto ms = line.integer<std::uint64_t>();
      return [=, this] { change(name, [=](DeviceRules& rules) { rules.max_hold_ms = ms; }); };
    }
    if (what == "stop") {
      const std::string name = line.word();
      return [=, this] { world().stop(*loads_.at(name)); };
    }
    if (what == "load") return load(line);
    line.fail("what is " + what + "?");
  }

  template <class F>
  void change(const std::string& name, F&& f) {
    DeviceRules rules = world().rules(group(name));
    f(rules);
    world().set_rules(group(name), rules);
  }

  std::function<void()> load(Line& line) {
    const std::string name = line.word();
    const std::string in = line.word();
    Workload workload;
    workload.op = line.word() == "write" ? Op::kWrite : Op::kRead;
    workload.bytes = line.integer<std::uint64_t>();
    workload.depth = line.integer<int>();
    workload.think_ns = line.done() ? 0 : line.integer<TimeNs>() * kUs;
    return [=, this]() mutable {
      workload.group = group(in);
      loads_[name] = &world().start(workload);
    };
  }

  void expect(Line& line) {
    Expectation each;
    each.from = line.integer<TimeNs>() * kMillisecondNs;
    each.to = line.integer<TimeNs>() * kMillisecondNs;
    each.load = line.word();
    const std::string kind = line.word();
    if (kind != "share" && kind != "rate") line.fail("share or rate?");
    each.share = kind == "share";
    each.value = line.number();
    each.tolerance = line.number();
    expectations_.push_back(each);
  }

  void weigh(const std::string& name, std::uint32_t weight, std::uint32_t leaf) {
    if (name != "/" && !groups_.contains(name)) {
      const std::size_t slash = name.rfind('/');
      groups_[name] = world().add_group(slash == std::string::npos ? GroupId::kRoot
                                                                   : group(name.substr(0, slash)));
    }
    world().set_weights(group(name), weight, leaf);
  }
  GroupId group(const std::string& name) { return name == "/" ? GroupId::kRoot : groups_.at(name); }
  Simulator& world() {
    if (world_ == nullptr) world_ = std::make_unique<Simulator>(options_);
    return *world_;
  }

  static double requests(const Client& client, const Expectation& in) {
    return static_cast<double>(
        std::count_if(client.completed.begin(), client.completed.end(),
                      [&](TimeNs when) { return when > in.from && when <= in.to; }));
  }
  static double service(const Client& client, const Expectation& in) {
    return requests(client, in) *
           static_cast<double>(client.workload.bytes + data_plane::kRequestCostBytes);
  }

  std::string difference(const Expectation& expected) const {
    const Client& client = *loads_.at(expected.load);
    double value = 0;
    double off = 0;
    if (expected.share) {
      double all = 0;
      for (const auto& [name, load] : loads_) all += service(*load, expected);
      value = all == 0 ? 0 : 100 * service(client, expected) / all;
      off = std::abs(value - expected.value);
    } else {
      const double seconds = static_cast<double>(expected.to - expected.from) / kSecondNs;
      value = requests(client, expected) * static_cast<double>(client.workload.bytes) / seconds;
      off = 100 * std::abs(value / expected.value - 1);
    }
    if (off <= expected.tolerance) return {};
    std::ostringstream text;
    text << expected.load << " from " << expected.from / kMillisecondNs << " to "
         << expected.to / kMillisecondNs << " ms: " << value << ", expected " << expected.value
         << " +- " << expected.tolerance << "\n";
    return text.str();
  }

  Options options_;
  std::unique_ptr<Simulator> world_;
  std::map<std::string, GroupId> groups_;
  std::map<std::string, Client*> loads_;
  std::vector<Expectation> expectations_;
};

}  // namespace

TEST_CASE("scenario files") {
  const std::filesystem::path directory = BLKIO_SOURCE_DIR "/tests/simulation/scenarios";
  std::size_t found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() != ".txt") continue;
    ++found;
    INFO(entry.path().filename().string());
    Scenario scenario(entry.path());
    CHECK(scenario.run() == "");
  }
  CHECK(found >= 6);
}
