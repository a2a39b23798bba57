// SPDX-License-Identifier: MIT
/// Has something changed since the last look? FNV-1a, a number at a time.
#pragma once

#include <cstdint>

namespace blkio::control_plane {

class Fingerprint {
 public:
  void mix(std::uint64_t number) { value_ = (value_ ^ number) * 1099511628211U; }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 14695981039346656037U;
};

}  // namespace blkio::control_plane
