// SPDX-License-Identifier: MIT
#include "pid_namespace.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace blkio::control_plane {
namespace {

// Of Linux 6.11 (include/uapi/linux/nsfs.h), which older headers lack.
constexpr unsigned long kPidFromNamespace = _IOR(0xb7, 0x6, int);
constexpr unsigned long kPidInNamespace = _IOR(0xb7, 0x8, int);

struct Identity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const Identity&) const = default;
};

std::string namespace_path(pid_t tid) {
  return fmt::format("/proc/{}/ns/pid", tid);
}

Identity identity_of(const struct stat& stat) {
  return {stat.st_dev, stat.st_ino};
}

Identity identity_of(int fd) {
  struct stat stat {};
  return ::fstat(fd, &stat) == 0 ? identity_of(stat) : Identity{};
}

Result<Identity> identity_of(const std::string& path) {
  struct stat stat {};
  if (::stat(path.c_str(), &stat) != 0) return failure(errno, path);
  return identity_of(stat);
}

/// The ids of the task from our namespace down to its own; empty: it is gone.
std::vector<pid_t> ids_of(pid_t tid) {
  std::ifstream status(fmt::format("/proc/{}/status", tid));
  constexpr std::string_view kTag = "NSpid:";
  std::vector<pid_t> ids;
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with(kTag)) continue;
    std::istringstream words(line.substr(kTag.size()));
    for (pid_t id = 0; words >> id;) ids.push_back(id);
    break;
  }
  return ids;
}

/// The namespace that is `levels` above the task's own.
Identity ancestor_of(pid_t tid, std::size_t levels) {
  int fd = ::open(namespace_path(tid).c_str(), O_RDONLY | O_CLOEXEC);
  for (; fd >= 0 && levels > 0; --levels) {
    const int above = ::ioctl(fd, NS_GET_PARENT);
    ::close(fd);
    fd = above;
  }
  if (fd < 0) return {};
  const Identity identity = identity_of(fd);
  ::close(fd);
  return identity;
}

template <class Visit>
void for_each_number_in(const std::string& path, Visit visit) {
  DIR* const directory = ::opendir(path.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    const pid_t number = std::atoi(entry->d_name);
    if (number > 0) visit(number);
  }
  ::closedir(directory);
}

/// Speaks of the tasks with the ids of one namespace; without one, of none.
class ForeignMembership final : public Membership {
 public:
  ForeignMembership(Membership& ours, std::optional<PidNamespace> theirs)
      : ours_(ours), theirs_(std::move(theirs)) {}

  Result<void> attach(pid_t id, TaskScope scope, GroupId group, const Writer& writer) override {
    // 0 is the writer, whom the kernel names by our id whatever its own namespace.
    if (id == 0) return ours_.attach(0, scope, group, writer);
    const pid_t known_as = theirs_ ? theirs_->to_ours(id) : 0;
    if (known_as == 0) return failure(ESRCH, fmt::format("task {} of another namespace", id));
    return ours_.attach(known_as, scope, group, writer);
  }

  std::vector<pid_t> members(GroupId group, TaskScope scope) override {
    std::vector<pid_t> ids;
    if (!theirs_) return ids;
    for (const pid_t tid : ours_.members(group, scope)) {
      if (const pid_t id = theirs_->from_ours(tid); id != 0) ids.push_back(id);
    }
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  bool has_tasks(GroupId group) override { return ours_.has_tasks(group); }

 private:
  Membership& ours_;
  std::optional<PidNamespace> theirs_;
};

}  // namespace

Result<std::optional<PidNamespace>> PidNamespace::of(pid_t tid, Method method) {
  BLKIO_TRY(const auto own, identity_of(std::string("/proc/self/ns/pid")));
  const std::string path = namespace_path(tid);
  const auto theirs = identity_of(path);
  if (theirs && theirs.value() == own) return std::optional<PidNamespace>();
  const std::vector<pid_t> ids = ids_of(tid);
  // Without root we may not look into other users' links, but everybody's status.
  if (ids.size() == 1) return std::optional<PidNamespace>();
  if (ids.empty()) return failure(ESRCH, path);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failure(errno, path);
  return std::optional(PidNamespace(fd, ids.size() - 1, method));
}

PidNamespace::~PidNamespace() {
  if (fd_ >= 0) ::close(fd_);
}

// -1: this kernel cannot tell.
pid_t PidNamespace::ask_kernel(unsigned long question, pid_t id) const {
  if (method_ == Method::kStatusFiles) return -1;
  const int answer = ::ioctl(fd_, question, static_cast<unsigned long>(id));
  if (answer >= 0) return answer;
  return errno == ESRCH ? 0 : -1;
}

pid_t PidNamespace::id_in_status(pid_t tid) const {
  const std::vector<pid_t> ids = ids_of(tid);
  if (ids.size() <= depth_) return 0;
  // As deep as this namespace, but is it in this one?
  const bool here = ancestor_of(tid, ids.size() - 1 - depth_) == identity_of(fd_);
  return here ? ids[depth_] : 0;
}

pid_t PidNamespace::from_ours(pid_t tid) const {
  const pid_t told = ask_kernel(kPidInNamespace, tid);
  return told >= 0 ? told : id_in_status(tid);
}

pid_t PidNamespace::to_ours(pid_t id) const {
  const pid_t told = ask_kernel(kPidFromNamespace, id);
  if (told >= 0) return told;
  pid_t found = 0;
  for_each_number_in("/proc", [&](pid_t tgid) {
    if (found != 0) return;
    for_each_number_in(fmt::format("/proc/{}/task", tgid), [&](pid_t tid) {
      const std::vector<pid_t> ids = ids_of(tid);
      const bool possible = ids.size() > depth_ && ids[depth_] == id;
      if (found == 0 && possible && id_in_status(tid) == id) found = tid;
    });
  });
  return found;
}

std::shared_ptr<Membership> membership_seen_by(Membership& ours, pid_t opener) {
  if (opener <= 0) return std::make_shared<ForeignMembership>(ours, std::nullopt);
  auto theirs = PidNamespace::of(opener);
  if (!theirs) return std::make_shared<ForeignMembership>(ours, std::nullopt);
  if (!theirs.value()) return nullptr;
  return std::make_shared<ForeignMembership>(ours, std::move(theirs).value());
}

}  // namespace blkio::control_plane
