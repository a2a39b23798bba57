// SPDX-License-Identifier: MIT
#include "mount_finder.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <mntent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>

namespace blkio::blkioctl {
namespace {

struct EndTable {
  void operator()(FILE* table) const { ::endmntent(table); }
};

bool has_group_files(const std::string& mount) {
  return ::access((mount + "/blkio.reset_stats").c_str(), F_OK) == 0;
}

}  // namespace

Result<std::vector<std::string>> blkio_mounts(const char* table) {
  const std::unique_ptr<FILE, EndTable> file(::setmntent(table, "re"));
  if (file == nullptr) return failure(errno, table);
  std::vector<std::string> mounts;
  while (const mntent* entry = ::getmntent(file.get())) {
    const std::string path = entry->mnt_dir;
    const bool known = std::find(mounts.begin(), mounts.end(), path) != mounts.end();
    if (entry->mnt_type == std::string("fuse.blkio") && !known) mounts.push_back(path);
  }
  return mounts;
}

Result<std::string> choose_mount(const std::vector<std::string>& mounts,
                                 const std::function<bool(const std::string&)>& is_tree) {
  std::vector<std::string> trees;
  std::copy_if(mounts.begin(), mounts.end(), std::back_inserter(trees), is_tree);
  if (trees.empty()) return failure(0, "no blkio mount (is the daemon running?)");
  if (trees.size() == 1) return trees.front();
  return failure(
      0, fmt::format("several blkio mounts, choose one with -m: {}", fmt::join(trees, ", ")));
}

Result<std::string> find_mount(const std::string& asked) {
  if (!asked.empty()) {
    std::error_code error;
    auto path = std::filesystem::canonical(asked, error);
    if (error) return failure(error.value(), asked);
    return path.string();
  }
  BLKIO_TRY(const auto mounts, blkio_mounts("/proc/self/mounts"));
  return choose_mount(mounts, has_group_files);
}

}  // namespace blkio::blkioctl
