// SPDX-License-Identifier: MIT
#include "cgroupfs/core_files.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <iterator>

#include "cgroupfs/group_tree.hpp"

namespace blkio::cgroupfs {

Show show_members(TaskScope scope) {
  return [scope](const FileServices& services, const Group& group) {
    std::string text;
    for (const pid_t id : services.membership.members(group.id, scope)) {
      fmt::format_to(std::back_inserter(text), "{}\n", id);
    }
    return text;
  };
}

Store store_member(TaskScope scope) {
  return [scope](const FileServices& services, Group& group, std::string_view text,
                 const Writer& writer) -> Result<void> {
    BLKIO_TRY(const auto id, parse_pid(text));
    return services.membership.attach(id, scope, group.id, writer);
  };
}

Show show_flag(bool Group::*flag) {
  return [flag](const FileServices&, const Group& group) {
    return std::string(group.*flag ? "1\n" : "0\n");
  };
}

Store store_flag(bool Group::*flag) {
  return [flag](const FileServices&, Group& group, std::string_view text,
                const Writer&) -> Result<void> {
    BLKIO_TRY(const auto number, parse_strict_u64(text));
    group.*flag = number != 0;
    return success();
  };
}

Show show_sane_behavior() {
  return [](const FileServices& services, const Group&) {
    return std::string(services.hierarchy == Hierarchy::kTree ? "1\n" : "0\n");
  };
}

Show show_release_agent() {
  return
      [](const FileServices& services, const Group&) { return services.tree.release_agent + "\n"; };
}

Store store_release_agent() {
  return [](const FileServices& services, Group&, std::string_view text,
            const Writer& writer) -> Result<void> {
    if (services.may_name_agent && !services.may_name_agent(writer)) return failure(EPERM);
    services.tree.release_agent = trim(text);
    return success();
  };
}

}  // namespace blkio::cgroupfs
