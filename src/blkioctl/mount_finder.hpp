// SPDX-License-Identifier: MIT
/// Which mount blkioctl works on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "blkio/result.hpp"

namespace blkio::blkioctl {

/// The mount points of type fuse.blkio in a table such as /proc/self/mounts, each once, in order.
/// Their octal escapes are resolved.
Result<std::vector<std::string>> blkio_mounts(const char* table);

/// The only group tree among the mounts; is_tree tells one from something else of the same type.
/// None or several of them: an error with number 0 whose sentence tells.
Result<std::string> choose_mount(const std::vector<std::string>& mounts,
                                 const std::function<bool(const std::string&)>& is_tree);

/// The mount that was asked for, else the only one there is; absolute and without symbolic links.
Result<std::string> find_mount(const std::string& asked);

}  // namespace blkio::blkioctl
