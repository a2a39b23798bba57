// SPDX-License-Identifier: MIT
#include "options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <iostream>

#include "blkio/size_unit.hpp"
#include "cgroupfs/device_text.hpp"

namespace blkio::daemon {
namespace {

/// Words of mount(8) that say nothing to us.
constexpr std::array kSwallowed = {"rw",
                                   "ro",
                                   "dev",
                                   "nodev",
                                   "suid",
                                   "nosuid",
                                   "exec",
                                   "noexec",
                                   "relatime",
                                   "norelatime",
                                   "noatime",
                                   "atime",
                                   "nodiratime",
                                   "diratime",
                                   "strictatime",
                                   "lazytime",
                                   "nolazytime",
                                   "nofail",
                                   "_netdev",
                                   "user",
                                   "nouser",
                                   "users",
                                   "auto",
                                   "noauto",
                                   "owner",
                                   "group",
                                   "defaults",
                                   "sync",
                                   "async",
                                   "dirsync",
                                   "allow_other",
                                   "default_permissions",
                                   "nostrictatime",
                                   "mand",
                                   "nomand",
                                   "silent",
                                   "loud",
                                   "iversion",
                                   "noiversion",
                                   "nosymfollow",
                                   "_rnetdev",
                                   "nogroup",
                                   "noowner",
                                   "nousers"};

bool is_swallowed(std::string_view word) {
  return word.starts_with("x-") || word.starts_with("X-") || word.starts_with("comment=") ||
         word.starts_with("user=") || word.starts_with("uhelper=") ||
         std::find(kSwallowed.begin(), kSwallowed.end(), word) != kSwallowed.end();
}

constexpr unsigned kMostDepth = 4096;
constexpr unsigned kMostSpin = 10'000;
constexpr unsigned kMostEngines = 256;
constexpr std::uint64_t kLeastHeld = 1ull << 20;
constexpr std::uint64_t kMostHeld = 1ull << 40;

auto bad(std::string sentence) {
  return failure(EINVAL, std::move(sentence));
}

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

/// Sizes take K, M, G (1000^n) and Ki, Mi, Gi (1024^n).
std::optional<std::uint64_t> parse_size(std::string_view text) {
  const std::uint64_t factor = take_size_unit(text);
  std::uint64_t number = 0;
  if (!parse_number(text, number) || number > INT64_MAX / factor) return std::nullopt;
  return number * factor;
}

/// "MAJ:MIN=REST" in two.
std::optional<std::pair<DeviceNumber, std::string_view>> split_numbered(std::string_view value) {
  const std::size_t equals = value.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const auto number = parse_device_number(value.substr(0, equals));
  if (!number) return std::nullopt;
  return std::pair{*number, value.substr(equals + 1)};
}

Result<void> add_device(std::string_view value, Options& options) {
  BLKIO_TRY(options.devices.emplace_back(), parse_device(value));
  return success();
}

Result<void> parse_scheduler(std::string_view value, Options& options) {
  const auto numbered = split_numbered(value);
  if (!numbered || (numbered->second != "bfq" && numbered->second != "none")) {
    return bad(fmt::format("scheduler={}: should be MAJ:MIN=bfq or MAJ:MIN=none", value));
  }
  options.weights[numbered->first] = numbered->second == "bfq";
  return success();
}

Result<void> parse_group(std::string_view value, Options& options) {
  const auto numbered = split_numbered(value);
  if (!numbered || numbered->second.empty()) {
    return bad(fmt::format("group={}: should be MAJ:MIN=GROUP", value));
  }
  options.default_groups[numbered->first] = numbered->second;
  return success();
}

Result<void> parse_log(std::string_view value, Options& options) {
  static constexpr std::array kLevels = {"trace", "debug", "info", "warn", "error", "off"};
  const std::size_t colon = value.find(':');
  const std::string_view level = value.substr(0, colon);
  if (std::find(kLevels.begin(), kLevels.end(), level) == kLevels.end()) {
    return bad(fmt::format("log={}: should be LEVEL or LEVEL:FILE, LEVEL one of {}", value,
                           fmt::join(kLevels, ", ")));
  }
  options.log_level = level;
  if (colon != std::string_view::npos) options.log_file = value.substr(colon + 1);
  return success();
}

Result<void> parse_choice(std::string_view name, std::string_view value,
                          std::initializer_list<std::string_view> choices) {
  if (std::find(choices.begin(), choices.end(), value) != choices.end()) return success();
  return bad(fmt::format("{}={}: should be one of {}", name, value, fmt::join(choices, ", ")));
}

Result<void> parse_path(std::string_view name, std::string_view value, std::string& path) {
  if (value.empty()) return bad(fmt::format("{}=: no path", name));
  path = value;
  return success();
}

Result<void> parse_option(std::string_view name, std::string_view value, Options& options) {
  if (name == "device") return add_device(value, options);
  if (name == "scheduler") return parse_scheduler(value, options);
  if (name == "group") return parse_group(value, options);
  if (name == "log") return parse_log(value, options);
  if (name == "devdir") return parse_path(name, value, options.devdir);
  if (name == "state") return parse_path(name, value, options.state);
  if (name == "control") return parse_path(name, value, options.control);
  if (name == "hierarchy") {
    BLKIO_TRY(parse_choice(name, value, {"tree", "flat"}));
    options.hierarchy = value == "tree" ? Hierarchy::kTree : Hierarchy::kFlat;
  } else if (name == "dialect") {
    BLKIO_TRY(parse_choice(name, value, {"doc", "kernel"}));
    options.dialect = value == "doc" ? Dialect::kDoc : Dialect::kKernel;
  } else if (name == "mirror") {
    BLKIO_TRY(parse_choice(name, value, {"none", "named", "real"}));
    options.mirror = value == "none"    ? Mirror::kNone
                     : value == "named" ? Mirror::kNamed
                                        : Mirror::kReal;
  } else if (name == "transport") {
    BLKIO_TRY(parse_choice(name, value, {"auto", "uring", "classic"}));
    options.transport = value == "auto"    ? Transport::kAuto
                        : value == "uring" ? Transport::kUring
                                           : Transport::kClassic;
  } else if (name == "depth") {
    unsigned depth = 0;
    if (!parse_number(value, depth) || depth == 0 || depth > kMostDepth) {
      return bad(
          fmt::format("depth={}: should be a number of requests from 1 to {}", value, kMostDepth));
    }
    options.depth = depth;
  } else if (name == "engines") {
    if (!parse_number(value, options.engines) || options.engines == 0 ||
        options.engines > kMostEngines) {
      return bad(fmt::format("engines={}: should be threads from 1 to {}", value, kMostEngines));
    }
  } else if (name == "spin_us") {
    if (!parse_number(value, options.spin_us) || options.spin_us > kMostSpin) {
      return bad(fmt::format("spin_us={}: should be microseconds from 0 to {}", value, kMostSpin));
    }
  } else if (name == "max_held") {
    const auto size = parse_size(value);
    if (!size || *size < kLeastHeld || *size > kMostHeld) {
      return bad(fmt::format("max_held={}: should be a size of at least 1Mi, at most 1Ti", value));
    }
    options.max_held_bytes = *size;
  } else {
    return bad(fmt::format("unknown option: {}", name));
  }
  return success();
}

std::vector<std::string> split_list(std::string_view list) {
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (list[i] == '\\' && i + 1 < list.size() && (list[i + 1] == ',' || list[i + 1] == '\\')) {
      words.back() += list[++i];
    } else if (list[i] == ',') {
      words.emplace_back();
    } else {
      words.back() += list[i];
    }
  }
  return words;
}

constexpr const char* kOptionHelp = R"(
Options of -o, separated by commas (a comma in a value is written \,):
  device=PATH              proxy this block device; repeatable
  device=MAJ:MIN=PATH      proxy this block device or regular file under that number
  device=MAJ:MIN=null:SIZE a device of zeros, for measurements
  devdir=DIR               where the proxied devices appear (/dev/blkio)
  hierarchy=tree|flat      do limits cover the subtree or the group's own tasks (tree)
  dialect=doc|kernel       file list and formats (doc)
  scheduler=MAJ:MIN=bfq|none   whether weights act on the device (bfq)
  group=MAJ:MIN=GROUP      group of I/O whose task cannot be told (the opener's)
  mirror=none|named|real   the kernel's record of who is in which group (named)
  transport=auto|uring|classic   how FUSE requests travel (auto)
  engines=N                threads that serve the devices (1)
  spin_us=N                look for the next request so long before sleeping (20;
                           0: never, and not for deadlines either)
  depth=N                  requests at a device while groups compete (adaptive)
  max_held=BYTES           payload of held writes per device (256Mi)
  state=FILE               groups, rules, members and counters survive a restart
  control=SOCKET           blkioctl's socket
  log=LEVEL[:FILE]         trace, debug, info, warn, error or off (info)
Words of mount(8) such as rw, nosuid, nofail or x-* are accepted and ignored.

  blkio /mnt/blkio -o device=/dev/sdb
  mkdir /mnt/blkio/test1
  echo "8:16 1048576" > /mnt/blkio/test1/blkio.throttle.read_bps_device
  blkioctl exec -g /test1 -- dd if=/dev/blkio/sdb of=/dev/null bs=4K count=1024
)";

}  // namespace

Result<DeviceOption> parse_device(std::string_view value) {
  DeviceOption device;
  device.text = value;
  std::string_view path = value;
  if (const auto numbered = split_numbered(value)) {
    device.number = numbered->first;
    path = numbered->second;
  }
  if (path.starts_with("null:")) {
    const auto size = parse_size(path.substr(5));
    if (!size || *size < 512) return bad(fmt::format("device={}: no size of a device", value));
    if (!device.number) {
      return bad(
          fmt::format("device={}: the null device needs a number: device=MAJ:MIN={}", value, path));
    }
    device.null_bytes = *size;
  } else if (path.empty()) {
    return bad(fmt::format("device={}: no path", value));
  } else {
    device.path = path;
  }
  return device;
}

Result<void> parse_mount_options(std::string_view list, Options& options) {
  for (const std::string& word : split_list(list)) {
    if (word.empty() || is_swallowed(word)) continue;
    if (word == "remount") {
      options.remount = true;
      continue;
    }
    // A word without its value is taken as one with an empty value: each option tells what it
    // wants.
    const std::string_view text = word;
    const std::size_t equals = std::min(text.find('='), text.size());
    const std::string_view value = text.substr(std::min(equals + 1, text.size()));
    BLKIO_TRY(parse_option(text.substr(0, equals), value, options));
  }
  return success();
}

Result<ParsedCommandLine> parse_command_line(int argc, const char* const* argv) {
  ParsedCommandLine parsed;
  Options& options = parsed.options;
  std::vector<std::string> lists;
  std::vector<std::string> places;
  bool version = false;

  CLI::App app("The cgroup-v1 block I/O controller in user space.", "blkio");
  app.footer(kOptionHelp);
  app.add_flag("-f,--foreground", options.foreground, "stay in the foreground");
  app.add_flag("-d,--debug", options.debug, "foreground, and log what happens");
  app.add_flag("-V,--version", version, "print the version and exit");
  // What mount(8) may hand to a helper: no mtab, sloppy, verbose. In no group: not in the help.
  app.add_flag("-n,-s,-v")->group("");
  app.add_option("-o,--options", lists, "options, see below")
      ->type_name("OPT[,OPT]...")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  app.add_option("place", places, "[SOURCE] MOUNTPOINT; SOURCE is only a name")->expected(0, 2);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    parsed.exit_code = 0;
    return parsed;
  } catch (const CLI::ParseError& error) {
    return bad(fmt::format("{} (try --help)", error.what()));
  }
  if (version) {
    std::cout << "blkio " BLKIO_VERSION "\n";
    parsed.exit_code = 0;
    return parsed;
  }
  for (const std::string& list : lists) BLKIO_TRY(parse_mount_options(list, options));
  if (places.empty() || places.back().empty()) {
    return bad("where to mount? usage: blkio [SOURCE] MOUNTPOINT [-o OPT[,OPT]...] (try --help)");
  }
  if (places.size() == 2) options.source = places.front();
  options.mountpoint = places.back();
  if (options.debug) {
    options.foreground = true;
    options.log_level = "debug";
  }
  return parsed;
}

}  // namespace blkio::daemon
