// SPDX-License-Identifier: MIT
#include "daemon/options.hpp"

#include <catch2/catch.hpp>
#include <cerrno>
#include <string>
#include <vector>

using namespace blkio;
using namespace blkio::daemon;

namespace {

Result<ParsedCommandLine> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "blkio");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

Options parsed(const std::vector<const char*>& words) {
  Result<ParsedCommandLine> result = parse(words);
  REQUIRE(result);
  REQUIRE_FALSE(result.value().exit_code);
  return result.value().options;
}

/// What the user is told.
std::string complaint(const std::vector<const char*>& words) {
  const Result<ParsedCommandLine> result = parse(words);
  if (result) return "(accepted)";
  CHECK(result.error().number == EINVAL);
  return result.error().context;
}

Options listed(const char* list) {
  Options options;
  REQUIRE(parse_mount_options(list, options));
  return options;
}

std::string list_complaint(const std::string& list) {
  Options options;
  const Result<void> result = parse_mount_options(list, options);
  return result ? "(accepted)" : result.error().context;
}

}  // namespace

TEST_CASE("command line: the ways mount(8) and people call it") {
  CHECK(parsed({"/mnt"}).mountpoint == "/mnt");
  CHECK(parsed({"/mnt"}).source == "blkio");
  CHECK(parsed({"src", "/mnt"}).source == "src");
  CHECK(parsed({"src", "/mnt"}).mountpoint == "/mnt");
  // mount -t fuse blkio DIR -o hierarchy=flat
  const Options fuse = parsed({"/mnt", "-o", "rw,hierarchy=flat,dev,suid"});
  CHECK(fuse.mountpoint == "/mnt");
  CHECK(fuse.hierarchy == Hierarchy::kFlat);
  // mount -t fuse.blkio SRC DIR -n -s -v
  CHECK(parsed({"src", "/mnt", "-n", "-s", "-v", "-o", "rw"}).mountpoint == "/mnt");
  CHECK(parsed({"-o", "rw", "/mnt"}).mountpoint == "/mnt");
  CHECK(parsed({"-orw", "/mnt"}).mountpoint == "/mnt");
  CHECK(parsed({"/mnt", "-o", ""}).mountpoint == "/mnt");
}

TEST_CASE("command line: -o may be repeated") {
  const Options options =
      parsed({"/mnt", "-o", "device=/dev/a", "-o", "device=/dev/b,dialect=kernel"});
  REQUIRE(options.devices.size() == 2);
  CHECK(options.devices[1].path == "/dev/b");
  CHECK(options.dialect == Dialect::kKernel);
}

TEST_CASE("command line: foreground and debug") {
  CHECK_FALSE(parsed({"/mnt"}).foreground);
  CHECK(parsed({"-f", "/mnt"}).foreground);
  CHECK(parsed({"-d", "/mnt"}).foreground);
  CHECK(parsed({"-d", "/mnt"}).log_level == "debug");
}

TEST_CASE("command line: misuse is told, not guessed") {
  CHECK(complaint({}).find("where to mount") != std::string::npos);
  CHECK(complaint({""}).find("where to mount") != std::string::npos);
  CHECK(complaint({"a", "b", "c"}).find("c") != std::string::npos);
  CHECK(complaint({"/mnt", "-o"}).find("-o") != std::string::npos);
  CHECK(complaint({"/mnt", "--speed"}).find("--speed") != std::string::npos);
  CHECK(complaint({"/mnt", "-o", "speed=9"}) == "unknown option: speed");
}

TEST_CASE("command line: remount is remembered") {
  CHECK(parsed({"/mnt", "-o", "remount,rw"}).remount);
  CHECK_FALSE(parsed({"/mnt"}).remount);
}

TEST_CASE("options: words of mount(8) are swallowed, unknown ones named") {
  CHECK(
      list_complaint("rw,nosuid,nodev,noexec,relatime,nofail,_netdev,user=bob,x-systemd.automount,"
                     "comment=x,defaults,nosymfollow") == "(accepted)");
  CHECK(list_complaint(",,") == "(accepted)");
  CHECK(list_complaint("rw,colour") == "unknown option: colour");
  CHECK(list_complaint("colour=red") == "unknown option: colour");
  CHECK(list_complaint("=red") == "unknown option: ");
}

TEST_CASE("options: a value that is missing is named") {
  for (const std::string name : {"device", "devdir", "hierarchy", "dialect", "scheduler", "control",
                                 "transport", "log", "max_held"}) {
    INFO(name);
    CHECK(list_complaint(name).find(name + "=") == 0);
    CHECK(list_complaint(name + "=").find(name + "=") == 0);
  }
  CHECK(list_complaint("group=").find("group=") == 0);
  CHECK(list_complaint("group") == "(accepted)");  // a word of mount(8)
}

TEST_CASE("options: devices") {
  const Options options = listed("device=/dev/sdb,device=259:7=/images/a=b,device=1:0=null:1Mi");
  REQUIRE(options.devices.size() == 3);
  CHECK_FALSE(options.devices[0].number);
  CHECK(options.devices[0].path == "/dev/sdb");
  CHECK(options.devices[1].number == DeviceNumber{259, 7});
  CHECK(options.devices[1].path == "/images/a=b");
  CHECK(options.devices[2].path.empty());
  CHECK(options.devices[2].null_bytes == 1u << 20);
  // What is no number is part of the path.
  CHECK(listed("device=8:x=/y").devices[0].path == "8:x=/y");
  CHECK(list_complaint("device=null:1Mi").find("needs a number") != std::string::npos);
  CHECK(list_complaint("device=1:0=null:511").find("no size") != std::string::npos);
  CHECK(list_complaint("device=1:0=null:").find("no size") != std::string::npos);
  CHECK(list_complaint("device=1:0=null:-1").find("no size") != std::string::npos);
  CHECK(list_complaint("device=1:0=null:9Ei").find("no size") != std::string::npos);
  CHECK(list_complaint("device=1:0=").find("no path") != std::string::npos);
}

TEST_CASE("options: commas and backslashes in values") {
  const Options options = listed(R"(device=/a\,b,device=/c\\d,device=/e\f,devdir=/g\)");
  REQUIRE(options.devices.size() == 3);
  CHECK(options.devices[0].path == "/a,b");
  CHECK(options.devices[1].path == R"(/c\d)");
  CHECK(options.devices[2].path == R"(/e\f)");
  CHECK(options.devdir == R"(/g\)");
}

TEST_CASE("options: any bytes in a path") {
  CHECK(listed("device=/a b\nc\t\"d'").devices[0].path == "/a b\nc\t\"d'");
}

TEST_CASE("options: the last of repeated words counts") {
  CHECK(listed("hierarchy=flat,hierarchy=tree").hierarchy == Hierarchy::kTree);
  const Options options = listed("scheduler=8:0=none,scheduler=8:0=bfq,scheduler=8:16=none");
  CHECK(options.weights.at({8, 0}));
  CHECK_FALSE(options.weights.at({8, 16}));
}

TEST_CASE("options: sizes") {
  // K, M, G are 1000^n; Ki, Mi, Gi are 1024^n.
  CHECK(listed("max_held=2M").max_held_bytes == 2'000'000);
  CHECK(listed("max_held=2Mi").max_held_bytes == 2'097'152);
  CHECK(listed("max_held=1048576").max_held_bytes == 1'048'576);
  for (const char* wrong :
       {"1048575", "1M", "0", "-1", "1Mb", "Mi", "2Ti", "99999999999999999999"}) {
    INFO(wrong);
    CHECK(list_complaint(std::string("max_held=") + wrong).find("max_held=") == 0);
  }
}

TEST_CASE("options: choices and logs") {
  CHECK(list_complaint("hierarchy=forest").find("tree, flat") != std::string::npos);
  CHECK(list_complaint("scheduler=8:0=cfq").find("MAJ:MIN=bfq") != std::string::npos);
  CHECK(list_complaint("log=loud").find("trace") != std::string::npos);
  const Options options = listed("log=warn:/var/log/a:b,group=7:0=/x/y");
  CHECK(options.log_level == "warn");
  CHECK(options.log_file == "/var/log/a:b");
  CHECK(options.default_groups.at({7, 0}) == "/x/y");
}
