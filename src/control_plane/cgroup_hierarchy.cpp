// SPDX-License-Identifier: MIT
#include "cgroup_hierarchy.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <regex>
#include <sstream>
#include <thread>
#include <vector>

namespace blkio::control_plane {
namespace {

constexpr std::size_t kMaxHierarchyName = 63;  // kernel/cgroup: MAX_CGROUP_ROOT_NAMELEN - 1
constexpr int kAttempts = 100;
constexpr int kCloseAttempts = 20;
constexpr auto kInterval = std::chrono::milliseconds(10);
constexpr const char* kController = "blkio";

/// A mount of a cgroup-v1 hierarchy with the controller.
struct ControllerMount {
  std::string root;  ///< the group that is its top directory, as /proc/PID/cgroup shows it
  std::string path;
};

std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  return hash;
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const auto first = list.substr(0, list.find(','));
    if (first == word) return true;
    list.remove_prefix(std::min(first.size() + 1, list.size()));
  }
  return false;
}

/// Fields of mountinfo: id parent MAJ:MIN root path options [tag...] - type source super-options
std::vector<ControllerMount> controller_mounts() {
  std::vector<ControllerMount> found;
  std::ifstream lines("/proc/self/mountinfo");
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string word, type, source, options;
    ControllerMount mount;
    fields >> word >> word >> word >> mount.root >> mount.path >> word;
    while (fields >> word && word != "-") continue;
    fields >> type >> source >> options;
    if (type == "cgroup" && has_word(options, kController)) found.push_back(std::move(mount));
  }
  return found;
}

std::string own_cgroups() {
  std::ifstream file("/proc/self/cgroup");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool exists(const std::string& label) {
  return path_in_hierarchy(own_cgroups(), label).has_value();
}

/// Names of all hierarchies that daemons have made, living ones too; see hierarchy_name().
std::vector<std::string> left_hierarchies() {
  static const std::regex kLine("^[0-9]+:name=(blkio-[0-9a-f]{16}-[^:]*):");
  std::vector<std::string> names;
  std::istringstream lines(own_cgroups());
  for (std::string line; std::getline(lines, line);) {
    std::smatch found;
    if (std::regex_search(line, found, kLine)) names.push_back(found[1]);
  }
  return names;
}

std::uint64_t own_mount_namespace() {
  struct stat stat {};
  return ::stat("/proc/self/ns/mnt", &stat) == 0 ? stat.st_ino : 0;
}

/// One daemon at a time: a killed one's lock is gone with it.
Result<int> lock_directory(int fd, const std::string& name) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno == EWOULDBLOCK ? EBUSY : errno;
  ::close(fd);
  return failure(error, fmt::format("{}: used by another daemon", name));
}

/// The top directory of the named hierarchy, made if there is none. The descriptor keeps a mount
/// that is attached to no directory. EBUSY: the hierarchy is just being taken down.
Result<int> open_hierarchy(const std::string& name) {
  constexpr const char* kWhat = "a named cgroup hierarchy";
  const int context = ::fsopen("cgroup", FSOPEN_CLOEXEC);
  if (context < 0) return failure(errno, kWhat);
  const bool made = ::fsconfig(context, FSCONFIG_SET_FLAG, "none", nullptr, 0) == 0 &&
                    ::fsconfig(context, FSCONFIG_SET_STRING, "name", name.c_str(), 0) == 0 &&
                    ::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  const int mount =
      made ? ::fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC) : -1;
  int error = errno;
  ::close(context);
  if (mount < 0) return failure(error, kWhat);
  const int root = ::openat(mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  error = errno;
  ::close(mount);
  if (root < 0) return failure(error, kWhat);
  return root;
}

Result<CgroupHierarchy> open_controller_mount(const ControllerMount& mount) {
  const int fd = ::open(mount.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failure(errno, mount.path);
  struct statfs stat {};
  int error = 0;
  if (::fstatfs(fd, &stat) != 0 || stat.f_type != CGROUP_SUPER_MAGIC) error = ENOENT;
  if (error == 0 && ::faccessat(fd, "cgroup.procs", W_OK, AT_EACCESS) != 0) error = errno;
  if (error != 0) {
    ::close(fd);
    return failure(error, mount.path);
  }
  BLKIO_TRY(const int locked, lock_directory(fd, mount.path));
  const std::string prefix = mount.root == "/" ? "" : mount.root;
  return CgroupHierarchy{locked, kController, prefix, false};
}

}  // namespace

std::optional<std::string_view> path_in_hierarchy(std::string_view text, std::string_view label) {
  // A line: number ":" labels, separated by commas ":" path. Names may hold anything but newlines.
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const auto first = line.find(':');
    if (first == std::string_view::npos) continue;
    const auto second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    auto labels = line.substr(first + 1, second - first - 1);
    while (!labels.empty()) {
      const auto word = labels.substr(0, labels.find(','));
      if (word == label) return line.substr(second + 1);
      labels.remove_prefix(std::min(word.size() + 1, labels.size()));
    }
  }
  return std::nullopt;
}

std::string hierarchy_name(const std::string& mountpoint, std::uint64_t mount_namespace) {
  const auto hash = fnv1a(fmt::format("{}:{}", mount_namespace, mountpoint));
  std::string name = fmt::format("blkio-{:016x}-", hash);
  std::string tail = mountpoint.substr(std::min<std::size_t>(1, mountpoint.size()));
  const std::size_t space = kMaxHierarchyName - name.size();
  if (tail.size() > space) tail.erase(0, tail.size() - space);
  std::replace_if(
      tail.begin(), tail.end(),
      [](unsigned char c) { return std::isalnum(c) == 0 && c != '.' && c != '_'; }, '-');
  return name + tail;
}

Result<CgroupHierarchy> open_named_hierarchy(const std::string& mountpoint) {
  const std::string name = hierarchy_name(mountpoint, own_mount_namespace());
  auto root = open_hierarchy(name);
  for (int attempt = 0; attempt < kAttempts && !root && root.error().number == EBUSY; ++attempt) {
    std::this_thread::sleep_for(kInterval);  // the one of an earlier daemon is on its way out
    root = open_hierarchy(name);
  }
  if (!root) return failure(root.error().number, root.error().context);
  BLKIO_TRY(const int locked, lock_directory(root.value(), name));
  return CgroupHierarchy{locked, "name=" + name, "", true};
}

void close_hierarchy(const CgroupHierarchy& hierarchy) {
  ::close(hierarchy.root);
  if (!hierarchy.named) return;
  for (int attempt = 0; attempt < kCloseAttempts && exists(hierarchy.label); ++attempt) {
    std::this_thread::sleep_for(kInterval);
    sweep_hierarchies();
  }
}

void sweep_hierarchies() {
  for (const std::string& name : left_hierarchies()) {
    const auto root = open_hierarchy(name);
    if (root) ::close(root.value());
  }
}

Result<CgroupHierarchy> open_real_hierarchy(const std::string& mountpoint) {
  std::vector<ControllerMount> mounts = controller_mounts();
  std::stable_partition(mounts.begin(), mounts.end(),
                        [&](const ControllerMount& mount) { return mount.path == mountpoint; });
  Error reason{ENOENT, "no blkio hierarchy is mounted"};
  for (const ControllerMount& mount : mounts) {
    auto opened = open_controller_mount(mount);
    if (opened) return opened;
    reason = opened.error();
  }
  return failure(reason.number, reason.context);
}

}  // namespace blkio::control_plane
