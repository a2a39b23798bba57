// SPDX-License-Identifier: MIT
/// The daemon's end of the control socket: one JSON object a line, one a line back.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "blkio/result.hpp"

namespace boost::asio {
class io_context;
}

namespace blkio::control_plane {

/// Takes a whole reply: {"ok": true, ...} or {"ok": false, "error": "..."}. On the thread of the
/// io_context, once.
using ControlReply = std::function<void(const nlohmann::json&)>;
/// The reply to a request that fails: one line that names the object and the reason.
nlohmann::json refusal(const std::string& why);
/// Answers a request, now or later. What it throws of std::exception is an answer too.
using ControlHandler = std::function<void(const nlohmann::json&, ControlReply)>;

inline constexpr std::size_t kMaxControlLine = 64 << 10;
inline constexpr std::size_t kMaxControlClients = 32;

/// Listens on a socket that only its owner may use (mode 0600).
///
/// Everything runs on the thread of the io_context, which must not run any more when this ends.
/// Connections beyond kMaxControlClients, and those that send longer lines, are closed.
class ControlSocket {
 public:
  /// Makes the directory if it is missing, and takes the place of a socket nobody listens on.
  /// EADDRINUSE: somebody does. ENAMETOOLONG: a path of more than 107 bytes.
  static Result<std::unique_ptr<ControlSocket>> open(boost::asio::io_context& context,
                                                     const std::string& path,
                                                     ControlHandler handler);
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;
  /// Removes the socket, unless another daemon has put its own in its place.
  ~ControlSocket();

 private:
  class Session;
  struct State;

  explicit ControlSocket(std::shared_ptr<State> state);
  static void accept(const std::shared_ptr<State>& state);
  static void accept_later(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;
};

}  // namespace blkio::control_plane
