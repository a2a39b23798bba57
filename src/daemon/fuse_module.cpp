// SPDX-License-Identifier: MIT
#include "fuse_module.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace blkio::daemon {
namespace {

constexpr const char* kSwitch = "/sys/module/fuse/parameters/enable_uring";

}  // namespace

Result<void> offer_fuse_over_io_uring() {
  char value = 0;
  if (!(std::ifstream(kSwitch) >> value)) {
    return failure(0, fmt::format("transport=uring: this kernel has no FUSE over io_uring (there "
                                  "is no {}); leave the option out",
                                  kSwitch));
  }
  if (value == 'Y') return success();
  std::ofstream file(kSwitch);
  if (!(file << 'Y' << std::flush)) {
    return failure(0, fmt::format("transport=uring: FUSE over io_uring is switched off; let root "
                                  "write Y to {}, or leave the option out",
                                  kSwitch));
  }
  spdlog::info("switched on FUSE over io_uring: wrote Y to {}", kSwitch);
  return success();
}

}  // namespace blkio::daemon
