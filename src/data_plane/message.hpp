// SPDX-License-Identifier: MIT
/// A FUSE message as the data plane sees it, whatever way it came.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "buffer_arena.hpp"
#include "fuse_protocol.hpp"

namespace blkio::data_plane {

/// The place a message came in that must also carry its reply (an entry of a FUSE ring).
struct Slot {
  Buffer buffer;                 ///< the payload's; belongs to the transport
  std::uint32_t zero_bytes = 0;  ///< so many at its start are known to be zero
};

/// Whom a reply goes to.
struct ReplyTo {
  std::uint64_t unique = 0;
  Slot* slot = nullptr;  ///< nullptr: the reply finds its way by the number
};

/// A message taken apart. Valid until the call it is given to returns.
struct Message {
  fuse_in_header header{};
  std::span<const std::byte> body;     ///< the operation's own header, or a name
  std::span<const std::byte> payload;  ///< the data of a WRITE
  Slot* slot = nullptr;

  ReplyTo reply_to() const { return {header.unique, slot}; }
  template <class T>
  bool read(T& value) const {
    if (body.size() < sizeof value) return false;
    std::memcpy(&value, body.data(), sizeof value);
    return true;
  }
};

/// The head of a reply with `bytes` bytes behind it, or, with an error (positive errno), none.
/// Numbers above 511 are the kernel's own (ENOTSUPP, ERESTARTSYS): it would refuse the reply, and
/// the client would wait for ever (fs/fuse/dev.c, fuse_dev_do_write).
inline fuse_out_header reply_header(std::uint64_t unique, int error, std::uint32_t bytes) {
  constexpr int kLargestErrno = 511;
  if (error < 0 || error > kLargestErrno) error = EIO;
  if (error != 0) bytes = 0;
  return {static_cast<std::uint32_t>(sizeof(fuse_out_header)) + bytes, -error, unique};
}

}  // namespace blkio::data_plane
