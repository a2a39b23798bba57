// SPDX-License-Identifier: MIT
#include "uring_transport.hpp"

#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace blkio::data_plane {
namespace {

/// A read of unaligned bytes takes the blocks around them.
constexpr std::size_t kPayloadBytes = kMaxTransfer + BufferArena::kSlack;
constexpr std::size_t kHeaderBytes = 512;

/// The worker's memory is locked, and plain MADV_DONTNEED leaves locked pages (Linux 5.18).
constexpr int kGiveBack = 24;  // MADV_DONTNEED_LOCKED

bool is_end(int error) {
  return error == ENOTCONN || error == ECONNABORTED || error == ECANCELED || error == ENODEV;
}

}  // namespace

/// Entries made together, and their memory: payloads first, then headers.
struct UringTransport::Chunk {
  explicit Chunk(unsigned count) : entries(count), bytes(count * (kPayloadBytes + kHeaderBytes)) {
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) madvise(memory, bytes, MADV_NOHUGEPAGE);
  }
  ~Chunk() {
    if (memory != MAP_FAILED) munmap(memory, bytes);
  }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;

  bool usable() const { return memory != MAP_FAILED; }
  std::byte* payload(std::size_t i) const {
    return static_cast<std::byte*>(memory) + i * kPayloadBytes;
  }
  RingHeader* header(std::size_t i) const {
    return reinterpret_cast<RingHeader*>(payload(entries.size()) + i * kHeaderBytes);
  }

  std::vector<Entry> entries;
  std::size_t bytes;
  void* memory;
};

UringTransport::UringTransport(Ring& ring, BufferArena& arena, FileIndex fuse, MessageSink& sink,
                               const Negotiated& negotiated)
    : ring_(ring),
      fuse_(fuse),
      sink_(sink),
      negotiated_(negotiated),
      cold_(ring, arena, fuse, *this) {}

UringTransport::~UringTransport() = default;

void UringTransport::turn() {
  for (Request* request : replied_) sink_.on_replied(*request);
  replied_.clear();
  give_back_pages();
  ++turn_;
  if (!queues_.empty()) cold_.expect();  // nobody looks at it, and the engine may never sleep
  if (paused_ || exhausted_ || lost_) return;
  for (std::size_t i = 0; i < queues_.size(); ++i) {
    if (queues_[i].with_kernel < spare_ / 2) grow(static_cast<std::uint16_t>(i), spare_);
  }
}

void UringTransport::pause(bool paused) {
  paused_ = paused;
  if (queues_.empty()) cold_.pause(paused);  // later only what frees memory comes that way
}

// ---- what comes over /dev/fuse -----------------------------------------------------------------

bool UringTransport::on_message(const Message& message, Buffer& landing) {
  return sink_.on_message(message, landing);
}

void UringTransport::on_connection_lost() {
  if (std::exchange(lost_, true)) return;
  sink_.on_connection_lost();
}

/// The kernel has the answer to INIT when its reply is written, and may be given entries.
void UringTransport::on_replied(Request& request) {
  if (queues_.empty() && negotiated_.over_ring()) begin();
  sink_.on_replied(request);
}

// ---- entries -----------------------------------------------------------------------------------

/// No request passes until every queue has an entry.
void UringTransport::begin() {
  queues_.resize(static_cast<std::size_t>(get_nprocs_conf()));
  spare_ = std::max(kSpareEntries / static_cast<unsigned>(queues_.size()), kFewestSpare);
  cold_.pause(false);
  for (std::size_t i = 0; i < queues_.size(); ++i) grow(static_cast<std::uint16_t>(i), spare_);
}

void UringTransport::grow(std::uint16_t queue, unsigned entries) {
  if (entries_ + entries > kMostEntries) return;
  auto chunk = std::make_unique<Chunk>(entries);
  if (!chunk->usable()) {
    spdlog::warn("no memory for {} more entries of a FUSE ring", entries);
    exhausted_ = true;
    return;
  }
  for (std::size_t i = 0; i < entries; ++i) {
    Entry& entry = chunk->entries[i];
    entry.handler = [](Completion& self, std::int32_t result) {
      auto& done = static_cast<Entry&>(self);
      done.transport->on_entry(done, result);
    };
    entry.transport = this;
    entry.queue = queue;
    entry.buffer.payload = chunk->payload(i);
    entry.buffer.capacity = kPayloadBytes;
    entry.header = chunk->header(i);
    entry.places = {{{entry.header, sizeof(RingHeader)}, {entry.buffer.payload, kMaxTransfer}}};
    submit(entry, kRingRegister, 0);
  }
  queues_[queue].entries += entries;
  entries_ += entries;
  chunks_.push_back(std::move(chunk));
}

void UringTransport::submit(Entry& entry, std::uint32_t operation, std::uint64_t commit_id) {
  RingCommand command{};
  command.commit_id = commit_id;
  command.queue = entry.queue;
  ++with_kernel_;
  entry.with_kernel = true;
  ++queues_[entry.queue].with_kernel;
  const std::span<const iovec> places =
      operation == kRingRegister ? std::span<const iovec>(entry.places) : std::span<const iovec>();
  ring_.command(entry, fuse_, operation, places, std::as_bytes(std::span(&command, 1)));
}

void UringTransport::on_entry(Entry& entry, std::int32_t result) {
  --with_kernel_;
  entry.with_kernel = false;
  --queues_[entry.queue].with_kernel;
  if (result == 0) {
    deliver(entry);
  } else {
    entry_failed(entry, -result);
  }
}

void UringTransport::entry_failed(Entry& entry, int error) {
  if (is_end(error)) {
    on_connection_lost();
  } else if (error == ENOMEM && queues_[entry.queue].entries > 1) {
    --queues_[entry.queue].entries;
    exhausted_ = true;
  } else {
    // Nobody would ever answer this connection again: better a restart than clients that hang.
    spdlog::critical("an entry of a FUSE ring: {}", std::strerror(error));
    std::abort();
  }
}

// ---- requests and replies ----------------------------------------------------------------------

void UringTransport::deliver(Entry& entry) {
  const RingHeader& header = *entry.header;
  Message message;
  std::memcpy(&message.header, header.in_out, sizeof message.header);
  message.body = header.operation;
  message.payload = {entry.buffer.payload, header.entry_in_out.payload_bytes};
  if (message.header.opcode == FUSE_LOOKUP) message.body = message.payload;
  message.slot = &entry;
  touch(entry, message.payload.size());
  if (!message.payload.empty()) entry.zero_bytes = 0;
  sink_.on_message(message, entry.buffer);
}

void UringTransport::reply(Request& request, int error, std::byte* data, std::uint32_t bytes) {
  if (request.slot == nullptr) {
    cold_.reply(request, error, data, bytes);
    return;
  }
  auto& entry = static_cast<Entry&>(*request.slot);
  if (error != 0) bytes = 0;
  if (bytes != 0 && data != entry.buffer.payload) std::memmove(entry.buffer.payload, data, bytes);
  const bool from_device = request.io.op == Op::kRead && request.device_bytes != 0;
  if (bytes != 0 && !from_device) entry.zero_bytes = 0;
  const fuse_out_header header = reply_header(request.unique, error, bytes);
  std::memcpy(entry.header->in_out, &header, sizeof header);
  entry.header->entry_in_out.payload_bytes = bytes;
  const std::uint64_t commit_id = entry.header->entry_in_out.commit_id;
  touch(entry, request.io.op == Op::kRead ? request.device_bytes : 0);

  request.slot = nullptr;
  request.buffer = nullptr;
  replied_.push_back(&request);
  entry.replied_turn = turn_;
  if (touched_bytes_ > kIdleBytes) replying_.push_back(&entry);
  submit(entry, kRingCommitAndFetch, commit_id);
}

void UringTransport::touch(Entry& entry, std::size_t bytes) {
  if (bytes <= entry.touched_bytes) return;
  touched_bytes_ += bytes - entry.touched_bytes;
  entry.touched_bytes = static_cast<std::uint32_t>(bytes);
}

/// The kernel copies a reply when it is submitted and a request when we ask for completions, both
/// on this thread (IORING_SETUP_DEFER_TASKRUN): in between nobody needs the payload of an entry
/// that is with the kernel, unless its reply is queued only, or a request has come that we have not
/// seen.
void UringTransport::give_back_pages() {
  if (ring_.has_completions()) return;
  for (Entry* entry : emptied_) {
    if (!entry->with_kernel || entry->replied_turn == turn_) continue;
    if (touched_bytes_ <= kIdleBytes) break;
    madvise(entry->buffer.payload, kPayloadBytes, kGiveBack);
    touched_bytes_ -= std::exchange(entry->touched_bytes, 0);
  }
  emptied_.clear();
  emptied_.swap(replying_);
}

}  // namespace blkio::data_plane
