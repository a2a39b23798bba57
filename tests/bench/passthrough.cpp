// SPDX-License-Identifier: MIT
/// passthrough DEVICE PATH THREADS
///
/// Mounts the device on the regular file PATH as a plain libfuse program would: each of THREADS
/// reads a request, does it with pread or pwrite, and replies. Runs until PATH is unmounted.
#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace {

constexpr std::size_t kLongest = 1 << 20;  ///< of one request
constexpr std::size_t kPage = 4096;
constexpr double kForeverS = 3600;

int device = -1;
off_t size = 0;

/// O_DIRECT wants it aligned, and libfuse's own buffers are not.
char* buffer() {
  thread_local const std::unique_ptr<void, decltype(&std::free)> memory(
      std::aligned_alloc(kPage, kLongest), &std::free);
  return static_cast<char*>(memory.get());
}

void init(void*, fuse_conn_info* connection) {
  // The default of 12 would make it slower than it has to be.
  connection->max_background = 65535;
  connection->congestion_threshold = 65535;
}

void getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  struct stat out {};
  out.st_ino = inode;
  out.st_mode = S_IFREG | 0644;
  out.st_nlink = 1;
  out.st_size = size;
  fuse_reply_attr(request, &out, kForeverS);
}

void open(fuse_req_t request, fuse_ino_t, fuse_file_info* file) {
  file->direct_io = 1;
  fuse_reply_open(request, file);
}

void read(fuse_req_t request, fuse_ino_t, std::size_t length, off_t offset, fuse_file_info*) {
  const ssize_t done = ::pread(device, buffer(), length, offset);
  if (done < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_buf(request, buffer(), static_cast<std::size_t>(done));
  }
}

void write(fuse_req_t request, fuse_ino_t, const char* data, std::size_t length, off_t offset,
           fuse_file_info*) {
  std::memcpy(buffer(), data, length);
  const ssize_t done = ::pwrite(device, buffer(), length, offset);
  if (done < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_write(request, static_cast<std::size_t>(done));
  }
}

int serve(fuse_session* session, unsigned threads) {
  if (threads == 1) return fuse_session_loop(session);
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_max_threads(config, threads);
  fuse_loop_cfg_set_idle_threads(config, threads);
  const int result = fuse_session_loop_mt(session, config);
  fuse_loop_cfg_destroy(config);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: passthrough DEVICE PATH THREADS\n", stderr);
    return 2;
  }
  device = ::open(argv[1], O_RDWR | O_DIRECT | O_CLOEXEC);
  size = device < 0 ? 0 : ::lseek(device, 0, SEEK_END);
  if (device < 0 || size < 0) {
    std::perror(argv[1]);
    return 1;
  }
  fuse_lowlevel_ops operations{};
  operations.init = init;
  operations.getattr = getattr;
  operations.open = open;
  operations.read = read;
  operations.write = write;
  std::array<char*, 3> words{argv[0], const_cast<char*>("-o"), const_cast<char*>("allow_other")};
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(words.size()), words.data());
  fuse_session* session = fuse_session_new(&arguments, &operations, sizeof operations, nullptr);
  if (session == nullptr || fuse_session_mount(session, argv[2]) != 0) return 1;
  const int result = serve(session, static_cast<unsigned>(std::strtoul(argv[3], nullptr, 10)));
  fuse_session_unmount(session);
  fuse_session_destroy(session);
  return result == 0 ? 0 : 1;
}
