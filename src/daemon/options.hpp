// SPDX-License-Identifier: MIT
/// What the command line asks for.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blkio/result.hpp"
#include "blkio/types.hpp"

namespace blkio::daemon {

struct DeviceOption {
  std::optional<DeviceNumber> number;  ///< MAJ:MIN= in front of the path
  std::string path;                    ///< empty for the null device
  std::uint64_t null_bytes = 0;
  std::string text;  ///< as written, for messages
};

/// What the kernel is to keep of who is in which group.
enum class Mirror : std::uint8_t { kNone, kNamed, kReal };

/// How FUSE requests of the data path travel.
enum class Transport : std::uint8_t { kAuto, kUring, kClassic };

struct Options {
  std::string source = "blkio";  ///< the name shown in /proc/mounts
  std::string mountpoint;
  std::vector<DeviceOption> devices;
  std::string devdir;  ///< empty: the default
  Hierarchy hierarchy = Hierarchy::kTree;
  Dialect dialect = Dialect::kDoc;
  std::map<DeviceNumber, bool> weights;                ///< scheduler=MAJ:MIN=bfq (true) or none
  std::map<DeviceNumber, std::string> default_groups;  ///< group=MAJ:MIN=PATH
  std::optional<unsigned> depth;  ///< requests at a device while groups compete; nullopt: adapts
  std::size_t max_held_bytes = 256u << 20;
  Transport transport = Transport::kAuto;
  unsigned spin_us = 20;
  unsigned engines = 1;            ///< threads of the data path
  Mirror mirror = Mirror::kNamed;  ///< if it can be had
  std::string state;               ///< file that keeps the groups; empty: none does
  std::string control;             ///< socket; empty: the default
  std::string log_level = "info";
  std::string log_file;  ///< empty: stderr in the foreground, syslog otherwise
  bool foreground = false;
  bool debug = false;
  bool remount = false;  ///< mount -o remount: nothing is to be started
};

/// What main() has to do after parsing.
struct ParsedCommandLine {
  Options options;
  std::optional<int> exit_code;  ///< set when --help or --version has been printed
};

/// PATH, MAJ:MIN=PATH or MAJ:MIN=null:SIZE. Errors as of parse_command_line().
Result<DeviceOption> parse_device(std::string_view text);

/// Errors are sentences for the user; their number is EINVAL.
Result<ParsedCommandLine> parse_command_line(int argc, const char* const* argv);

/// One `-o` list, commas escaped by a backslash; exposed for tests.
Result<void> parse_mount_options(std::string_view list, Options& options);

}  // namespace blkio::daemon
