// SPDX-License-Identifier: MIT
/// A small device in memory, with the alignment rules of a real one.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "data_plane/backing_device.hpp"

namespace blkio::test {

/// A memfd. It takes I/O at any offset; the data plane believes that only whole blocks will do.
class MemoryDevice {
 public:
  explicit MemoryDevice(std::uint64_t bytes, std::uint32_t block = 512) {
    device_.kind = data_plane::BackingKind::kFile;
    device_.number = {259, 0};
    device_.name = "disk";
    device_.fd = memfd_create("disk", MFD_CLOEXEC);
    if (device_.fd < 0) throw std::runtime_error("memfd_create");
    device_.bytes = bytes;
    device_.logical_block = block;
    device_.alignment = block;
    truncate(bytes);
  }
  ~MemoryDevice() { close(device_.fd); }
  MemoryDevice(const MemoryDevice&) = delete;
  MemoryDevice& operator=(const MemoryDevice&) = delete;

  const data_plane::BackingDevice& device() const { return device_; }
  void truncate(std::uint64_t bytes) const {
    if (ftruncate(device_.fd, static_cast<off_t>(bytes)) != 0)
      throw std::runtime_error("ftruncate");
  }
  std::string content() const {
    std::string bytes(device_.bytes, '\0');
    if (pread(device_.fd, bytes.data(), bytes.size(), 0) < 0) throw std::runtime_error("pread");
    return bytes;
  }
  void fill(const std::string& bytes) const {
    if (pwrite(device_.fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("pwrite");
    }
  }

 private:
  data_plane::BackingDevice device_;
};

}  // namespace blkio::test
