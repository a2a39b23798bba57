// SPDX-License-Identifier: MIT
/// The kernel's side of a FUSE conversation, over a socket pair: requests as the protocol has them
/// (linux/fuse.h), one at a time. No mount and no root needed.
#pragma once

#include <linux/fuse.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cgroupfs/fuse_session.hpp"

namespace blkio::test {

/// The bytes of a protocol structure.
template <class T>
std::string_view bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct FuseReply {
  int error = 0;  ///< as errno, positive
  std::string body;

  template <class T>
  T as() const {
    if (error != 0 || body.size() < sizeof(T)) {
      throw std::runtime_error("FUSE reply: error " + std::to_string(error));
    }
    T value{};
    std::memcpy(&value, body.data(), sizeof value);
    return value;
  }
};

struct FuseEntry {
  std::uint64_t node = 0;
  std::uint64_t cookie = 0;
  std::uint32_t type = 0;
  std::string name;
};

class FuseClient {
 public:
  FuseClient() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
      throw std::runtime_error("socketpair");
    }
    kernel_end_ = ends[0];
    daemon_end_ = ends[1];
  }
  ~FuseClient() { hang_up(); }
  FuseClient(const FuseClient&) = delete;
  FuseClient& operator=(const FuseClient&) = delete;

  /// The descriptor a session is to take over; a duplicate, so that sessions may follow each other.
  int daemon_end() const { return dup(daemon_end_); }
  void serve_by(cgroupfs::FuseSession& session) { session_ = &session; }
  void hang_up() {
    for (int* end : {&kernel_end_, &daemon_end_}) {
      if (*end >= 0) close(*end);
      *end = -1;
    }
  }

  /// The issuer of the requests that follow.
  std::uint32_t tid = 4242;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;

  void send(std::uint32_t opcode, std::uint64_t node,
            std::initializer_list<std::string_view> parts) {
    std::string body;
    for (const std::string_view part : parts) body += part;
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = ++unique_;
    header.nodeid = node;
    header.uid = uid;
    header.gid = gid;
    header.pid = tid;
    const std::string message = std::string(bytes_of(header)) + body;
    if (::send(kernel_end_, message.data(), message.size(), 0) < 0) {
      throw std::runtime_error("send");
    }
  }
  bool has_reply() const {
    pollfd ready{kernel_end_, POLLIN, 0};
    return poll(&ready, 1, 0) == 1;
  }
  /// Puts the notices before it aside.
  FuseReply receive() {
    for (;;) {
      Message message = receive_message();
      if (message.unique != 0) return std::move(message.reply);
      notices_.push_back(std::move(message.reply));
    }
  }
  /// What the daemon has told by itself; nullopt: nothing. `error` is the negative code.
  std::optional<FuseReply> notice() {
    if (notices_.empty()) {
      if (!has_reply()) return std::nullopt;
      Message message = receive_message();
      if (message.unique != 0) throw std::runtime_error("a reply, not a notice");
      return std::move(message.reply);
    }
    FuseReply first = std::move(notices_.front());
    notices_.erase(notices_.begin());
    return first;
  }
  FuseReply call(std::uint32_t opcode, std::uint64_t node,
                 std::initializer_list<std::string_view> parts = {}) {
    send(opcode, node, parts);
    if (!session_->process_pending()) throw std::runtime_error("the session is over");
    return receive();
  }

  // --- the operations
  FuseReply init() {
    fuse_init_in in{};
    in.major = FUSE_KERNEL_VERSION;
    in.minor = FUSE_KERNEL_MINOR_VERSION;
    in.max_readahead = 128 * 1024;
    in.flags = ~0U & ~static_cast<unsigned>(FUSE_INIT_EXT);
    return call(FUSE_INIT, 0, {bytes_of(in)});
  }
  FuseReply lookup(std::uint64_t parent, std::string_view name) {
    return call(FUSE_LOOKUP, parent, {name, kNul});
  }
  /// The node of "a/b/tasks"; throws if there is none.
  std::uint64_t walk(std::string_view path) {
    std::uint64_t node = FUSE_ROOT_ID;
    while (!path.empty()) {
      const std::size_t slash = path.find('/');
      node = lookup(node, path.substr(0, slash)).as<fuse_entry_out>().nodeid;
      path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    }
    return node;
  }
  FuseReply mkdir(std::uint64_t parent, std::string_view name, std::uint32_t mode = 0755) {
    fuse_mkdir_in in{};
    in.mode = mode;
    return call(FUSE_MKDIR, parent, {bytes_of(in), name, kNul});
  }
  FuseReply rmdir(std::uint64_t parent, std::string_view name) {
    return call(FUSE_RMDIR, parent, {name, kNul});
  }
  FuseReply rename(std::uint64_t from, std::string_view name, std::uint64_t to,
                   std::string_view new_name, std::uint32_t flags = 0) {
    fuse_rename2_in in{};
    in.newdir = to;
    in.flags = flags;
    return call(FUSE_RENAME2, from, {bytes_of(in), name, kNul, new_name, kNul});
  }
  FuseReply open(std::uint64_t node, std::uint32_t flags) {
    fuse_open_in in{};
    in.flags = flags;
    return call(FUSE_OPEN, node, {bytes_of(in)});
  }
  FuseReply read(std::uint64_t node, std::uint64_t handle, std::uint64_t offset,
                 std::uint32_t size) {
    fuse_read_in in{};
    in.fh = handle;
    in.offset = offset;
    in.size = size;
    return call(FUSE_READ, node, {bytes_of(in)});
  }
  FuseReply write(std::uint64_t node, std::uint64_t handle, std::string_view text,
                  std::uint64_t offset = 0) {
    fuse_write_in in{};
    in.fh = handle;
    in.offset = offset;
    in.size = static_cast<std::uint32_t>(text.size());
    return call(FUSE_WRITE, node, {bytes_of(in), text});
  }
  FuseReply release(std::uint64_t node, std::uint64_t handle) {
    fuse_release_in in{};
    in.fh = handle;
    return call(FUSE_RELEASE, node, {bytes_of(in)});
  }
  fuse_attr getattr(std::uint64_t node) {
    const fuse_getattr_in in{};
    return call(FUSE_GETATTR, node, {bytes_of(in)}).as<fuse_attr_out>().attr;
  }
  FuseReply setattr(std::uint64_t node, const fuse_setattr_in& in) {
    return call(FUSE_SETATTR, node, {bytes_of(in)});
  }
  /// One page of a directory.
  std::vector<FuseEntry> readdir(std::uint64_t node, std::uint64_t after, std::uint32_t size) {
    fuse_read_in in{};
    in.offset = after;
    in.size = size;
    const FuseReply reply = call(FUSE_READDIR, node, {bytes_of(in)});
    std::vector<FuseEntry> entries;
    for (std::size_t at = 0; at < reply.body.size();) {
      fuse_dirent dirent{};
      std::memcpy(&dirent, reply.body.data() + at, FUSE_NAME_OFFSET);
      entries.push_back({dirent.ino, dirent.off, dirent.type,
                         reply.body.substr(at + FUSE_NAME_OFFSET, dirent.namelen)});
      at += FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + dirent.namelen);
    }
    return entries;
  }

 private:
  static constexpr std::string_view kNul{"\0", 1};

  struct Message {
    std::uint64_t unique = 0;  ///< 0: a notice
    FuseReply reply;
  };
  Message receive_message() {
    std::string message(256 * 1024, '\0');
    const ssize_t size = ::recv(kernel_end_, message.data(), message.size(), MSG_DONTWAIT);
    fuse_out_header header{};
    if (size < static_cast<ssize_t>(sizeof header)) throw std::runtime_error("no FUSE reply");
    std::memcpy(&header, message.data(), sizeof header);
    const auto body_bytes = static_cast<std::size_t>(size) - sizeof header;
    return {header.unique, {-header.error, message.substr(sizeof header, body_bytes)}};
  }

  int kernel_end_ = -1;
  int daemon_end_ = -1;
  std::uint64_t unique_ = 0;
  cgroupfs::FuseSession* session_ = nullptr;
  std::vector<FuseReply> notices_;
};

}  // namespace blkio::test
