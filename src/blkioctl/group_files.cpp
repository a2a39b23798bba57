// SPDX-License-Identifier: MIT
#include "group_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

namespace blkio::blkioctl {

namespace fs = std::filesystem;

Result<std::string> group_name(const std::string& group) {
  return group_path("/", group);
}

Result<std::string> group_path(const std::string& mount, const std::string& group) {
  const fs::path inside = fs::path("/" + group).relative_path();
  if (std::find(inside.begin(), inside.end(), "..") != inside.end()) {
    return failure(EINVAL, group);
  }
  std::string path = (fs::path(mount) / inside).lexically_normal().string();
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

Result<std::string> read_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failure(errno, path);
  std::string text;
  std::array<char, 4096> buffer;
  ssize_t size = 0;
  while ((size = ::read(fd, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  const int error = errno;
  ::close(fd);
  if (size < 0) return failure(error, path);
  return text;
}

Result<void> write_file(const std::string& path, const std::string& value) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return failure(errno, path);
  const ssize_t size = ::write(fd, value.data(), value.size());
  const int error = errno;
  ::close(fd);
  if (size < 0) return failure(error, fmt::format("{}: '{}'", path, value));
  return success();
}

Result<std::vector<std::string>> groups_below(const std::string& group_directory) {
  std::vector<std::string> groups;
  std::error_code error;
  fs::recursive_directory_iterator entry(group_directory, error);
  if (error) return failure(error.value(), group_directory);
  while (entry != fs::recursive_directory_iterator()) {
    const fs::path path = entry->path();
    std::error_code gone;  // a group removed since it was listed is no error
    if (entry->is_directory(gone))
      groups.push_back(fs::path(path).lexically_relative(group_directory));
    entry.increment(error);
    if (error) return failure(error.value(), path.string());
  }
  std::sort(groups.begin(), groups.end());
  return groups;
}

}  // namespace blkio::blkioctl
