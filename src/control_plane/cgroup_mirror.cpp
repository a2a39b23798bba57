// SPDX-License-Identifier: MIT
#include "cgroup_mirror.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <thread>
#include <utility>

namespace blkio::control_plane {
namespace {

constexpr const char* kMark = "trusted.blkio";  // its value: the group's name
constexpr std::size_t kMaxName = 4096;
constexpr auto kRetryEvery = std::chrono::milliseconds(5);

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

const char* file_of(TaskScope scope) {
  return scope == TaskScope::kThread ? "tasks" : "cgroup.procs";
}

bool is_directory(int parent, const std::string& name) {
  struct stat stat {};
  return ::fstatat(parent, name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(stat.st_mode);
}

/// Names the kernel may refuse for a directory although the group may have them.
bool wants_another_name(int error) {
  return error == EEXIST || error == EINVAL || error == ENAMETOOLONG || error == EPERM ||
         error == ENOTDIR;
}

Result<std::string> read_all(int fd) {
  std::string text;
  for (std::size_t step = 4096;; step = std::min<std::size_t>(2 * step, 1 << 20)) {
    const std::size_t used = text.size();
    text.resize(used + step);
    const ssize_t size = ::read(fd, text.data() + used, step);
    if (size < 0) return failure(errno);
    text.resize(used + static_cast<std::size_t>(size));
    if (size == 0) return text;
  }
}

Result<void> write_id(int fd, pid_t id) {
  const std::string text = std::to_string(id);
  if (::write(fd, text.data(), text.size()) < 0) return failure(errno);
  return success();
}

std::vector<pid_t> parse_ids(std::string_view text) {
  std::vector<pid_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    pid_t id = 0;
    const auto [behind, error] = std::from_chars(at, end, id);
    if (error != std::errc{}) break;
    ids.push_back(id);
    at = behind == end ? end : behind + 1;
  }
  return ids;
}

std::vector<std::string> subdirectories(int parent) {
  std::vector<std::string> names;
  const int fd = ::openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return names;
  DIR* const directory = ::fdopendir(fd);
  if (directory == nullptr) {
    ::close(fd);
    return names;
  }
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.push_back(name);
  }
  ::closedir(directory);
  return names;
}

/// The group's name a directory of ours bears; nullopt: it is not ours.
std::optional<std::string> mark_of(int directory) {
  std::string name(kMaxName, '\0');
  const ssize_t size = ::fgetxattr(directory, kMark, name.data(), name.size());
  if (size < 0) return std::nullopt;
  name.resize(static_cast<std::size_t>(size));
  return name;
}

Result<Fd> open_at(int parent, const char* name, int flags) {
  Fd fd(::openat(parent, name, flags | O_CLOEXEC));
  if (fd.get() < 0) return failure(errno, name);
  return fd;
}

/// A directory for a group whose name the kernel refuses: an earlier daemon's, or a new one.
Result<std::string> make_substitute(int parent, GroupId group, std::string_view name) {
  for (std::string& there : subdirectories(parent)) {
    const auto opened = open_at(parent, there.c_str(), O_RDONLY | O_DIRECTORY);
    if (opened && mark_of(opened.value().get()) == name) return std::move(there);
  }
  for (auto number = static_cast<std::uint64_t>(group);; ++number) {
    std::string directory = fmt::format("blkio-group-{}", number);
    if (::mkdirat(parent, directory.c_str(), 0755) == 0) return directory;
    if (errno != EEXIST) return failure(errno, std::move(directory));
  }
}

/// One whole tree of directories on its way out.
class Removal {
 public:
  explicit Removal(int seconds)
      : deadline_(std::chrono::steady_clock::now() + std::chrono::seconds(seconds)) {}

  /// Removes the directories of ours below `directory`; tasks go to `refuge`.
  bool below(int directory, int refuge) {
    bool all = true;
    for (const std::string& name : subdirectories(directory)) {
      auto opened = open_at(directory, name.c_str(), O_RDONLY | O_DIRECTORY);
      if (!opened) continue;
      const int child = opened.value().get();
      const bool ours = mark_of(child).has_value();
      all = below(child, ours ? refuge : child) && all;
      if (ours) all = remove(directory, name, child, refuge) && all;
    }
    return all;
  }

 private:
  bool remove(int parent, const std::string& name, int directory, int refuge) {
    for (;;) {
      if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno != EBUSY) return true;
      if (std::chrono::steady_clock::now() > deadline_) return false;
      if (!evacuate(directory, refuge)) std::this_thread::sleep_for(kRetryEvery);
    }
  }

  /// True if somebody moved.
  static bool evacuate(int directory, int refuge) {
    const auto from = open_at(directory, "cgroup.procs", O_RDONLY);
    const auto to = open_at(refuge, "cgroup.procs", O_WRONLY);
    if (!from || !to) return false;
    const auto text = read_all(from.value().get());
    if (!text) return false;
    bool moved = false;
    for (const pid_t id : parse_ids(text.value())) {
      if (write_id(to.value().get(), id)) moved = true;
    }
    return moved;
  }

  std::chrono::steady_clock::time_point deadline_;
};

}  // namespace

Result<std::unique_ptr<CgroupMirror>> CgroupMirror::open(const CgroupHierarchy& hierarchy) {
  BLKIO_TRY(auto proc, KernelProcFiles::open());
  const int root = ::fcntl(hierarchy.root, F_DUPFD_CLOEXEC, 0);
  if (root < 0) return failure(errno, "mirror");
  std::unique_ptr<CgroupMirror> mirror(new CgroupMirror(hierarchy, root, std::move(proc)));
  BLKIO_TRY(mirror->members(GroupId::kRoot, TaskScope::kThread));
  return mirror;
}

CgroupMirror::CgroupMirror(const CgroupHierarchy& hierarchy, int root, KernelProcFiles proc)
    : root_(root),
      label_(hierarchy.label),
      prefix_(hierarchy.prefix),
      named_(hierarchy.named),
      proc_(std::move(proc)) {
  nodes_[GroupId::kRoot];
}

CgroupMirror::~CgroupMirror() {
  ::close(root_);
}

// Step by step: a path may be longer than the kernel takes at once.
Result<int> CgroupMirror::open_directory(GroupId group) const {
  std::vector<std::string> upwards;
  {
    const std::lock_guard lock(mutex_);
    while (group != GroupId::kRoot) {
      const auto found = nodes_.find(group);
      if (found == nodes_.end()) return failure(ENODEV, "mirror");
      upwards.push_back(found->second.directory);
      group = found->second.parent;
    }
  }
  Fd at(::fcntl(root_, F_DUPFD_CLOEXEC, 0));
  if (at.get() < 0) return failure(errno, "mirror");
  for (auto name = upwards.rbegin(); name != upwards.rend(); ++name) {
    BLKIO_TRY(auto next, open_at(at.get(), name->c_str(), O_RDONLY | O_DIRECTORY));
    at = std::move(next);
  }
  return at.release();
}

Result<int> CgroupMirror::open_file(GroupId group, const char* name, int flags) const {
  BLKIO_TRY(const int directory, open_directory(group));
  const Fd closed_at_the_end(directory);
  BLKIO_TRY(auto file, open_at(directory, name, flags));
  return file.release();
}

Result<void> CgroupMirror::add(GroupId group, GroupId parent, std::string_view name) {
  BLKIO_TRY(const int fd, open_directory(parent));
  const Fd parent_directory(fd);
  BLKIO_TRY(auto directory, make_directory(fd, group, name));
  const std::lock_guard lock(mutex_);
  nodes_[parent].children[directory] = group;
  nodes_[group] = {parent, std::move(directory), {}};
  return success();
}

// The directory has the group's name where possible, for who looks at /proc/PID/cgroup.
Result<std::string> CgroupMirror::make_directory(int parent, GroupId group,
                                                 std::string_view name) const {
  std::string directory(name);
  if (::mkdirat(parent, directory.c_str(), 0755) != 0) {
    if (errno == EEXIST && is_directory(parent, directory)) return directory;
    if (!wants_another_name(errno)) return failure(errno, directory);
    BLKIO_TRY(directory, make_substitute(parent, group, name));
  }
  BLKIO_TRY(const auto made, open_at(parent, directory.c_str(), O_RDONLY | O_DIRECTORY));
  // Without the mark a later daemon takes it for somebody else's; not worth refusing the group.
  ::fsetxattr(made.get(), kMark, name.data(), name.size(), 0);
  return directory;
}

Result<void> CgroupMirror::remove(GroupId group) {
  GroupId parent{};
  std::string directory;
  {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(group);
    if (found == nodes_.end()) return failure(ENODEV, "mirror");
    parent = found->second.parent;
    directory = found->second.directory;
  }
  BLKIO_TRY(const int fd, open_directory(parent));
  const Fd parent_directory(fd);
  // ENOENT: somebody removed it by hand; the group is to go, so much the better.
  if (::unlinkat(fd, directory.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return failure(errno, directory);
  }
  const std::lock_guard lock(mutex_);
  nodes_[parent].children.erase(directory);
  nodes_.erase(group);
  return success();
}

Result<void> CgroupMirror::rename(GroupId group, std::string_view name) {
  GroupId parent{};
  std::string old_name;
  {
    const std::lock_guard lock(mutex_);
    const auto found = nodes_.find(group);
    if (found == nodes_.end()) return failure(ENODEV, "mirror");
    parent = found->second.parent;
    old_name = found->second.directory;
  }
  BLKIO_TRY(const int fd, open_directory(parent));
  const Fd parent_directory(fd);
  std::string directory(name);
  if (::renameat(fd, old_name.c_str(), fd, directory.c_str()) != 0) {
    if (!wants_another_name(errno)) return failure(errno, directory);
    directory = old_name;
  }
  BLKIO_TRY(const auto renamed, open_at(fd, directory.c_str(), O_RDONLY | O_DIRECTORY));
  if (mark_of(renamed.get())) ::fsetxattr(renamed.get(), kMark, name.data(), name.size(), 0);
  const std::lock_guard lock(mutex_);
  nodes_[parent].children.erase(old_name);
  nodes_[parent].children[directory] = group;
  nodes_[group].directory = directory;
  return success();
}

Result<void> CgroupMirror::attach(pid_t id, TaskScope scope, GroupId group) {
  BLKIO_TRY(const int fd, open_file(group, file_of(scope), O_WRONLY));
  const Fd file(fd);
  const auto written = write_id(fd, id);
  if (!written) return failure(written.error().number, fmt::format("task {}", id));
  return success();
}

// The kernel makes the list anew at the first read after open, sorted and unique.
Result<std::vector<pid_t>> CgroupMirror::members(GroupId group, TaskScope scope) {
  BLKIO_TRY(const int fd, open_file(group, file_of(scope), O_RDONLY));
  const Fd file(fd);
  BLKIO_TRY(const auto text, read_all(fd));
  return parse_ids(text);
}

Result<GroupId> CgroupMirror::group_of(pid_t tid) {
  BLKIO_TRY(const auto text, proc_.cgroups(tid));
  const auto path = path_in_hierarchy(text, label_);
  if (!path) return failure(ENODATA, label_);
  return group_at(*path);
}

GroupId CgroupMirror::group_at(std::string_view path) const {
  if (!path.starts_with(prefix_)) return GroupId::kRoot;
  path.remove_prefix(prefix_.size());
  const std::lock_guard lock(mutex_);
  GroupId group = GroupId::kRoot;
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    const auto name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty()) continue;
    const auto& children = nodes_.at(group).children;
    const auto child = children.find(std::string(name));
    if (child == children.end()) break;
    group = child->second;
  }
  return group;
}

std::vector<std::string> CgroupMirror::left_behind(GroupId group) const {
  std::vector<std::string> names;
  const auto directory = open_directory(group);
  if (!directory) return names;
  const Fd closed_at_the_end(directory.value());
  for (const std::string& name : subdirectories(directory.value())) {
    const auto opened = open_at(directory.value(), name.c_str(), O_RDONLY | O_DIRECTORY);
    if (!opened) continue;
    if (auto group_name = mark_of(opened.value().get())) names.push_back(std::move(*group_name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool CgroupMirror::remove_all(const CgroupHierarchy& hierarchy, int seconds) {
  return Removal(seconds).below(hierarchy.root, hierarchy.root);
}

}  // namespace blkio::control_plane
