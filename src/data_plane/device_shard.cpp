// SPDX-License-Identifier: MIT
#include "device_shard.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/intrusive/parent_from_member.hpp>
#include <cerrno>
#include <cstring>

#include "classic_transport.hpp"
#include "fuse_protocol.hpp"
#include "uring_transport.hpp"

namespace blkio::data_plane {
namespace {

constexpr std::size_t kHeldBuckets = 1024;
constexpr TimeNs kSweepNs = 100 * kMillisecondNs;

/// An open's handle: the opener's group and a serial number, so that it needs no table.
std::uint64_t make_handle(GroupId group, std::uint32_t serial) {
  return std::uint64_t{static_cast<std::uint32_t>(group)} << 32 | serial;
}
GroupId opener_of(std::uint64_t handle) {
  return GroupId{static_cast<std::uint32_t>(handle >> 32)};
}

Request& request_of(QueuedIo& io) {
  return *boost::intrusive::get_parent_from_member(&io, &Request::io);
}

std::unique_ptr<Transport> make_transport(const EngineParts& parts, TransportKind kind,
                                          FileIndex fuse, MessageSink& sink,
                                          const Negotiated& negotiated) {
  if (kind == TransportKind::kClassic) {
    return std::make_unique<ClassicTransport>(parts.ring, parts.arena, fuse, sink);
  }
  return std::make_unique<UringTransport>(parts.ring, parts.arena, fuse, sink, negotiated);
}

}  // namespace

DeviceShard::DeviceShard(EngineParts parts, const BackingDevice& device, FileIndex fuse,
                         FileIndex file, const ShardOptions& options, bool weighted,
                         Negotiated& negotiated)
    : parts_(std::move(parts)),
      device_(device),
      fuse_(fuse),
      file_(file),
      max_held_bytes_(options.max_held_bytes),
      queue_(device.number, options.hierarchy, parts_.groups, options.count_from_start,
             {weighted, options.depth}),
      io_(parts_.ring, parts_.arena, device_, file, *this),
      files_(device_, *this, negotiated, options.transport == TransportKind::kUring),
      transport_(make_transport(parts_, options.transport, fuse, *this, negotiated)),
      buckets_(kHeldBuckets),
      held_(HeldSet::bucket_traits(buckets_.data(), buckets_.size())) {}

DeviceShard::~DeviceShard() {
  held_.clear();
}

// ---- message -> request ------------------------------------------------------------------------

bool DeviceShard::on_message(const Message& message, Buffer& landing) {
  switch (message.header.opcode) {
    case FUSE_READ:
      return on_read(message);
    case FUSE_WRITE:
      return on_write(message, landing);
    case FUSE_FSYNC:
      return on_fsync(message);
    case FUSE_FALLOCATE:
      return on_fallocate(message);
    case FUSE_OPEN:
      return on_open(message);
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
      return false;  // nodes are not remembered
    case FUSE_INTERRUPT: {
      fuse_interrupt_in in{};
      if (message.read(in)) interrupt(in.unique);
      return false;
    }
    case FUSE_RELEASE: {
      fuse_release_in in{};
      if (message.read(in)) parts_.groups.handle_closed(opener_of(in.fh));
      break;
    }
    default:
      break;
  }
  files_.handle(message);
  if (stopping_) files_.fail_waiting(EIO);
  return false;
}

bool DeviceShard::refuse(const Message& message, int error) {
  answer(message.reply_to(), error, nullptr, 0);
  return false;
}

Request& DeviceShard::make_request(const Message& message, Op op, std::uint64_t handle) {
  Request& request = *parts_.requests.allocate();
  request.shard = this;
  request.unique = message.header.unique;
  request.slot = message.slot;
  if (message.slot != nullptr) request.buffer = &message.slot->buffer;
  request.tid = static_cast<pid_t>(message.header.pid);
  request.handle = handle;
  request.io.op = op;
  return request;
}

bool DeviceShard::on_read(const Message& message) {
  fuse_read_in in{};
  if (!message.read(in)) return refuse(message, EINVAL);
  const bool direct = (in.flags & O_DIRECT) != 0;
  if (direct && ((in.offset | in.size) & (device_.logical_block - 1)) != 0) {
    return refuse(message, EINVAL);
  }
  if (in.offset >= device_.bytes || in.size == 0) return refuse(message, 0);  // end of file
  Request& request = make_request(message, Op::kRead, in.fh);
  request.offset = in.offset;
  request.bytes = static_cast<std::uint32_t>(
      std::min<std::uint64_t>({in.size, device_.bytes - in.offset, kMaxTransfer}));
  request.io.bytes = request.bytes;
  arrive(request);
  return false;
}

bool DeviceShard::on_write(const Message& message, Buffer& landing) {
  fuse_write_in in{};
  if (!message.read(in) || message.payload.size() < in.size) {
    return refuse(message, EINVAL);
  }
  const bool direct = (in.flags & O_DIRECT) != 0;
  if (direct && ((in.offset | in.size) & (device_.logical_block - 1)) != 0) {
    return refuse(message, EINVAL);
  }
  if (in.offset >= device_.bytes) return refuse(message, ENOSPC);
  Request& request = make_request(message, Op::kWrite, in.fh);
  request.offset = in.offset;
  request.bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(in.size, device_.bytes - in.offset));
  request.io.bytes = request.bytes;
  request.synchronous = (in.flags & O_DSYNC) != 0;
  arrive(request);
  return keep_payload(request, landing);
}

/// Small payloads move to a buffer of their size at once: it costs less than a landing buffer.
bool DeviceShard::keep_payload(Request& request, Buffer& landing) {
  if (request.slot != nullptr) return true;
  if (request.bytes <= BufferArena::kCapacities[0]) {
    if (Buffer* small = parts_.arena.allocate(request.bytes)) {
      std::memcpy(small->payload, landing.payload, request.bytes);
      request.buffer = small;
      return false;
    }
  }
  request.buffer = &landing;
  return true;
}

bool DeviceShard::on_fsync(const Message& message) {
  fuse_fsync_in in{};
  if (!message.read(in)) return refuse(message, EINVAL);
  Request& request = make_request(message, Op::kFlush, in.fh);
  request.data_only = (in.fsync_flags & FUSE_FSYNC_FDATASYNC) != 0;
  request.io.bytes = 0;
  arrive(request);
  return false;
}

/// As block/fops.c, blkdev_fallocate: no device grows.
bool DeviceShard::on_fallocate(const Message& message) {
  constexpr std::uint32_t kModes =
      FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
  fuse_fallocate_in in{};
  if (!message.read(in)) return refuse(message, EINVAL);
  if ((in.mode & ~kModes) != 0) return refuse(message, EOPNOTSUPP);
  const bool keeps_size = (in.mode & FALLOC_FL_KEEP_SIZE) != 0;
  const bool punches = (in.mode & FALLOC_FL_PUNCH_HOLE) != 0;
  const bool zeroes = (in.mode & FALLOC_FL_ZERO_RANGE) != 0;
  if (punches == zeroes || (punches && !keeps_size)) return refuse(message, EOPNOTSUPP);
  if (in.offset >= device_.bytes) return refuse(message, EINVAL);
  std::uint64_t length = in.length;
  if (length > device_.bytes - in.offset) {
    if (!keeps_size) return refuse(message, EINVAL);
    length = device_.bytes - in.offset;
  }
  if (((in.offset | length) & (device_.logical_block - 1)) != 0) return refuse(message, EINVAL);
  Request& request = make_request(message, punches ? Op::kDiscard : Op::kWriteZeroes, in.fh);
  request.offset = in.offset;
  request.range_bytes = length;
  request.io.bytes = length;
  arrive(request);
  return false;
}

bool DeviceShard::on_open(const Message& message) {
  fuse_open_in in{};
  if (!message.read(in)) return refuse(message, EINVAL);
  if (const int error = files_.refuse_open(message.header.nodeid, in.flags)) {
    return refuse(message, error);
  }
  Request& request = make_request(message, Op::kFlush, 0);
  request.is_open = true;
  arrive(request);
  return false;
}

// ---- admit -> queue -> pick -> submit ----------------------------------------------------------

void DeviceShard::turn(TimeNs now) {
  if (!arrivals_.empty()) admit_arrivals(now);
  pump(now);
  if (queue_.waiting() != 0) {
    for (Request* request : arrivals_) {
      if (request->io.stage == IoStage::kWaiting) hold(*request);
    }
  }
  arrivals_.clear();
  fail_overdue(now);
  if (now >= next_sweep_) sweep(now);
  if (next_sweep_ == kNever && (!held_.empty() || files_.has_waiters())) {
    next_sweep_ = now + kSweepNs;
  }
  if (!stopping_) {
    transport_->pause(held_bytes_ >= max_held_bytes_);
    transport_->turn();
  }
}

/// While a request waits for memory none may overtake it: what wakes us is another's completion.
TimeNs DeviceShard::deadline() {
  const TimeNs next = queue_.deadline();
  tell_holders();
  return starved_ != nullptr ? next_sweep_ : std::min(next, next_sweep_);
}

void DeviceShard::tell_holders() {
  const std::vector<GroupId>& changed = queue_.holders_changed();
  if (!changed.empty() && parts_.holders_changed) parts_.holders_changed(device_.number, changed);
}

/// All requests of a turn are looked up together: one lock, one drain of the task events.
void DeviceShard::admit_arrivals(TimeNs now) {
  tids_.clear();
  for (const Request* request : arrivals_) tids_.push_back(request->tid);
  if (tids_.size() > 1 || io_.in_flight() > 1) parts_.placement.heard(tids_.back());
  issuers_.resize(tids_.size());
  parts_.issuers.resolve(tids_.data(), issuers_.data(), tids_.size());
  // An open ends here; what remains in arrivals_ are requests for the device.
  auto kept = arrivals_.begin();
  for (std::size_t i = 0; i < issuers_.size(); ++i) {
    Request& request = *arrivals_[i];
    if (request.is_open) {
      open(request, group_of(request, issuers_[i]));
    } else {
      *kept++ = &request;
      admit(request, issuers_[i], now);
    }
  }
  arrivals_.erase(kept, arrivals_.end());
}

GroupId DeviceShard::group_of(const Request& request, const Issuer& issuer) const {
  if (issuer.usable) return parts_.groups.living(issuer.group);
  if (default_group_) return parts_.groups.living(*default_group_);
  if (request.is_open) return parts_.groups.living(issuer.group);
  return parts_.groups.living(opener_of(request.handle));
}

void DeviceShard::admit(Request& request, const Issuer& issuer, TimeNs now) {
  request.tgid = issuer.usable ? issuer.tgid : 0;
  if (stopping_) {
    reply(request, EIO, nullptr, 0);
    return;
  }
  if (request.interrupted && killed(request)) {
    reply(request, EINTR, nullptr, 0);
    return;
  }
  queue_.arrive(request.io, group_of(request, issuer), now);
}

void DeviceShard::open(Request& request, GroupId group) {
  parts_.groups.handle_opened(group);
  files_.open({request.unique, request.slot}, make_handle(group, next_handle_++));
  parts_.requests.release(&request);
}

void DeviceShard::pump(TimeNs now) {
  if (stopping_) return;
  if (starved_ != nullptr) {
    if (!io_.submit(*starved_)) return;
    starved_ = nullptr;
  }
  while (QueuedIo* io = queue_.next(now)) {
    Request& request = request_of(*io);
    if (request.held_link.is_linked()) unhold(request);
    if (!io_.submit(request)) {
      starved_ = &request;
      return;
    }
  }
}

/// In bytes; a slot's payload takes what was written to it.
std::size_t DeviceShard::held_cost(const Request& request) {
  if (request.slot != nullptr) {
    return sizeof(Request) + sizeof(RingHeader) + (request.io.op == Op::kWrite ? request.bytes : 0);
  }
  return sizeof(Request) + (request.buffer != nullptr ? request.buffer->capacity : 0);
}

void DeviceShard::hold(Request& request) {
  compact(request);
  held_bytes_ += held_cost(request);
  held_.insert(request);
}

void DeviceShard::unhold(Request& request) {
  held_bytes_ -= held_cost(request);
  held_.erase(held_.iterator_to(request));
}

/// A request that will wait for long does not keep a landing buffer many times its size.
void DeviceShard::compact(Request& request) {
  if (request.buffer == nullptr || request.slot != nullptr) return;
  if (request.buffer->capacity / 4 < request.bytes) return;
  Buffer* fitting = parts_.arena.allocate(request.bytes);
  if (fitting == nullptr) return;
  std::memcpy(fitting->payload, request.buffer->payload, request.bytes);
  parts_.arena.release(std::exchange(request.buffer, fitting));
}

// ---- complete -> account -> reply --------------------------------------------------------------

void DeviceShard::on_device_done(Request& request, int error) {
  queue_.complete(request.io, parts_.now);
  if (request.io.op == Op::kRead) {
    std::byte* data = request.buffer->payload + (request.offset - request.device_offset);
    reply(request, error, data, request.bytes);
  } else if (request.io.op == Op::kWrite) {
    const fuse_write_out out{request.bytes, 0};
    std::memcpy(request.buffer->payload, &out, sizeof out);
    reply(request, error, request.buffer->payload, sizeof out);
  } else {
    reply(request, error, request.buffer->payload, 0);
  }
}

void DeviceShard::reply(Request& request, int error, std::byte* data, std::uint32_t bytes) {
  if (request.buffer == nullptr) request.buffer = parts_.arena.allocate(0);
  transport_->reply(request, error, data, bytes);
}

void DeviceShard::on_replied(Request& request) {
  if (request.buffer != nullptr) parts_.arena.release(request.buffer);
  parts_.requests.release(&request);
}

void DeviceShard::answer(ReplyTo to, int error, const void* data, std::size_t bytes) {
  Request& request = *parts_.requests.allocate();
  request.shard = this;
  request.unique = to.unique;
  request.slot = to.slot;
  request.buffer = to.slot != nullptr ? &to.slot->buffer
                                      : parts_.arena.allocate(static_cast<std::uint32_t>(bytes));
  if (bytes != 0) std::memcpy(request.buffer->payload, data, bytes);
  reply(request, error, request.buffer->payload, static_cast<std::uint32_t>(bytes));
}

// ---- requests that end without the device ------------------------------------------------------

void DeviceShard::fail_held(Request& request, int error) {
  queue_.cancel(request.io, parts_.now);
  unhold(request);
  reply(request, error, nullptr, 0);
}

/// Whoever waits for longer than max_hold_ms allows. (Never EAGAIN: io_uring would try again.)
void DeviceShard::fail_overdue(TimeNs now) {
  while (QueuedIo* io = queue_.overdue(now)) fail_held(request_of(*io), ETIMEDOUT);
}

/// Any signal interrupts. A device's I/O ends early for none but a deadly one, and the kernel tells
/// of one signal only: sweep() looks for what comes after it.
void DeviceShard::interrupt(std::uint64_t unique) {
  const auto held = held_.find(unique);
  if (held != held_.end()) {
    held->interrupted = true;
    if (killed(*held)) fail_held(*held, EINTR);
    return;
  }
  const auto arrival = std::find_if(arrivals_.begin(), arrivals_.end(),
                                    [&](const Request* r) { return r->unique == unique; });
  if (arrival == arrivals_.end()) {
    files_.interrupt(unique);
  } else {
    (*arrival)->interrupted = true;  // admit() knows who it is
  }
}

/// Who cannot be told (a foreign pid namespace) is believed.
bool DeviceShard::killed(const Request& request) const {
  return request.tgid == 0 || parts_.thread_killed(request.tid);
}

/// Clients that used libaio or io_uring send no INTERRUPT when they are killed: what a dead process
/// has waiting is looked for.
void DeviceShard::sweep(TimeNs now) {
  next_sweep_ = kNever;
  std::vector<std::pair<pid_t, bool>> known;
  const auto gone = [&](pid_t tgid) {
    const auto it = std::find_if(known.begin(), known.end(),
                                 [&](const auto& entry) { return entry.first == tgid; });
    if (it != known.end()) return it->second;
    known.emplace_back(tgid, parts_.process_gone(tgid));
    return known.back().second;
  };
  std::vector<Request*> dead;
  for (Request& request : held_) {
    const bool old = now - request.io.arrived_ns >= kSweepNs;
    const bool lost = old && request.tgid != 0 && gone(request.tgid);
    if (lost || (request.interrupted && killed(request))) dead.push_back(&request);
  }
  for (Request* request : dead) fail_held(*request, EINTR);
  files_.drop_dead_waiters(gone);
}

void DeviceShard::stop() {
  stopping_ = true;
  transport_->pause(true);
  while (!held_.empty()) fail_held(*held_.begin(), EIO);
  if (starved_ != nullptr) {
    queue_.complete(starved_->io, parts_.now);
    reply(*std::exchange(starved_, nullptr), EIO, nullptr, 0);
  }
  files_.fail_waiting(EIO);
}

bool DeviceShard::drained() const {
  return arrivals_.empty() && io_.in_flight() == 0 && transport_->idle();
}

void DeviceShard::on_connection_lost() {
  if (!stopping_) spdlog::warn("{}: the mount of the device is gone", device_.name);
  lost_ = true;
  stop();
}

}  // namespace blkio::data_plane
