// SPDX-License-Identifier: MIT
#include "ring.hpp"

#include <poll.h>

#include <cassert>
#include <cerrno>
#include <cstring>

namespace blkio::data_plane {
namespace {

constexpr unsigned kFiles = 1024;
constexpr unsigned kRegions = 4096;

unsigned raw(FileIndex file) {
  return static_cast<unsigned>(file);
}

__kernel_timespec timespec_of(TimeNs ns) {
  return {ns / kSecondNs, ns % kSecondNs};
}

void fixed_file(io_uring_sqe* sqe) {
  sqe->flags |= IOSQE_FIXED_FILE;
}

/// The fastest layout first (task work runs only when we ask for completions), then what older
/// kernels know.
int init_ring(unsigned entries, bool wide, io_uring* ring) {
  constexpr unsigned kLayouts[] = {
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0};
  int error = 0;
  for (const unsigned layout : kLayouts) {
    io_uring_params params{};
    params.flags = layout | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
    if (wide) params.flags |= IORING_SETUP_SQE128;
    params.cq_entries = entries * 4;
    error = io_uring_queue_init_params(entries, ring, &params);
    if (error != -EINVAL) break;
  }
  return error;
}

}  // namespace

Ring::~Ring() {
  close();
}

Result<void> Ring::open(unsigned entries, bool wide) {
  const int error = init_ring(entries, wide, &ring_);
  if (error < 0) return failure(-error, "io_uring");
  open_ = true;
  if (const int e = io_uring_register_files_sparse(&ring_, kFiles); e < 0) {
    return failure(-e, "io_uring file table");
  }
  // Without a buffer table (very old kernels) every region is kNotRegistered.
  if (io_uring_register_buffers_sparse(&ring_, kRegions) < 0) regions_ = kRegions;
  io_uring_register_ring_fd(&ring_);
  return success();
}

void Ring::close() {
  if (open_) io_uring_queue_exit(&ring_);
  open_ = false;
}

Result<FileIndex> Ring::register_file(int fd) {
  const bool again = !free_files_.empty();
  if (!again && descriptors_.size() == kFiles) return failure(ENFILE, "io_uring file table");
  const unsigned index = again ? free_files_.back() : static_cast<unsigned>(descriptors_.size());
  const int error = io_uring_register_files_update(&ring_, index, &fd, 1);
  if (error < 0) return failure(-error, "io_uring file table");
  if (again) {
    descriptors_[index] = fd;
    free_files_.pop_back();
  } else {
    descriptors_.push_back(fd);
  }
  return FileIndex{index};
}

void Ring::unregister_file(FileIndex file) {
  int none = -1;
  io_uring_register_files_update(&ring_, raw(file), &none, 1);
  free_files_.push_back(raw(file));
}

RegionIndex Ring::register_region(void* address, std::size_t bytes) {
  if (regions_ == kRegions) return RegionIndex::kNotRegistered;
  iovec region{address, bytes};
  __u64 tag = 0;
  const int done = io_uring_register_buffers_update_tag(&ring_, regions_, &region, &tag, 1);
  if (done != 1) return RegionIndex::kNotRegistered;
  return RegionIndex{static_cast<std::int32_t>(regions_++)};
}

io_uring_sqe* Ring::next(Completion& done) {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {  // the queue is full: hand it over and go on
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  io_uring_sqe_set_data(sqe, &done);
  return sqe;
}

void Ring::read(Completion& done, FileIndex file, RegionIndex region, std::byte* to,
                std::uint32_t bytes, std::uint64_t offset) {
  io_uring_sqe* sqe = next(done);
  if (region == RegionIndex::kNotRegistered) {
    io_uring_prep_read(sqe, static_cast<int>(raw(file)), to, bytes, offset);
  } else {
    io_uring_prep_read_fixed(sqe, static_cast<int>(raw(file)), to, bytes, offset,
                             static_cast<int>(region));
  }
  io_uring_sqe_set_data(sqe, &done);
  fixed_file(sqe);
}

void Ring::write(Completion& done, FileIndex file, RegionIndex region, const std::byte* from,
                 std::uint32_t bytes, std::uint64_t offset, bool synchronous) {
  io_uring_sqe* sqe = next(done);
  if (region == RegionIndex::kNotRegistered) {
    io_uring_prep_write(sqe, static_cast<int>(raw(file)), from, bytes, offset);
  } else {
    io_uring_prep_write_fixed(sqe, static_cast<int>(raw(file)), from, bytes, offset,
                              static_cast<int>(region));
  }
  if (synchronous) sqe->rw_flags = RWF_DSYNC;
  io_uring_sqe_set_data(sqe, &done);
  fixed_file(sqe);
}

void Ring::fsync(Completion& done, FileIndex file, bool data_only) {
  io_uring_sqe* sqe = next(done);
  io_uring_prep_fsync(sqe, static_cast<int>(raw(file)), data_only ? IORING_FSYNC_DATASYNC : 0);
  io_uring_sqe_set_data(sqe, &done);
  fixed_file(sqe);
}

void Ring::fallocate(Completion& done, FileIndex file, int mode, std::uint64_t offset,
                     std::uint64_t bytes) {
  io_uring_sqe* sqe = next(done);
  io_uring_prep_fallocate(sqe, static_cast<int>(raw(file)), mode, static_cast<__off_t>(offset),
                          static_cast<__off_t>(bytes));
  io_uring_sqe_set_data(sqe, &done);
  fixed_file(sqe);
}

void Ring::poll_in(Completion& done, FileIndex file) {
  io_uring_sqe* sqe = next(done);
  io_uring_prep_poll_add(sqe, static_cast<int>(raw(file)), POLLIN);
  io_uring_sqe_set_data(sqe, &done);
  fixed_file(sqe);
}

void Ring::read_plain(Completion& done, int fd, void* to, std::uint32_t bytes) {
  io_uring_sqe* sqe = next(done);
  io_uring_prep_read(sqe, fd, to, bytes, 0);
  io_uring_sqe_set_data(sqe, &done);
}

void Ring::command(Completion& done, FileIndex file, std::uint32_t operation,
                   std::span<const iovec> places, std::span<const std::byte> arguments) {
  constexpr std::size_t kRoom = 80;
  assert(arguments.size() <= kRoom);
  io_uring_sqe* sqe = next(done);
  io_uring_prep_rw(IORING_OP_URING_CMD, sqe, static_cast<int>(raw(file)), places.data(),
                   static_cast<unsigned>(places.size()), 0);
  sqe->cmd_op = operation;
  std::memset(sqe->cmd, 0, kRoom);
  std::memcpy(sqe->cmd, arguments.data(), arguments.size());
  io_uring_sqe_set_data(sqe, &done);
  fixed_file(sqe);
}

void Ring::start_timer(Completion& done, TimeNs at) {
  io_uring_sqe* sqe = next(done);
  started_ = timespec_of(at);
  io_uring_prep_timeout(sqe, &started_, 0, IORING_TIMEOUT_ABS);
  io_uring_sqe_set_data(sqe, &done);
}

void Ring::move_timer(Completion& done, TimeNs at) {
  io_uring_sqe* sqe = next(done);
  moved_ = timespec_of(at);
  io_uring_prep_timeout_update(sqe, &moved_, reinterpret_cast<std::uintptr_t>(&done),
                               IORING_TIMEOUT_ABS);
  io_uring_sqe_set_data(sqe, nullptr);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

bool Ring::poll() {
  if (io_uring_sq_ready(&ring_) == 0 && !has_news()) return false;
  io_uring_submit_and_get_events(&ring_);
  return io_uring_cq_ready(&ring_) != 0;
}

bool Ring::reap() {
  io_uring_cqe* cqe = nullptr;
  unsigned head = 0;
  unsigned count = 0;
  io_uring_for_each_cqe(&ring_, head, cqe) {
    auto* done = static_cast<Completion*>(io_uring_cqe_get_data(cqe));
    if (done != nullptr) done->handler(*done, cqe->res);
    ++count;
  }
  io_uring_cq_advance(&ring_, count);
  return count != 0;
}

void Ring::wait(TimeNs timeout_ns) {
  io_uring_cqe* cqe = nullptr;
  if (timeout_ns == kNever) {
    io_uring_submit_and_wait(&ring_, 1);
  } else {
    __kernel_timespec timeout = timespec_of(timeout_ns);
    io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
  }
}

Result<void> probe_io_uring() {
  io_uring ring{};
  const int error = init_ring(4, false, &ring);
  if (error < 0) return failure(-error, "io_uring");
  io_uring_queue_exit(&ring);
  return success();
}

}  // namespace blkio::data_plane
