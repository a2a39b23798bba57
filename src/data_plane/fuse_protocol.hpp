// SPDX-License-Identifier: MIT
/// The raw FUSE protocol as the data path speaks it: <linux/fuse.h> and what Debian 12's copy of it
/// is too old to name (include/uapi/linux/fuse.h of Linux 6.18).
#pragma once

#include <linux/fuse.h>

#include <cstdint>

namespace blkio::data_plane {

inline constexpr std::uint32_t kOpenDirectIo = FOPEN_DIRECT_IO;
inline constexpr std::uint32_t kOpenParallelDirectWrites = 1u << 6;  // FOPEN_PARALLEL_DIRECT_WRITES
inline constexpr std::uint64_t kInitHasResend = 1ull << 39;          // FUSE_HAS_RESEND

inline constexpr std::uint32_t kOpTmpfile = 51;  // FUSE_TMPFILE
inline constexpr std::uint32_t kOpStatx = 52;    // FUSE_STATX

/// Set in `unique` of a request that is sent again after FUSE_NOTIFY_RESEND; echoed in the reply.
inline constexpr std::uint64_t kUniqueResend = 1ull << 63;

/// The largest payload of one request: 256 pages, the kernel's default fs.fuse.max_pages_limit.
inline constexpr std::uint32_t kMaxPages = 256;
inline constexpr std::uint32_t kMaxTransfer = kMaxPages * 4096;

/// A WRITE arrives as in_header, write_in, payload.
inline constexpr std::size_t kWriteHead = sizeof(fuse_in_header) + sizeof(fuse_write_in);

}  // namespace blkio::data_plane
