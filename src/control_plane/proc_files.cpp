// SPDX-License-Identifier: MIT
#include "proc_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string>

namespace blkio::control_plane {
namespace {

// status begins with the lines we read; the list of groups behind them may be long.
constexpr std::size_t kTextBytes = 2048;

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

// The next word of the line; text shrinks to what follows it.
std::string_view next_word(std::string_view& text) {
  const auto begin = std::min(text.find_first_not_of(" \t"), text.size());
  const auto end = std::min(text.find_first_of(" \t\n", begin), text.size());
  const auto word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

// What follows "Name:" on its line.
std::optional<std::string_view> line_of(std::string_view text, std::string_view name) {
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    if (end == std::string_view::npos) return std::nullopt;  // a cut line is not to be trusted
    const auto line = text.substr(at, end - at);
    if (line.starts_with(name)) return line.substr(name.size());
    at = end + 1;
  }
  return std::nullopt;
}

Result<std::string_view> read_text(int root, const char* path, std::array<char, kTextBytes>& text) {
  const int fd = ::openat(root, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failure(errno, path);
  const ssize_t size = ::read(fd, text.data(), text.size());
  const int error = errno;
  ::close(fd);
  if (size < 0) return failure(error, path);
  return std::string_view(text.data(), static_cast<std::size_t>(size));
}

struct CloseDir {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<std::vector<pid_t>> numbers_in(int root, const char* path) {
  const int fd = ::openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failure(errno, path);
  const std::unique_ptr<DIR, CloseDir> directory(::fdopendir(fd));
  if (directory == nullptr) {
    ::close(fd);
    return failure(ENOMEM, path);
  }
  std::vector<pid_t> numbers;
  while (const dirent* entry = ::readdir(directory.get())) {
    pid_t number = 0;
    if (parse_number(std::string_view(entry->d_name), number)) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace

std::optional<ProcStat> parse_stat(std::string_view text) {
  const auto name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 1);
  // Fields are numbered as in proc_pid_stat(5); the name was the second.
  ProcStat stat;
  for (int field = 3; field <= 22; ++field) {
    const auto word = next_word(text);
    if (word.empty()) return std::nullopt;
    bool good = true;
    if (field == 3) stat.state = word[0];
    if (field == 4) good = parse_number(word, stat.ppid);
    if (field == 9) good = parse_number(word, stat.flags);
    if (field == 22) good = parse_number(word, stat.start_ticks);
    if (!good) return std::nullopt;
  }
  for (int field = 23; field < 31; ++field) next_word(text);
  if (!parse_number(next_word(text), stat.pending)) stat.pending = 0;
  for (int field = 32; field < 39; ++field) next_word(text);
  if (!parse_number(next_word(text), stat.cpu)) stat.cpu = 0;
  return stat;
}

std::optional<ProcStatus> parse_status(std::string_view text) {
  const auto tgid = line_of(text, "Tgid:");
  const auto uids = line_of(text, "Uid:");  // real, effective, saved, file system
  if (!tgid || !uids) return std::nullopt;
  ProcStatus status;
  std::string_view rest = *tgid;
  if (!parse_number(next_word(rest), status.tgid)) return std::nullopt;
  rest = *uids;
  uid_t effective = 0;
  const bool good = parse_number(next_word(rest), status.uid) &&
                    parse_number(next_word(rest), effective) &&
                    parse_number(next_word(rest), status.saved_uid);
  if (!good) return std::nullopt;
  return status;
}

Result<KernelProcFiles> KernelProcFiles::open(const char* root) {
  const int fd = ::open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failure(errno, root);
  return KernelProcFiles(fd);
}

KernelProcFiles::~KernelProcFiles() {
  if (root_ >= 0) ::close(root_);
}

// As a thread of its own: /proc/TID/stat sums up all threads of the process, which takes
// milliseconds where there are thousands (fs/proc/array.c, do_task_stat). What we read of it is the
// same in both.
Result<ProcStat> KernelProcFiles::stat(pid_t tid) {
  const auto path = fmt::format("{0}/task/{0}/stat", tid);
  std::array<char, kTextBytes> buffer;
  BLKIO_TRY(const auto text, read_text(root_, path.c_str(), buffer));
  const auto stat = parse_stat(text);
  if (!stat) return failure(EBADMSG, path);
  return *stat;
}

Result<ProcStatus> KernelProcFiles::status(pid_t tid) {
  const auto path = fmt::format("{}/status", tid);
  std::array<char, kTextBytes> buffer;
  BLKIO_TRY(const auto text, read_text(root_, path.c_str(), buffer));
  const auto status = parse_status(text);
  if (!status) return failure(EBADMSG, path);
  return *status;
}

Result<std::vector<pid_t>> KernelProcFiles::processes() {
  return numbers_in(root_, ".");
}

Result<std::vector<pid_t>> KernelProcFiles::threads(pid_t tgid) {
  return numbers_in(root_, fmt::format("{}/task", tgid).c_str());
}

Result<std::string> KernelProcFiles::cgroups(pid_t tid) const {
  const auto path = fmt::format("{}/cgroup", tid);
  const int fd = ::openat(root_, path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failure(errno, path);
  std::string text;
  std::array<char, kTextBytes> part;
  ssize_t size = 0;
  while ((size = ::read(fd, part.data(), part.size())) > 0) {
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  const int error = errno;
  ::close(fd);
  if (size < 0) return failure(error, path);
  return text;
}

}  // namespace blkio::control_plane
