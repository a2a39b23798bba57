// SPDX-License-Identifier: MIT
// What the kernel tells of tasks. The input is the text of a /proc/TID/stat, status or cgroup, or
// the name of a program in them (a task chooses its name freely, and may choose one that looks like
// the rest of the file), or a datagram of the proc connector.
#include "control_plane/proc_files.hpp"

#include <fmt/format.h>

#include <span>
#include <string>
#include <string_view>

#include "control_plane/cgroup_hierarchy.hpp"
#include "control_plane/proc_connector.hpp"
#include "fuzz/fuzz_target.hpp"

namespace blkio::fuzz {
namespace {

using control_plane::parse_connector_message;
using control_plane::parse_stat;
using control_plane::parse_status;
using control_plane::path_in_hierarchy;
using control_plane::TaskEvent;

void check_any_text(std::string_view text) {
  if (const auto stat = parse_stat(text)) {
    require(text.find(')') != std::string_view::npos, "stat has a name in brackets");
    require(!stat->dead() || stat->exiting(), "the dead have gone");
  }
  if (parse_status(text)) {
    require(text.find("Tgid:") != std::string_view::npos, "status names its process");
    require(parse_status(std::string(text) + "Groups:\t0 \n").has_value(),
            "lines behind the uids do not matter");
  }
}

void check_any_name(std::string_view name) {
  // Fields 3 to 52; those that are read are the 3rd, 4th, 9th, 22nd and later ones as 0.
  const std::string rest =
      " Z 77 1 1 0 -1 4194308 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0 18446744073709551615 0 0 0 0 0 0 0"
      " 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
  const auto stat = parse_stat(fmt::format("1 ({}){}", name, rest));
  require(stat.has_value(), "a name cannot spoil stat");
  require(stat->state == 'Z' && stat->ppid == 77 && stat->flags == 4194308U &&
              stat->start_ticks == 4711,
          "a name cannot change what stat says");
}

void check_cgroups(std::string_view text) {
  constexpr std::string_view kLabel = "name=blkio-fuzz";
  if (text.find(kLabel) != std::string_view::npos) {
    const auto path = path_in_hierarchy(text, kLabel);
    require(!path || path->find('\n') == std::string_view::npos, "a path stays in its line");
    return;
  }
  require(!path_in_hierarchy(text, kLabel), "a path is that of its hierarchy");
  const std::string more = fmt::format("{}\n7:{}:/a:b/c\n", text, kLabel);
  require(path_in_hierarchy(more, kLabel) == "/a:b/c", "other lines do not hide a path");
}

void check_datagram(std::string_view bytes) {
  const auto event = parse_connector_message(std::as_bytes(std::span(bytes)));
  if (!event) return;
  require(event->kind <= TaskEvent::Kind::kExit, "an event is one we use");
}

void check_all(std::string_view text) {
  check_any_text(text);
  check_cgroups(text);
  check_datagram(text);
  check_any_name(text);
}

}  // namespace
}  // namespace blkio::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  blkio::fuzz::check_all(blkio::fuzz::text_of(data, size));
  return 0;
}
