// SPDX-License-Identifier: MIT
/// The kernel's side of a device connection, over a socket pair that keeps messages apart as
/// /dev/fuse does. No mount and no root needed.
#pragma once

#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace blkio::test {

struct FuseReply {
  std::uint64_t unique = 0;
  int error = 0;  ///< positive errno
  std::string body;

  template <class T>
  T as() const {
    if (body.size() < sizeof(T)) throw std::runtime_error("a reply is too short");
    T value{};
    std::memcpy(&value, body.data(), sizeof value);
    return value;
  }
};

template <class T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

class FakeKernel {
 public:
  static constexpr std::uint64_t kNode = 7;  ///< any but the root is the device

  FakeKernel() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
      throw std::runtime_error("socketpair");
    }
    kernel_end_ = ends[0];
    daemon_end_ = ends[1];
  }
  ~FakeKernel() {
    unmount();
    close(daemon_end_);
  }
  FakeKernel(const FakeKernel&) = delete;
  FakeKernel& operator=(const FakeKernel&) = delete;

  int daemon_end() const { return daemon_end_; }
  /// The daemon reads "end of file", which it takes as the end of the connection.
  void unmount() {
    if (kernel_end_ >= 0) close(std::exchange(kernel_end_, -1));
  }

  /// Who asks from now on.
  void set_thread(std::uint32_t tid) { tid_ = tid; }

  /// Sends a request; its unique id.
  std::uint64_t send(std::uint32_t opcode, std::string_view body, std::uint64_t node = kNode) {
    fuse_in_header header{};
    header.len = static_cast<std::uint32_t>(sizeof header + body.size());
    header.opcode = opcode;
    header.unique = next_unique_ += 2;  // as in the kernel, bit 0 marks an INTERRUPT
    header.nodeid = node;
    header.pid = tid_;
    send_raw(bytes_of(header).append(body));
    return header.unique;
  }
  void send_raw(std::string_view message) const {
    if (::send(kernel_end_, message.data(), message.size(), 0) !=
        static_cast<ssize_t>(message.size())) {
      throw std::runtime_error("send");
    }
  }

  std::uint64_t read(std::uint64_t offset, std::uint32_t size, std::uint32_t flags = 0,
                     std::uint64_t handle = 0) {
    fuse_read_in in{};
    in.fh = handle;
    in.offset = offset;
    in.size = size;
    in.flags = flags;
    return send(FUSE_READ, bytes_of(in));
  }
  std::uint64_t write(std::uint64_t offset, std::string_view data, std::uint32_t flags = 0) {
    fuse_write_in in{};
    in.offset = offset;
    in.size = static_cast<std::uint32_t>(data.size());
    in.flags = flags;
    return send(FUSE_WRITE, bytes_of(in).append(data));
  }
  std::uint64_t fallocate(int mode, std::uint64_t offset, std::uint64_t length) {
    fuse_fallocate_in in{};
    in.mode = static_cast<std::uint32_t>(mode);
    in.offset = offset;
    in.length = length;
    return send(FUSE_FALLOCATE, bytes_of(in));
  }
  std::uint64_t lock(std::uint32_t opcode, std::uint32_t type, std::uint64_t owner,
                     std::uint32_t pid = 1) {
    fuse_lk_in in{};
    in.owner = owner;
    in.lk = {0, INT64_MAX, type, pid};
    return send(opcode, bytes_of(in));
  }
  void interrupt(std::uint64_t unique) {
    fuse_interrupt_in in{unique};
    send(FUSE_INTERRUPT, bytes_of(in));
  }

  /// The next reply, if one comes within that time.
  std::optional<FuseReply> receive(int milliseconds = 0) const {
    pollfd ready{kernel_end_, POLLIN, 0};
    if (poll(&ready, 1, milliseconds) != 1) return std::nullopt;
    std::string message(2u << 20, '\0');
    const ssize_t size = recv(kernel_end_, message.data(), message.size(), 0);
    fuse_out_header header{};
    if (size < static_cast<ssize_t>(sizeof header)) throw std::runtime_error("recv");
    message.resize(static_cast<std::size_t>(size));
    std::memcpy(&header, message.data(), sizeof header);
    if (header.len != message.size()) throw std::runtime_error("a reply of a wrong length");
    // fs/fuse/dev.c, fuse_dev_do_write, refuses others.
    if (header.error > 0 || header.error <= -512) throw std::runtime_error("no error number");
    return FuseReply{header.unique, -header.error, message.substr(sizeof header)};
  }

 private:
  int kernel_end_ = -1;
  int daemon_end_ = -1;
  std::uint64_t next_unique_ = 0;
  std::uint32_t tid_ = 100;
};

}  // namespace blkio::test
