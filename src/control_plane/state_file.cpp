// SPDX-License-Identifier: MIT
#include "state_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/crc.hpp>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>

namespace blkio::control_plane {
namespace {

using nlohmann::json;

constexpr int kVersion = 1;
constexpr std::size_t kCrcDigits = 8;

std::uint32_t crc_of(std::string_view text) {
  boost::crc_32_type crc;
  crc.process_bytes(text.data(), text.size());
  return crc.checksum();
}

std::string header(std::size_t lines) {
  return StateFile::line({{"blkio_state", kVersion}, {"lines", lines}});
}

Result<std::string> read_all(int fd) {
  std::string text;
  char block[1 << 16];
  while (true) {
    const ssize_t got = ::read(fd, block, sizeof block);
    if (got < 0) return failure(errno);
    if (got == 0) return text;
    text.append(block, static_cast<std::size_t>(got));
  }
}

Result<void> write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(fd, text.data(), text.size());
    if (done < 0) return failure(errno);
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return success();
}

Result<void> lock(int fd, const std::string& path) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return success();
  if (errno == EWOULDBLOCK) return failure(EBUSY, path + ": another daemon keeps its state here");
  return failure(errno, path);
}

/// The JSON of a line without its newline; nullopt if it is not what was written.
std::optional<json> parse_line(std::string_view line) {
  std::uint32_t crc = 0;
  if (line.size() <= kCrcDigits || line[kCrcDigits] != ' ') return std::nullopt;
  const auto [end, error] = std::from_chars(line.data(), line.data() + kCrcDigits, crc, 16);
  if (error != std::errc() || end != line.data() + kCrcDigits) return std::nullopt;
  line.remove_prefix(kCrcDigits + 1);
  if (crc_of(line) != crc) return std::nullopt;
  return StateFile::parse_record(line);
}

/// Takes a text apart, line by line.
class Reader {
 public:
  Reader(std::string_view text, const std::string& path) : rest_(text), path_(path) {}

  Result<void> read(const StateFile::Visit& visit) {
    BLKIO_TRY(const std::size_t snapshot, read_header());
    while (!rest_.empty()) {
      const bool finished = rest_.find('\n') != std::string_view::npos;
      const bool appended = number_ > snapshot;
      const auto value = parse_line(next());
      if (appended && (!finished || (!value && rest_.empty()))) {
        spdlog::warn("{}: the last line was not finished, it is ignored", path_);
        break;
      }
      if (!value || !finished) return damaged("its checksum is wrong");
      try {
        visit(*value);
      } catch (const std::exception& error) {
        return damaged(error.what());
      }
    }
    if (number_ <= snapshot) return damaged("the file ends here, in the middle of its snapshot");
    return success();
  }

 private:
  Result<std::size_t> read_header() {
    const auto header = parse_line(next());
    if (!header || !header->contains("blkio_state")) return damaged("no blkio state begins so");
    if (header->at("blkio_state") != kVersion) {
      return failure(EINVAL, fmt::format("{}: written by another version of blkio", path_));
    }
    return header->value("lines", std::size_t{0});
  }
  std::string_view next() {
    ++number_;
    const std::size_t end = rest_.find('\n');
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    return line;
  }
  Error damaged(std::string_view why) const {
    return Error{EBADMSG, fmt::format("{}: damaged, line {}: {}; it is left as it is, move it away "
                                      "to start without it",
                                      path_, number_, why)};
  }

  std::string_view rest_;
  const std::string& path_;
  std::size_t number_ = 0;  ///< of the line read last; the header is the first
};

}  // namespace

std::string StateFile::line(const json& value) {
  const std::string text = value.dump();
  return fmt::format("{:08x} {}\n", crc_of(text), text);
}

StateFile::StateFile(boost::asio::io_context& context, std::string path)
    : context_(context), path_(std::move(path)) {}

StateFile::~StateFile() {
  disk_.join();
  *alive_ = false;
  for (const int fd : {fd_, next_}) {
    if (fd >= 0) ::close(fd);
  }
}

Result<std::unique_ptr<StateFile>> StateFile::open(boost::asio::io_context& context,
                                                   const std::string& path, const Visit& visit) {
  std::error_code error;
  const std::string absolute = std::filesystem::absolute(path, error);
  if (error) return failure(error.value(), path);
  std::unique_ptr<StateFile> file(new StateFile(context, absolute));
  file->fd_ = ::open(absolute.c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
  if (file->fd_ < 0 && errno == ENOENT) return file;
  if (file->fd_ < 0) return failure(errno, path);
  BLKIO_TRY(lock(file->fd_, path));
  const auto text = read_all(file->fd_);
  if (!text) return failure(text.error().number, path);
  file->bytes_ = text.value().size();
  if (!text.value().empty()) BLKIO_TRY(parse(text.value(), path, visit));
  return file;
}

std::optional<json> StateFile::parse_record(std::string_view text) {
  bool fractional = false;  // to take 1e300 for an integer is undefined
  const auto look = [&](int, json::parse_event_t, const json& value) {
    fractional = fractional || value.is_number_float();
    return true;
  };
  json record = json::parse(text, look, false);
  if (!record.is_object() || fractional) return std::nullopt;
  return record;
}

Result<void> StateFile::parse(std::string_view text, const std::string& path, const Visit& visit) {
  return Reader(text, path).read(visit);
}

Result<void> StateFile::append(std::string_view lines) {
  if (!whole_) return failure(EIO, path_);
  const auto add = [&](int fd, std::size_t& size) -> Result<void> {
    if (fd < 0) return success();
    Result<void> written = write_all(fd, lines);
    if (written) {
      size += lines.size();
      return success();
    }
    whole_ = false;
    // Half a line would be damage.
    if (::ftruncate(fd, static_cast<off_t>(size)) != 0) {
      spdlog::error("{}: {}", path_, std::generic_category().message(errno));
    }
    return failure(written.error().number, path_);
  };
  BLKIO_TRY(add(fd_, bytes_));
  BLKIO_TRY(add(next_, next_bytes_));
  synced_ = false;
  return success();
}

Result<void> StateFile::write_next(std::string_view snapshot, std::size_t lines) {
  const std::string name = path_ + ".new";
  next_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (next_ < 0) return failure(errno, name);
  const std::string first = header(lines);
  Result<void> written = lock(next_, name);
  if (written) written = write_all(next_, first);
  if (written) written = write_all(next_, snapshot);
  next_bytes_ = first.size() + snapshot.size();
  if (written) return success();
  const Error error = written.error();
  ::close(std::exchange(next_, -1));
  ::unlink(name.c_str());
  return failure(error.number, name);
}

Result<void> StateFile::put_in_place(int next) const {
  const std::string name = path_ + ".new";
  if (::fsync(next) != 0) return failure(errno, name);
  if (::rename(name.c_str(), path_.c_str()) != 0) return failure(errno, path_);
  const std::string directory = std::filesystem::path(path_).parent_path();
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
  return success();
}

void StateFile::replaced(const Result<void>& how) {
  const int next = std::exchange(next_, -1);
  if (!how) {
    spdlog::error("state: {}", how.error().to_string());
    ::close(next);
    return;
  }
  if (fd_ >= 0) ::close(fd_);
  fd_ = next;
  bytes_ = next_bytes_;
  whole_ = true;
}

Result<void> StateFile::replace(std::string_view snapshot, std::size_t lines) {
  BLKIO_TRY(write_next(snapshot, lines));
  boost::asio::post(disk_, [this, alive = alive_, serial = ++serial_, next = next_] {
    boost::asio::post(context_, [this, alive, serial, how = put_in_place(next)] {
      if (*alive && serial == serial_) replaced(how);
    });
  });
  return success();
}

Result<void> StateFile::replace_now(std::string_view snapshot, std::size_t lines) {
  ++serial_;  // a replacement on its way is older, and done before ours: one thread does both
  const auto in_turn = [&](auto&& work) {
    std::promise<Result<void>> done;
    boost::asio::post(disk_, [&] { done.set_value(work()); });
    return done.get_future().get();
  };
  if (next_ >= 0) {
    BLKIO_TRY(in_turn([] { return Result<void>(success()); }));
    ::close(std::exchange(next_, -1));
  }
  BLKIO_TRY(write_next(snapshot, lines));
  Result<void> how = in_turn([&] { return put_in_place(next_); });
  replaced(how);
  return how;
}

void StateFile::sync() {
  if (synced_ || syncing_ || replacing() || fd_ < 0) return;
  synced_ = true;
  syncing_ = true;
  boost::asio::post(disk_, [this, alive = alive_, fd = fd_] {
    const bool failed = ::fdatasync(fd) != 0;
    boost::asio::post(context_, [this, alive, failed, error = errno] {
      if (!*alive) return;
      syncing_ = false;
      if (failed) spdlog::error("{}: {}", path_, std::generic_category().message(error));
    });
  });
}

}  // namespace blkio::control_plane
