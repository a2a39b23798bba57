// SPDX-License-Identifier: MIT
#include "control_plane/rule_commands.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "unit/cgroupfs/cgroup_fixture.hpp"

using namespace blkio;
using namespace blkio::test;
using control_plane::RuleCommands;
using nlohmann::json;

namespace {

struct Changes final : cgroupfs::ChangeListener {
  void group_changed(GroupId group) override { changed.push_back(group); }
  void group_removed(GroupId, GroupId) override {}
  std::vector<GroupId> changed;
};

struct Commands : DocCgroup {
  Commands() { services.changes = &changes; }

  json ask(const char* command, const json& more = json::object(), const char* device = "7:0") {
    RuleCommands commands(services, [](const std::string& text) -> std::optional<DeviceNumber> {
      if (text == "7:0" || text == "disk") return kA;
      if (text == "7:1") return kB;
      return std::nullopt;
    });
    json request = {{"command", command}, {"group", "/a"}, {"device", device}};
    request.update(more);
    return commands.answer(request);
  }
  /// Empty, or the reason of the refusal.
  std::string set(const json& limits, const json& more = json::object()) {
    json request = {{"limits", limits}};
    request.update(more);
    const json answer = ask("throttle set", request);
    return answer.at("ok") ? "" : answer.at("error").get<std::string>();
  }
  std::string set_tokens(const json& tokens) {
    const json answer = ask("tokens set", tokens);
    return answer.at("ok") ? "" : answer.at("error").get<std::string>();
  }
  DeviceRules rules() const { return controller.rules(a, kA); }

  Changes changes;
  GroupId a = mkdir("a");
};

const std::string kExclusive =
    "/a 7:0: bps/iops/max total values and read/write values cannot be used at the same time";

}  // namespace

TEST_CASE_METHOD(Commands, "throttle set: a whole set at once, in files, engine and state") {
  CHECK(set({{"bps", 1000},
             {"bps_max", 5000},
             {"bps_max_length", 3},
             {"iops_rd", 20},
             {"iops_size", 4096}},
            {{"max_hold", 250}, {"dry_run", true}, {"qemu_strict", true}})
            .empty());
  CHECK(controller.limits_set() == 1);
  CHECK(rules().of(Limit::kTotalBps) == RateRule{1000, 5000, 3});
  CHECK(rules().of(Limit::kReadIops) == RateRule{20, 0, 1});
  CHECK(rules().of(Limit::kReadBps) == RateRule{});
  CHECK(rules().iops_size == 4096);
  CHECK(rules().max_hold_ms == 250);
  CHECK(rules().dry_run);
  CHECK(rules().qemu_strict);
  CHECK(read(a, "blkio.throttle.total_bps_max_device") == "7:0 5000\n");
  CHECK(tree.find(a)->rules.at(kA) == rules());
  CHECK(changes.changed == std::vector{a});
  CHECK(controller.devices_met(a) == std::vector{kA});
}

TEST_CASE_METHOD(Commands, "throttle set: what is not named is unset, but for tokens") {
  REQUIRE(set_tokens({{"tokens-max", 9}, {"tokens-refill", "3"}}).empty());
  REQUIRE(set({{"bps_rd", 1}, {"bps_rd_max", 8}, {"bps_rd_max_length", 9}, {"iops", 5}},
              {{"max_hold", 7}, {"dry_run", true}, {"qemu_strict", true}})
              .empty());
  CHECK(set({{"bps_rd", 2}}).empty());
  DeviceRules expected;
  expected.of(Limit::kReadBps).per_second = 2;
  expected.tokens = {9, TokenRefill{3}};
  CHECK(rules() == expected);
  CHECK(set({{"bps", 0}, {"iops_wr", 0}}).empty());
  CHECK(rules().of(Limit::kReadBps) == RateRule{});
  REQUIRE(set_tokens({{"tokens-max", 0}, {"tokens-refill", "0"}}).empty());
  CHECK(tree.find(a)->rules.empty());
}

TEST_CASE_METHOD(Commands, "throttle set: a refused set changes nothing") {
  REQUIRE(set({{"iops", 10}}, {{"qemu_strict", true}}).empty());
  const DeviceRules before = rules();
  CHECK(set({{"iops", 10}, {"iops_rd", 10}}, {{"qemu_strict", true}}) == kExclusive);
  CHECK(set({{"bps_max", 10}}) == "/a 7:0: bps_max/iops_max require corresponding bps/iops values");
  CHECK(set({{"bps", 1000000000000001}}) ==
        "/a 7:0: bps/iops/max values must be within [0, 1000000000000000]");
  CHECK(set({{"bps", -150}}) ==  // wraps
        "/a 7:0: bps/iops/max values must be within [0, 1000000000000000]");
  CHECK(set({{"bps", 1}}, {{"max_hold", 4294967296}}) ==
        "/a 7:0: max_hold: should be ms, at most 4294967295");
  CHECK(set({{"bps_rx", 1}}) == "/a 7:0: bps_rx: no such limit");
  CHECK(set({{"bps_max_size", 1}}) == "/a 7:0: bps_max_size: no such limit");
  CHECK_THROWS(set({{"bps", "many"}}));
  CHECK(controller.limits_set() == 1);
  CHECK(tree.find(a)->rules.at(kA) == before);
  CHECK(changes.changed.size() == 1);
  // Where nobody asks for QEMU's rules, a total may stand beside a direction.
  CHECK(set({{"iops", 10}, {"iops_rd", 10}}).empty());
}

TEST_CASE_METHOD(Commands, "throttle set: levels are kept unless told otherwise") {
  CHECK(set({{"bps", 1}}).empty());
  CHECK(controller.levels() == Levels::kKept);
  CHECK(set({{"bps", 1}}, {{"reset_levels", true}}).empty());
  CHECK(controller.levels() == Levels::kReset);
}

TEST_CASE_METHOD(Commands, "throttle set: shared, with limits and without") {
  REQUIRE(set_tokens({{"tokens-max", 9}, {"tokens-refill", "3"}}).empty());
  REQUIRE(set({{"iops", 5}}).empty());
  changes.changed.clear();
  CHECK(ask("throttle set", {{"shared", "disk"}, {"reset_levels", false}}, "7:1").at("ok"));
  CHECK(read(a, "blkio.throttle.total_iops_device") == "7:1 5\n7:0 5\n");
  CHECK(read(a, "blkio.tokens.max_device") == "7:1 9\n7:0 9\n");
  CHECK(changes.changed == std::vector{a});
  CHECK(ask("throttle get", json::object(), "7:1").at("shared") == "7:0");
  CHECK(ask("throttle get").at("shared") == "7:1");
  // Limits replace those of all; the set stays where it is not named.
  CHECK(set({{"bps", 77}}).empty());
  CHECK(read(a, "blkio.throttle.total_bps_device") == "7:1 77\n7:0 77\n");
  CHECK(read(a, "blkio.throttle.total_iops_device").empty());
  CHECK(read(a, "blkio.tokens.max_device") == "7:1 9\n7:0 9\n");
  // What get shows, set takes.
  CHECK(set({{"bps", 77}}, {{"shared", "7:1"}}).empty());
  CHECK(ask("throttle get", json::object(), "7:1").at("shared") == "7:0");
  CHECK(set({{"bps", 5}}, {{"shared", "0"}}).empty());
  CHECK(read(a, "blkio.throttle.total_bps_device") == "7:1 77\n7:0 5\n");
  CHECK(ask("throttle get").at("shared") == "0");
  CHECK(set({}, {{"shared", "0"}}).empty());  // none is shared; a set of no limits
}

TEST_CASE_METHOD(Commands, "throttle set: a refused share changes nothing") {
  REQUIRE(set({{"iops", 5}}).empty());
  CHECK(set({{"iops", 6}}, {{"shared", "9:9"}}) == "/a 7:0: shared=9:9: no such device is proxied");
  CHECK(set({{"iops", 6}}, {{"shared", "disk"}}) == "/a 7:0: shared=disk: it is the same device");
  CHECK(set({{"bps_max", 6}}, {{"shared", "7:1"}}) ==
        "/a 7:0: bps_max/iops_max require corresponding bps/iops values");
  controller.set_apart(kB);
  CHECK(set({{"iops", 6}}, {{"shared", "7:1"}}) == "/a 7:0: apart");
  CHECK(rules().of(Limit::kTotalIops).per_second == 5U);
  CHECK(controller.take_shared().empty());
}

TEST_CASE_METHOD(Commands, "throttle get: 19 numbers of QEMU's and four words of ours") {
  json expected = {{"ok", true},       {"iops_size", 0},       {"max_hold", 0},
                   {"dry_run", false}, {"qemu_strict", false}, {"shared", "0"}};
  for (const char* limit : {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"}) {
    expected[limit] = 0;
    expected[std::string(limit) + "_max"] = 0;
    expected[std::string(limit) + "_max_length"] = 1;
  }
  CHECK(ask("throttle get") == expected);
  CHECK(controller.devices_met(a).empty());
  REQUIRE(set({{"iops_wr", 100}, {"iops_wr_max", 2000}, {"iops_wr_max_length", 60}}).empty());
  REQUIRE(write(a, "blkio.throttle.read_bps_device", "7:0 77") == 0);
  expected["iops_wr"] = 100;
  expected["iops_wr_max"] = 2000;
  expected["iops_wr_max_length"] = 60;
  expected["bps_rd"] = 77;
  CHECK(ask("throttle get", json::object(), "disk") == expected);
}

TEST_CASE_METHOD(Commands, "rule commands: groups and devices that are not there") {
  CHECK(ask("throttle get", {{"group", "/b"}}) ==
        json{{"ok", false}, {"error", "/b: no such group"}});
  CHECK(ask("tokens set", json::object(), "8:0") ==
        json{{"ok", false}, {"error", "8:0: no such device is proxied"}});
  CHECK(ask("throttle set", {{"group", "/"}, {"limits", {{"bps", 5}}}}).at("ok"));
  CHECK(controller.rules(GroupId::kRoot, kA).of(Limit::kTotalBps).per_second == 5U);
  CHECK_THROWS(ask("throttle get", {{"group", 5}}));
  CHECK_FALSE(RuleCommands::takes("throttle"));
}

TEST_CASE_METHOD(Commands, "tokens set: what is not named stays") {
  CHECK(set_tokens({{"tokens-max", 100}}).empty());
  CHECK(rules().tokens == TokenRule{100, std::nullopt});
  CHECK(set_tokens({{"tokens-refill", "20@10ms"}}).empty());
  CHECK(rules().tokens == TokenRule{100, TokenRefill{20, 10, false}});
  REQUIRE(set({{"bps", 5}}).empty());
  CHECK(set_tokens({{"tokens-max", 0}}).empty());
  CHECK(rules().tokens == TokenRule{std::nullopt, TokenRefill{20, 10, false}});
  CHECK(rules().of(Limit::kTotalBps).per_second == 5U);
}

TEST_CASE_METHOD(Commands, "tokens set: xend's credit is a bucket of one interval") {
  struct Row {
    const char* credit;
    std::uint64_t max;
    TokenRefill refill;
  };
  const auto row = GENERATE(values<Row>({
      {"5000/s@50ms", 250, {5000, 50, true}},
      {"1/s@50ms", 1, {1, 50, true}},    // 0.05, rounded up: one request has to fit
      {"30/s@50ms", 2, {30, 50, true}},  // 1.5
      {"7/s@1000ms", 7, {7, 1000, false}},
      {"1/s@60000ms", 60, {1, 60000, true}},
      {"1000000000000000/s@4294967295ms", 1000000000000000, {1000000000000000, 4294967295, true}},
  }));
  CAPTURE(row.credit);
  CHECK(set_tokens({{"tokens-max", 5}}).empty());
  CHECK(set_tokens({{"credit", row.credit}}).empty());
  CHECK(rules().tokens == TokenRule{row.max, row.refill});
  CHECK(set_tokens({{"credit", row.credit}, {"tokens-max", 12345}}).empty());
  CHECK(rules().tokens == TokenRule{12345, row.refill});
  CHECK(set_tokens({{"credit", "0/s@50ms"}}).empty());
  CHECK(rules().tokens == TokenRule{});
}

TEST_CASE_METHOD(Commands, "tokens set: what is refused changes nothing") {
  REQUIRE(set_tokens({{"tokens-max", 5}, {"tokens-refill", "1"}}).empty());
  CHECK(set_tokens({{"credit", "5000"}}) == "/a 7:0: credit=5000: should be N/s@Tms");
  CHECK(set_tokens({{"credit", "5/s@5s"}}) ==
        "/a 7:0: credit=5/s@5s: should be N, N@Tms or N/s@Tms");
  CHECK(set_tokens({{"tokens-refill", "x"}, {"tokens-max", 9}}) ==
        "/a 7:0: tokens-refill=x: should be N, N@Tms or N/s@Tms");
  CHECK(set_tokens({{"tokens-refill", "2"}, {"tokens-max", 1000000000000001}}) ==
        "/a 7:0: tokens-max: should be requests, at most 1000000000000000");
  CHECK(set_tokens({{"tokens-refill", "2"}, {"credit", "2/s@9ms"}}) ==
        "/a 7:0: credit and tokens-refill say the same, give one of them");
  CHECK(rules().tokens == TokenRule{5, TokenRefill{1}});
}

TEST_CASE_METHOD(Commands, "tokens get") {
  CHECK(ask("tokens get") == json{{"ok", true}, {"tokens-max", 0}, {"tokens-refill", "0"}});
  REQUIRE(set_tokens({{"tokens-max", 60000}, {"tokens-refill", "2000@100ms"}}).empty());
  controller.set_token_status(a, kA, {5, 4, -3, {2000, 100, false}, 60000});
  CHECK(ask("tokens get") == json{{"ok", true},
                                  {"tokens-max", 60000},
                                  {"tokens-refill", "2000@100ms"},
                                  {"io_count", 5},
                                  {"io_rate", 4},
                                  {"io_tokens", -3}});
}
