// SPDX-License-Identifier: MIT
#include "cgroupfs/node.hpp"

#include <cerrno>

#include "cgroupfs/file_table.hpp"

namespace blkio::cgroupfs {
namespace {

constexpr std::string_view kTrusted = "trusted.";
constexpr std::string_view kSecurity = "security.";

/// EOPNOTSUPP: of a kind that is not kept; EINVAL: nothing but the kind.
Result<void> check_name(std::string_view name) {
  for (const std::string_view kind : {std::string_view("user."), kTrusted, kSecurity}) {
    if (!name.starts_with(kind)) continue;
    return name.size() == kind.size() ? failure(EINVAL) : Result<void>(success());
  }
  return failure(EOPNOTSUPP);
}

std::size_t bytes_of(const Attributes& attributes) {
  std::size_t bytes = 0;
  for (const auto& [name, value] : attributes.xattrs) bytes += value.size();
  return bytes;
}

}  // namespace

Attributes initial_attributes(const Group& group, const FileRow& file) {
  const Creator& by = group.creator;
  return {file.mode, by.uid, by.gid, by.now, by.now, by.now};
}

Attributes attributes(const Group& group, const FileRow* file) {
  if (file == nullptr) return group.directory;
  const auto found = group.files.find(file_number(file->name));
  return found == group.files.end() ? initial_attributes(group, *file) : found->second;
}

Attributes& own_attributes(Group& group, const FileRow* file) {
  if (file == nullptr) return group.directory;
  return group.files.try_emplace(file_number(file->name), initial_attributes(group, *file))
      .first->second;
}

Result<void> set_xattr(Attributes& attributes, std::string_view name, std::string_view value,
                       XattrMode mode) {
  BLKIO_TRY(check_name(name));
  const auto found = attributes.xattrs.find(name);
  const bool exists = found != attributes.xattrs.end();
  if (exists && mode == XattrMode::kCreate) return failure(EEXIST);
  if (!exists && mode == XattrMode::kReplace) return failure(ENODATA);
  if (!exists && attributes.xattrs.size() >= kMaxXattrs) return failure(ENOSPC);
  const std::size_t replaced = exists ? found->second.size() : 0;
  if (bytes_of(attributes) - replaced + value.size() > kMaxXattrBytes) return failure(ENOSPC);
  attributes.xattrs.insert_or_assign(std::string(name), std::string(value));
  return success();
}

Result<std::string> get_xattr(const Attributes& attributes, std::string_view name) {
  BLKIO_TRY(check_name(name));
  const auto found = attributes.xattrs.find(name);
  if (found == attributes.xattrs.end()) return failure(ENODATA);
  return found->second;
}

Result<void> remove_xattr(Attributes& attributes, std::string_view name) {
  BLKIO_TRY(check_name(name));
  const auto found = attributes.xattrs.find(name);
  if (found == attributes.xattrs.end()) return failure(ENODATA);
  attributes.xattrs.erase(found);
  return success();
}

std::string list_xattrs(const Attributes& attributes, bool privileged) {
  std::string names;
  for (const auto& [name, value] : attributes.xattrs) {
    if (name.starts_with(kTrusted) && !privileged) continue;
    names.append(name).push_back('\0');
  }
  return names;
}

}  // namespace blkio::cgroupfs
