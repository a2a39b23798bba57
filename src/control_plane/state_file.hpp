// SPDX-License-Identifier: MIT
/// The file in which the groups outlive the daemon: a snapshot, and what has changed since.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "blkio/result.hpp"

namespace blkio::control_plane {

/// Lines of JSON, each behind its CRC-32. The first tells how many the snapshot has; all of these
/// must be right, or the file is damaged. Those behind it were appended one by one: a last one
/// that was not finished, or has no newline, is what a machine does that lost its power, and is
/// ignored. Every other line that is wrong means damage.
///
/// An appended line is in the kernel's hands when append() returns: a killed daemon has lost
/// nothing. A lost machine may have lost what was appended since the last sync().
///
/// Locked while open (flock), so that two daemons do not share one. Used on the thread of the
/// io_context alone; what waits for a disk runs on a thread of its own.
class StateFile {
 public:
  /// Called with each line of the file, in their order. What it throws of std::exception means that
  /// the line is damaged.
  using Visit = std::function<void(const nlohmann::json&)>;

  /// Reads the file; one that does not exist has no lines. Errors name it: EBUSY (another daemon
  /// uses it), EBADMSG (damaged; line and reason), EINVAL (of another version), EACCES and others
  /// of open(2). Nothing is written before the first replace(): a refused file stays as it was.
  static Result<std::unique_ptr<StateFile>> open(boost::asio::io_context& context,
                                                 const std::string& path, const Visit& visit);
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;
  ~StateFile();

  /// The lines of a file's text; `path` is for messages. Errors: EBADMSG, EINVAL, as open().
  static Result<void> parse(std::string_view text, const std::string& path, const Visit& visit);

  /// The record of a line, without its checksum: an object without fractional numbers, of which we
  /// write none; nullopt otherwise.
  static std::optional<nlohmann::json> parse_record(std::string_view text);

  /// One line, as append() and replace() take them.
  static std::string line(const nlohmann::json& value);

  /// Adds whole lines at the end, all or none. After an error nothing is added any more, until a
  /// replace() has mended it.
  Result<void> append(std::string_view lines);
  /// False if something could not be appended, and no snapshot has told it since.
  bool whole() const { return whole_; }

  /// `snapshot`, of so many lines, takes the place of all that was there, in one step: whenever the
  /// power fails, the old or the new is found. Until that is so, append() adds to both. Not while
  /// replacing().
  Result<void> replace(std::string_view snapshot, std::size_t lines);
  bool replacing() const { return next_ >= 0; }
  /// As replace(), and waits for the disk.
  Result<void> replace_now(std::string_view snapshot, std::size_t lines);

  /// Has the disk take what was appended; soon, not at once.
  void sync();

  /// Of the file now.
  std::size_t bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  StateFile(boost::asio::io_context& context, std::string path);
  Result<void> write_next(std::string_view snapshot, std::size_t lines);
  Result<void> put_in_place(int next) const;
  void replaced(const Result<void>& how);

  boost::asio::io_context& context_;
  std::string path_;
  int fd_ = -1;    ///< the file; -1: there is none yet
  int next_ = -1;  ///< takes its place when the disk has it
  std::size_t bytes_ = 0;
  std::size_t next_bytes_ = 0;
  unsigned serial_ = 0;  ///< of replacements
  bool whole_ = true;
  bool synced_ = true;
  bool syncing_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< for what the pool posts back
  boost::asio::thread_pool disk_{1};
};

}  // namespace blkio::control_plane
