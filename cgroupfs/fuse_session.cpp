// SPDX-License-Identifier: MIT
#include "cgroupfs/fuse_session.hpp"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include "cgroupfs/fuse_operations.hpp"

namespace blkio::cgroupfs {
namespace {

// libfuse reads and writes through the two functions below, which lets a session run over a socket
// pair, and a new process carry on with a connection whose INIT another has answered.

ssize_t read_request(int fd, void* buffer, std::size_t capacity, void* user_data) {
  const ssize_t size = ::read(fd, buffer, capacity);
  fuse_in_header header{};
  if (size < static_cast<ssize_t>(sizeof header)) return size;
  std::memcpy(&header, buffer, sizeof header);
  if (header.opcode == FUSE_INIT) {
    const auto* bytes = static_cast<const std::byte*>(buffer);
    static_cast<FuseMount*>(user_data)->init_request.assign(bytes, bytes + size);
  }
  return size;
}

ssize_t write_reply(int fd, iovec* parts, int count, void* user_data) {
  if (!static_cast<FuseMount*>(user_data)->muted) return ::writev(fd, parts, count);
  ssize_t size = 0;
  for (int i = 0; i < count; ++i) size += static_cast<ssize_t>(parts[i].iov_len);
  return size;
}

class LibfuseSession final : public FuseSession {
 public:
  LibfuseSession(const FileServices& services, WallClock clock)
      : mount_{.services = services,
               .now = std::move(clock),
               .snapshots = {},
               .openers = {},
               .watches = {},
               .init_request = {}} {
    // Not those an earlier process on this connection gave.
    mount_.first_handle = mount_.next_handle = static_cast<std::uint64_t>(mount_.now());
  }
  ~LibfuseSession() override {
    std::free(buffer_.mem);
    mount_.watches.clear();
    if (session_ != nullptr) fuse_session_destroy(session_);
  }
  LibfuseSession(const LibfuseSession&) = delete;
  LibfuseSession& operator=(const LibfuseSession&) = delete;

  Result<void> start(int fuse_fd, const InitRequest& resume);
  int fd() const override { return fuse_session_fd(session_); }
  bool process_pending(int at_most) override;
  void tell_news() override { blkio::cgroupfs::tell_news(mount_); }
  bool is_watched() const override { return mount_.is_watched; }
  const InitRequest& init_request() const override { return mount_.init_request; }

 private:
  void repeat_init(const InitRequest& request);

  FuseMount mount_;
  fuse_session* session_ = nullptr;
  fuse_buf buffer_{};  // libfuse's, kept for the next request
};

Result<void> LibfuseSession::start(int fuse_fd, const InitRequest& resume) {
  char program[] = "blkio";
  char* arguments[] = {program, nullptr};
  fuse_args args = FUSE_ARGS_INIT(1, arguments);
  session_ = fuse_session_new(&args, &fuse_operations(), sizeof(fuse_lowlevel_ops), &mount_);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) return failure(EINVAL, "FUSE session");

  const int flags = fcntl(fuse_fd, F_GETFL);
  if (flags < 0 || fcntl(fuse_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return failure(errno, "FUSE descriptor");
  }
  fuse_custom_io io{};
  io.read = read_request;
  io.writev = write_reply;
  if (fuse_session_custom_io(session_, &io, fuse_fd) != 0) return failure(EINVAL, "FUSE session");
  if (!resume.empty()) repeat_init(resume);
  return success();
}

bool LibfuseSession::process_pending(int at_most) {
  for (int done = 0; done < at_most; ++done) {
    const int size = fuse_session_receive_buf(session_, &buffer_);
    if (size == -EAGAIN || size == -EINTR) return true;
    if (size <= 0) return false;
    fuse_session_process_buf(session_, &buffer_);
    if (fuse_session_exited(session_) != 0) return false;
  }
  return true;
}

/// libfuse answers nothing before it has seen an INIT, which the kernel sends only once.
void LibfuseSession::repeat_init(const InitRequest& request) {
  mount_.init_request = request;
  fuse_buf buffer{};
  buffer.mem = mount_.init_request.data();
  buffer.size = mount_.init_request.size();
  mount_.muted = true;
  fuse_session_process_buf(session_, &buffer);
  mount_.muted = false;
}

}  // namespace

Result<std::unique_ptr<FuseSession>> FuseSession::open(int fuse_fd, const FileServices& services,
                                                       WallClock clock, const InitRequest& resume) {
  auto session = std::make_unique<LibfuseSession>(services, std::move(clock));
  BLKIO_TRY(session->start(fuse_fd, resume));
  return std::unique_ptr<FuseSession>(std::move(session));
}

WallTimeNs FuseSession::system_wall_clock() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kSecondNs + now.tv_nsec;
}

}  // namespace blkio::cgroupfs
