// SPDX-License-Identifier: MIT
// blkioctl: what a shell would do with the group files, and questions to the daemon.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <filesystem>
#include <string>
#include <vector>

#include "control_client.hpp"
#include "control_plane/control_path.hpp"
#include "group_files.hpp"
#include "mount_finder.hpp"
#include "rule_words.hpp"

namespace {

using namespace blkio;
using namespace blkio::blkioctl;
using nlohmann::json;

constexpr const char* kDevice = "MAJ:MIN or NAME, as `devices` lists them";

// As a shell's.
constexpr int kFailure = 1;
constexpr int kUsage = 2;
constexpr int kCannotExecute = 126;
constexpr int kNotFound = 127;

struct Arguments {
  std::string mount;
  std::string socket;
  std::string group;
  std::string file;
  std::string value;
  std::string device;
  std::vector<std::string> command;
  std::vector<std::string> words;
  bool qemu_strict = false;
  bool reset_levels = false;
  bool dry_run = false;
  bool as_json = false;
};

using Outcome = Result<int>;

Outcome exec_in_group(const Arguments& arguments) {
  BLKIO_TRY(const auto mount, find_mount(arguments.mount));
  BLKIO_TRY(const auto group, group_path(mount, arguments.group));
  BLKIO_TRY(write_file(group + "/cgroup.procs", "0"));
  std::vector<char*> words;
  for (const auto& word : arguments.command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  ::execvp(words.front(), words.data());
  const int error = errno;
  fmt::print(stderr, "blkioctl: {}\n", Error{error, arguments.command.front()}.to_string());
  return error == ENOENT ? kNotFound : kCannotExecute;
}

Outcome set_value(const Arguments& arguments) {
  BLKIO_TRY(const auto mount, find_mount(arguments.mount));
  BLKIO_TRY(const auto group, group_path(mount, arguments.group));
  BLKIO_TRY(write_file(group + "/" + arguments.file, arguments.value));
  return 0;
}

Outcome get_value(const Arguments& arguments) {
  BLKIO_TRY(const auto mount, find_mount(arguments.mount));
  BLKIO_TRY(const auto group, group_path(mount, arguments.group));
  BLKIO_TRY(const auto text, read_file(group + "/" + arguments.file));
  fmt::print("{}", text);
  return 0;
}

Outcome list_groups(const Arguments& arguments) {
  BLKIO_TRY(const auto mount, find_mount(arguments.mount));
  BLKIO_TRY(const auto group, group_path(mount, arguments.group));
  BLKIO_TRY(const auto groups, groups_below(group));
  if (arguments.as_json) {
    fmt::print("{}\n", json(groups).dump(2, ' ', false, json::error_handler_t::replace));
    return 0;
  }
  for (const auto& name : groups) fmt::print("{}\n", name);
  return 0;
}

Result<json> ask(const Arguments& arguments, const json& request) {
  std::string socket = arguments.socket;
  if (socket.empty()) {
    BLKIO_TRY(const auto mount, find_mount(arguments.mount));
    BLKIO_TRY(socket, control_plane::control_path(mount));
  }
  return ask_daemon(socket, request);
}

std::string plain(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Outcome show_status(const Arguments& arguments) {
  BLKIO_TRY(const auto status, ask(arguments, {{"command", "status"}}));
  if (arguments.as_json) {
    fmt::print("{}\n", status.dump(2));
    return 0;
  }
  for (const auto& [key, value] : status.items()) fmt::print("{}: {}\n", key, plain(value));
  return 0;
}

// One line each: its number, then all that is known of it.
Outcome show_devices(const Arguments& arguments) {
  BLKIO_TRY(const auto answer, ask(arguments, {{"command", "devices"}}));
  const auto devices = answer.value("devices", json::array());
  if (arguments.as_json) {
    fmt::print("{}\n", devices.dump(2));
    return 0;
  }
  for (const auto& device : devices) {
    fmt::print("{}", plain(device.value("device", json("?"))));
    for (const auto& [key, value] : device.items()) {
      if (key != "device") fmt::print(" {}={}", key, plain(value));
    }
    fmt::print("\n");
  }
  return 0;
}

/// PATH or MAJ:MIN=PATH for a daemon that is not in our directory.
std::string absolute_device(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::size_t from = equals == std::string::npos ? 0 : equals + 1;
  const std::string path = text.substr(from);
  if (path.empty() || path.starts_with("null:")) return text;
  return text.substr(0, from) + std::filesystem::absolute(path).string();
}

Outcome add_device(const Arguments& arguments) {
  const std::string device = absolute_device(arguments.device);
  BLKIO_TRY(const auto added, ask(arguments, {{"command", "device add"}, {"device", device}}));
  if (arguments.as_json) {
    fmt::print("{}\n", added.dump(2));
  } else {
    fmt::print("{} {}\n", plain(added.value("device", json("?"))),
               plain(added.value("path", json("?"))));
  }
  return 0;
}

Outcome remove_device(const Arguments& arguments) {
  BLKIO_TRY(ask(arguments, {{"command", "device remove"}, {"device", arguments.device}}));
  return 0;
}

Outcome set_scheduler(const Arguments& arguments) {
  BLKIO_TRY(ask(
      arguments,
      {{"command", "scheduler"}, {"device", arguments.device}, {"scheduler", arguments.value}}));
  return 0;
}

// ---- limits and tokens of a group on a device --------------------------------------------------

/// Of a question about a group and a device.
Result<json> ask_place(const Arguments& arguments, const char* command, json request) {
  BLKIO_TRY(const auto group, group_name(arguments.group));
  request["command"] = command;
  request["group"] = group;
  request["device"] = arguments.device;
  return ask(arguments, request);
}

Outcome set_throttle(const Arguments& arguments) {
  BLKIO_TRY(auto request, throttle_request(arguments.words));
  if (arguments.qemu_strict) request["qemu_strict"] = true;
  if (arguments.dry_run) request["dry_run"] = true;
  request["reset_levels"] = arguments.reset_levels;
  BLKIO_TRY(ask_place(arguments, "throttle set", std::move(request)));
  return 0;
}

Outcome set_tokens(const Arguments& arguments) {
  BLKIO_TRY(auto request, tokens_request(arguments.words));
  BLKIO_TRY(ask_place(arguments, "tokens set", std::move(request)));
  return 0;
}

/// NAME=VALUE, the words that `set` takes.
std::string as_word(const std::string& name, const json& value) {
  if (value.is_boolean()) return fmt::format("{}={}", name, value.get<bool>() ? 1 : 0);
  return fmt::format("{}={}", name, plain(value));
}

Outcome get_throttle(const Arguments& arguments) {
  BLKIO_TRY(const auto answer, ask_place(arguments, "throttle get", json::object()));
  if (arguments.as_json) {
    fmt::print("{}\n", answer.dump(2));
    return 0;
  }
  for (const auto& name : throttle_names()) fmt::print("{}\n", as_word(name, answer.at(name)));
  return 0;
}

Outcome get_tokens(const Arguments& arguments) {
  BLKIO_TRY(const auto answer, ask_place(arguments, "tokens get", json::object()));
  if (arguments.as_json) {
    fmt::print("{}\n", answer.dump(2));
    return 0;
  }
  for (const auto* name : {"tokens-max", "tokens-refill", "io_count", "io_rate", "io_tokens"}) {
    if (answer.contains(name)) fmt::print("{}\n", as_word(name, answer.at(name)));
  }
  return 0;
}

using Action = Outcome (*)(const Arguments&);

struct CommandLine {
  CLI::App app{"Works with the groups of a blkio mount, and asks its daemon.", "blkioctl"};
  Arguments arguments;
  Action action = nullptr;

  CommandLine();

 private:
  CLI::App* command(const char* name, const char* description, Action does) {
    return command(app, name, description, does);
  }
  CLI::App* command(CLI::App& of, const char* name, const char* description, Action does) {
    CLI::App* added = of.add_subcommand(name, description);
    added->callback([this, does] { action = does; });
    return added;
  }
  void group_and_file(CLI::App* to) {
    to->add_option("GROUP", arguments.group, "path below the mount; / is the root group")
        ->required();
    to->add_option("FILE", arguments.file, "name of the file, such as blkio.bfq.weight")
        ->required();
  }
  CLI::App* group_and_device(CLI::App* to) {
    to->add_option("GROUP", arguments.group, "path below the mount; / is the root group")
        ->required();
    to->add_option("DEVICE", arguments.device, kDevice)->required();
    return to;
  }
  void throttle_commands();
  void tokens_commands();
  void json_flag(CLI::App* to) { to->add_flag("--json", arguments.as_json, "print JSON"); }
};

CommandLine::CommandLine() {
  app.set_version_flag("-V,--version", "blkioctl " BLKIO_VERSION);
  app.add_option("-m,--mount", arguments.mount, "the blkio mount, if there are several")
      ->type_name("MOUNT");
  app.add_option("-s,--socket", arguments.socket,
                 "the daemon's control socket, if it was started with control=")
      ->type_name("SOCKET");

  CLI::App* exec = command("exec", "put a command into a group and run it", exec_in_group);
  exec->add_option("-g,--group", arguments.group, "path below the mount; / is the root group")
      ->type_name("GROUP")
      ->required();
  exec->add_option("CMD", arguments.command, "the command and its arguments, after --")->required();

  json_flag(command("status", "tell how the daemon works", show_status));
  json_flag(command("devices", "list the proxied devices", show_devices));

  CLI::App* device = app.add_subcommand("device", "proxy a device, or one less, while running");
  device->require_subcommand(1);
  CLI::App* added = command(*device, "add", "proxy a device", add_device);
  added->add_option("DEVICE", arguments.device, "PATH, MAJ:MIN=PATH or MAJ:MIN=null:SIZE")
      ->required();
  json_flag(added);
  command(*device, "remove", "end it; its rules and counters go with it", remove_device)
      ->add_option("DEVICE", arguments.device, kDevice)
      ->required();

  CLI::App* scheduler = command("scheduler", "tell whether weights act on a device", set_scheduler);
  scheduler->add_option("DEVICE", arguments.device, kDevice)->required();
  scheduler->add_option("SCHEDULER", arguments.value, "bfq or none")->required();

  throttle_commands();
  tokens_commands();

  CLI::App* set = command("set", "write a value to a file of a group", set_value);
  group_and_file(set);
  set->add_option("VALUE", arguments.value, "written as it is, in one piece")->required();

  group_and_file(command("get", "print a file of a group", get_value));

  CLI::App* list = command("ls", "list the groups below a group", list_groups);
  list->add_option("GROUP", arguments.group, "path below the mount (the root group)");
  json_flag(list);
}

void CommandLine::throttle_commands() {
  CLI::App* throttle = app.add_subcommand("throttle", "all limits of a group on a device at once");
  throttle->require_subcommand(1);
  CLI::App* set = group_and_device(
      command(*throttle, "set", "replace them; what is not named is unset", set_throttle));
  set->add_option(
         "LIMIT=N", arguments.words,
         "bps, bps_rd, bps_wr, iops, iops_rd, iops_wr, each with _max and _max_length too; "
         "iops_size; max_hold; shared=DEVICE")
      ->required();
  set->add_flag("--qemu-strict", arguments.qemu_strict, "QEMU's arithmetic and all of its rules");
  set->add_flag("--reset-levels", arguments.reset_levels, "what has been used is forgotten");
  set->add_flag("--dry-run", arguments.dry_run, "account and report, hold nobody");
  json_flag(group_and_device(command(*throttle, "get", "print them", get_throttle)));
}

void CommandLine::tokens_commands() {
  CLI::App* tokens = app.add_subcommand("tokens", "the tokens of a group on a device");
  tokens->require_subcommand(1);
  group_and_device(command(*tokens, "set", "change them; what is not named stays", set_tokens))
      ->add_option("TOKENS", arguments.words,
                   "tokens-max=N, tokens-refill=N, N@Tms or N/s@Tms; or credit=N/s@Tms")
      ->required();
  json_flag(group_and_device(command(*tokens, "get", "print them", get_tokens)));
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line;
  try {
    line.app.parse(argc, argv);
  } catch (const CLI::Success& help) {  // --help, --version
    return line.app.exit(help);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "blkioctl: {} (try --help)\n", error.what());
    return kUsage;
  }
  if (line.action == nullptr) {
    fmt::print(stderr, "blkioctl: a command is required (try --help)\n");
    return kUsage;
  }
  const auto outcome = line.action(line.arguments);
  if (outcome) return outcome.value();
  fmt::print(stderr, "blkioctl: {}\n", outcome.error().to_string());
  return kFailure;
}
