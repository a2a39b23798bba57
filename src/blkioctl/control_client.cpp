// SPDX-License-Identifier: MIT
#include "control_client.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace blkio::blkioctl {
namespace {

class Connection {
 public:
  Connection() : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }

  Result<void> connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) return failure(ENAMETOOLONG, path);
    std::memcpy(address.sun_path, path.data(), path.size());
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      return failure(errno, path);
    }
    return success();
  }

  Result<void> send(const std::string& line) {
    for (std::size_t sent = 0; sent < line.size();) {
      const auto part = ::send(fd_, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
      if (part < 0 && errno != EINTR) return failure(errno, "daemon");
      if (part > 0) sent += static_cast<std::size_t>(part);
    }
    return success();
  }

  /// Up to the first newline or the end.
  Result<std::string> receive_line() {
    std::string line;
    std::array<char, 4096> buffer;
    while (line.find('\n') == std::string::npos) {
      const auto part = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (part < 0 && errno == EINTR) continue;
      if (part < 0) return failure(errno, "daemon");
      if (part == 0) break;
      line.append(buffer.data(), static_cast<std::size_t>(part));
    }
    return line;
  }

 private:
  int fd_;
};

/// A name that is no UTF-8 becomes one that does not exist.
std::string text_of(const nlohmann::json& request) {
  return request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Result<nlohmann::json> ask_daemon(const std::string& socket_path, const nlohmann::json& request) {
  Connection connection;
  BLKIO_TRY(connection.connect(socket_path));
  BLKIO_TRY(connection.send(text_of(request) + "\n"));
  BLKIO_TRY(const auto line, connection.receive_line());
  auto answer = nlohmann::json::parse(line, nullptr, false);
  if (!answer.is_object() || !answer.contains("ok")) return failure(EBADMSG, socket_path);
  if (answer["ok"] != true) return failure(0, "daemon: " + answer.value("error", "refused"));
  answer.erase("ok");
  return answer;
}

}  // namespace blkio::blkioctl
