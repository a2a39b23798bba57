// SPDX-License-Identifier: MIT
/// Task events from the kernel's proc connector (drivers/connector/cn_proc.c).
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "blkio/result.hpp"
#include "task_events.hpp"

namespace blkio::control_plane {

/// Takes one datagram apart. nullopt: not an event we use, or not a whole message.
std::optional<TaskEvent> parse_connector_message(std::span<const std::byte> datagram);

class ProcConnector final : public TaskEvents {
 public:
  /// Opens the socket and proves, with a thread of its own, that events do arrive. ENODATA: they do
  /// not, or we are in a user or pid namespace of which the kernel takes no subscription: there it
  /// stays silent, or ends with somebody else's. EPROTONOSUPPORT: built without it. EPERM, EACCES:
  /// not permitted on this kernel.
  static Result<std::unique_ptr<ProcConnector>> open();

  ProcConnector(const ProcConnector&) = delete;
  ProcConnector& operator=(const ProcConnector&) = delete;
  ~ProcConnector() override;

  bool drain(const Sink& sink) override;
  int fd() const override { return socket_; }
  const char* name() const override { return "connector"; }

 private:
  explicit ProcConnector(int socket) : socket_(socket) {}

  Result<void> bind_to_group();
  void enlarge_buffer();
  Result<void> subscribe(bool filtered);
  bool delivers(std::chrono::milliseconds patience);

  int socket_;
};

}  // namespace blkio::control_plane
