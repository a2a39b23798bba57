// SPDX-License-Identifier: MIT
/// One FUSE request on its way through the data plane.
#pragma once

#include <sys/types.h>

#include <boost/intrusive/list_hook.hpp>
#include <boost/intrusive/unordered_set_hook.hpp>
#include <cstdint>
#include <memory>
#include <vector>

#include "buffer_arena.hpp"
#include "io_queue.hpp"
#include "ring.hpp"

namespace blkio::data_plane {

class DeviceShard;
class Transport;
struct Slot;
class BlockIo;

/// The phases of a write that does not cover whole blocks.
enum class Splice : std::uint8_t { kNone, kReading, kWriting };

/// The Completion base is used for whatever the request waits for at the moment: its I/O at the
/// device, then the write of its reply. A waiting read costs this object and nothing else.
struct Request : Completion {
  DeviceShard* shard = nullptr;
  Transport* transport = nullptr;  ///< while its reply is on the way
  BlockIo* block_io = nullptr;     ///< while it is at the device
  QueuedIo io;
  std::uint64_t unique = 0;
  Slot* slot = nullptr;  ///< what its message came in, if that must carry its reply
  std::uint64_t handle = 0;
  pid_t tid = 0;
  pid_t tgid = 0;

  std::uint64_t offset = 0;  ///< what the client asked for, cut at the end of the device
  std::uint32_t bytes = 0;
  std::uint64_t range_bytes = 0;  ///< of a discard or write-zeroes, which carry no payload
  bool is_open = false;           ///< an OPEN that waits to learn its group
  bool data_only = false;         ///< fdatasync
  bool synchronous = false;       ///< O_DSYNC
  bool interrupted = false;       ///< its thread has got a signal, deadly or not
  Splice splice = Splice::kNone;

  /// Payload of a write, place for the data of a read, or room for a short reply. Of the slot, if
  /// there is one.
  Buffer* buffer = nullptr;
  /// The part of the buffer the device sees (wider than the request when that is unaligned).
  std::uint64_t device_offset = 0;
  std::uint32_t device_bytes = 0;
  std::uint32_t device_done = 0;
  Buffer* bounce = nullptr;  ///< the blocks around an unaligned write

  std::uint64_t device_span() const { return range_bytes != 0 ? range_bytes : device_bytes; }

  boost::intrusive::list_member_hook<> device_link;         ///< writes at the device
  boost::intrusive::unordered_set_member_hook<> held_link;  ///< held ones, by unique
};
// The 512 bytes a held read may cost (docs/architecture.md, "Memory and back-pressure").
static_assert(sizeof(Request) <= 512);

/// Requests of one engine; grows by chunks, never shrinks.
class RequestPool {
 public:
  Request* allocate();
  void release(Request* request);

 private:
  static constexpr std::size_t kChunk = 256;
  std::vector<std::unique_ptr<Request[]>> chunks_;
  std::vector<Request*> free_;
};

}  // namespace blkio::data_plane
