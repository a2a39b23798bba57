// SPDX-License-Identifier: MIT
#include "control_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>  // before Asio: its headers use std::exchange without it
//
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace blkio::control_plane {
namespace {

namespace asio = boost::asio;
using Local = asio::local::stream_protocol;
using boost::system::error_code;
using nlohmann::json;

constexpr auto kRetryDelay = std::chrono::milliseconds(100);

struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileId&) const = default;
};

FileId id_of(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return {};
  return {found.st_dev, found.st_ino};
}

void answer(const ControlHandler& handler, std::string_view line, const ControlReply& reply) {
  const auto request = json::parse(line, nullptr, false);
  if (!request.is_object()) return reply(refusal("the request is not a JSON object"));
  try {
    handler(request, reply);
  } catch (const std::exception& error) {
    reply(refusal(error.what()));
  }
}

/// True unless it is a socket that nobody listens on.
bool in_use(const std::string& path, const sockaddr_un& address) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) return errno != ENOENT;
  if (!S_ISSOCK(found.st_mode)) return true;
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return true;
  const bool refused =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno == ECONNREFUSED;
  ::close(probe);
  return !refused;
}

Result<void> make_directory_of(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return failure(error.value(), path);
  return success();
}

Result<void> bind_to(int fd, const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return failure(ENAMETOOLONG, path);
  std::memcpy(address.sun_path, path.data(), path.size());
  // The mode of the descriptor becomes that of the file: there is no moment when others may
  // connect.
  if (::fchmod(fd, S_IRUSR | S_IWUSR) != 0) return failure(errno, path);
  const auto bind = [&] {
    return ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  };
  if (bind() == 0) return success();
  if (errno != EADDRINUSE) return failure(errno, path);
  if (in_use(path, address)) return failure(EADDRINUSE, path);
  ::unlink(path.c_str());  // left behind by a daemon that was killed
  if (bind() != 0) return failure(errno, path);
  return success();
}

}  // namespace

json refusal(const std::string& why) {
  return {{"ok", false}, {"error", why}};
}

struct ControlSocket::State {
  State(asio::io_context& context, std::string where, ControlHandler what)
      : acceptor(context), retry(context), path(std::move(where)), handler(std::move(what)) {}

  Local::acceptor acceptor;
  asio::steady_timer retry;
  std::string path;
  FileId id;
  ControlHandler handler;
  std::size_t sessions = 0;
};

class ControlSocket::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Local::socket socket, std::shared_ptr<State> state)
      : socket_(std::move(socket)), state_(std::move(state)) {
    ++state_->sessions;
  }
  ~Session() { --state_->sessions; }

  void read() {
    asio::async_read_until(socket_, asio::dynamic_buffer(received_, kMaxControlLine), '\n',
                           [self = shared_from_this()](error_code error, std::size_t size) {
                             if (!error) self->handle(size);
                           });
  }

 private:
  void handle(std::size_t size) {
    const std::string line = received_.substr(0, size);
    received_.erase(0, size);
    answer(state_->handler, line,
           [self = shared_from_this()](const json& answered) { self->reply(answered); });
  }

  void reply(const json& answered) {
    reply_ = answered.dump(-1, ' ', false, json::error_handler_t::replace);
    reply_ += '\n';
    asio::async_write(socket_, asio::buffer(reply_),
                      [self = shared_from_this()](error_code error, std::size_t) {
                        if (!error) self->read();
                      });
  }

  Local::socket socket_;
  std::shared_ptr<State> state_;
  std::string received_;
  std::string reply_;
};

Result<std::unique_ptr<ControlSocket>> ControlSocket::open(asio::io_context& context,
                                                           const std::string& path,
                                                           ControlHandler handler) {
  auto state = std::make_shared<State>(context, path, std::move(handler));
  error_code error;
  state->acceptor.open(Local(), error);
  if (error) return failure(error.value(), path);
  BLKIO_TRY(make_directory_of(path));
  BLKIO_TRY(bind_to(state->acceptor.native_handle(), path));
  state->id = id_of(path);
  state->acceptor.listen(static_cast<int>(kMaxControlClients), error);
  if (error) return failure(error.value(), path);
  accept(state);
  return std::unique_ptr<ControlSocket>(new ControlSocket(std::move(state)));
}

ControlSocket::ControlSocket(std::shared_ptr<State> state) : state_(std::move(state)) {}

ControlSocket::~ControlSocket() {
  error_code ignored;
  state_->acceptor.close(ignored);
  state_->retry.cancel();
  if (id_of(state_->path) == state_->id) ::unlink(state_->path.c_str());
}

void ControlSocket::accept(const std::shared_ptr<State>& state) {
  state->acceptor.async_accept([state](error_code error, Local::socket socket) {
    if (!state->acceptor.is_open()) return;
    if (error) return accept_later(state);
    if (state->sessions < kMaxControlClients) {
      std::make_shared<Session>(std::move(socket), state)->read();
    }
    accept(state);
  });
}

// Out of descriptors, say: the client still waits, and would be offered again at once.
void ControlSocket::accept_later(const std::shared_ptr<State>& state) {
  state->retry.expires_after(kRetryDelay);
  state->retry.async_wait([state](error_code error) {
    if (!error && state->acceptor.is_open()) accept(state);
  });
}

}  // namespace blkio::control_plane
