// SPDX-License-Identifier: MIT
/// FUSE over io_uring: requests come as completions of the engine's own ring, and a reply asks for
/// the next request in the same submission (Linux 6.14, fs/fuse/dev_uring.c).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "classic_transport.hpp"
#include "device_files.hpp"

namespace blkio::data_plane {

/// The kernel has a queue per possible CPU; an entry is room for one request of one queue, with the
/// kernel or with us. A request that waits here keeps its entry, so entries are added while few of
/// a queue's are left with the kernel: whoever is held must not hold up others. They are added long
/// before there is none: a request that finds none lies in the kernel's queue until the reply to
/// another of that queue fetches it; a new entry does not.
///
/// INIT, FORGET and INTERRUPT travel over /dev/fuse, and everything does while the kernel has not
/// agreed to the ring (enable_uring of the fuse module is off).
///
/// Memory: an entry is 512 bytes and address space for one payload. Of payloads no more than
/// kIdleBytes stay resident while unused: beyond that a reply is followed by giving its pages back.
class UringTransport final : public Transport, private MessageSink {
 public:
  UringTransport(Ring& ring, BufferArena& arena, FileIndex fuse, MessageSink& sink,
                 const Negotiated& negotiated);
  ~UringTransport() override;
  UringTransport(const UringTransport&) = delete;
  UringTransport& operator=(const UringTransport&) = delete;

  void reply(Request& request, int error, std::byte* data, std::uint32_t bytes) override;
  void turn() override;
  bool look() override { return queues_.empty() && cold_.look(); }
  void expect() override { cold_.expect(); }
  TransportKind in_use() const override {
    return queues_.empty() ? TransportKind::kClassic : TransportKind::kUring;
  }
  void pause(bool paused) override;
  bool idle() const override { return cold_.idle(); }
  bool quiet() const override { return with_kernel_ == 0 && cold_.quiet(); }

 private:
  static constexpr unsigned kSpareEntries = 2048;   ///< to be with the kernel, of all queues,
  static constexpr unsigned kFewestSpare = 64;      ///< but of each at least so many
  static constexpr unsigned kMostEntries = 65'536;  ///< of the connection
  static constexpr std::size_t kIdleBytes = 32u << 20;

  struct Entry : Completion, Slot {
    UringTransport* transport = nullptr;
    RingHeader* header = nullptr;
    std::array<iovec, 2> places{};
    std::uint64_t replied_turn = 0;   ///< when its last reply was queued
    std::uint32_t touched_bytes = 0;  ///< of its payload, at most
    std::uint16_t queue = 0;
    bool with_kernel = false;
  };
  struct Queue {
    unsigned entries = 0;
    unsigned with_kernel = 0;
  };
  struct Chunk;

  // MessageSink of what comes over /dev/fuse
  bool on_message(const Message& message, Buffer& landing) override;
  void on_connection_lost() override;
  void on_replied(Request& request) override;

  void begin();
  void grow(std::uint16_t queue, unsigned entries);
  void submit(Entry& entry, std::uint32_t operation, std::uint64_t commit_id);
  void on_entry(Entry& entry, std::int32_t result);
  void deliver(Entry& entry);
  void touch(Entry& entry, std::size_t bytes);
  void give_back_pages();
  void entry_failed(Entry& entry, int error);

  Ring& ring_;
  const FileIndex fuse_;
  MessageSink& sink_;
  const Negotiated& negotiated_;
  ClassicTransport cold_;
  std::vector<Queue> queues_;  ///< empty until the ring is in use
  unsigned spare_ = 0;         ///< kSpareEntries, for one queue
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<Request*> replied_;  ///< since the last turn
  std::vector<Entry*> replying_;   ///< with pages to give back; their replies are queued,
  std::vector<Entry*> emptied_;    ///< or have been handed to the kernel
  std::uint64_t turn_ = 1;         ///< what was queued in an earlier one has been submitted
  std::size_t entries_ = 0;
  std::size_t with_kernel_ = 0;
  std::size_t touched_bytes_ = 0;
  bool paused_ = false;
  bool exhausted_ = false;  ///< no memory for more entries
  bool lost_ = false;
};

}  // namespace blkio::data_plane
