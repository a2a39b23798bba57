// SPDX-License-Identifier: MIT
/// The raw FUSE protocol as the data path speaks it: <linux/fuse.h> and what Debian 12's copy of it
/// is too old to name (include/uapi/linux/fuse.h of Linux 6.18).
#pragma once

#include <linux/fuse.h>

#include <cstddef>
#include <cstdint>

namespace blkio::data_plane {

inline constexpr std::uint32_t kOpenDirectIo = FOPEN_DIRECT_IO;
inline constexpr std::uint32_t kOpenParallelDirectWrites = 1u << 6;  // FOPEN_PARALLEL_DIRECT_WRITES
inline constexpr std::uint64_t kInitHasResend = 1ull << 39;          // FUSE_HAS_RESEND
inline constexpr std::uint64_t kInitOverIoUring = 1ull << 41;        // FUSE_OVER_IO_URING

inline constexpr std::uint32_t kOpTmpfile = 51;  // FUSE_TMPFILE
inline constexpr std::uint32_t kOpStatx = 52;    // FUSE_STATX

/// Set in `unique` of a request that is sent again after FUSE_NOTIFY_RESEND; echoed in the reply.
inline constexpr std::uint64_t kUniqueResend = 1ull << 63;

/// The largest payload of one request: 256 pages, the kernel's default fs.fuse.max_pages_limit.
inline constexpr std::uint32_t kMaxPages = 256;
inline constexpr std::uint32_t kMaxTransfer = kMaxPages * 4096;

/// A WRITE arrives as in_header, write_in, payload.
inline constexpr std::size_t kWriteHead = sizeof(fuse_in_header) + sizeof(fuse_write_in);

// FUSE over io_uring (include/uapi/linux/fuse.h since Linux 6.14).

inline constexpr std::uint32_t kRingRegister = 1;        // FUSE_IO_URING_CMD_REGISTER
inline constexpr std::uint32_t kRingCommitAndFetch = 2;  // FUSE_IO_URING_CMD_COMMIT_AND_FETCH

struct RingEntryInOut {  // fuse_uring_ent_in_out
  std::uint64_t flags;
  std::uint64_t commit_id;
  std::uint32_t payload_bytes;
  std::uint32_t padding;
  std::uint64_t reserved;
};
struct RingHeader {             // fuse_uring_req_header
  std::byte in_out[128];        // fuse_in_header or fuse_out_header
  std::byte operation[128];     // the operation's own header
  RingEntryInOut entry_in_out;  // what lies in the payload
};
static_assert(sizeof(RingHeader) == 288);
struct RingCommand {  // fuse_uring_cmd_req
  std::uint64_t flags;
  std::uint64_t commit_id;
  std::uint16_t queue;
  std::uint8_t padding[6];
};

}  // namespace blkio::data_plane
