// SPDX-License-Identifier: MIT
/// Switches of the kernel's fuse module.
#pragma once

#include "blkio/result.hpp"

namespace blkio::daemon {

/// Has new connections offered FUSE over io_uring; switches it on where we may, and says so.
/// Errors: sentences for the user (a kernel before 6.14, or no right to switch it on).
Result<void> offer_fuse_over_io_uring();

}  // namespace blkio::daemon
