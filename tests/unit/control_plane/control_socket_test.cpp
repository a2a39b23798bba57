// SPDX-License-Identifier: MIT
#include "control_plane/control_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utility>
//
#include <boost/asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "control_plane/control_path.hpp"

using namespace blkio::control_plane;
using nlohmann::json;

namespace {

using Answer = std::function<json(const json&)>;

ControlHandler at_once(Answer answer) {
  return [answer = std::move(answer)](const json& request, const ControlReply& reply) {
    reply(answer(request));
  };
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "blkio-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

json echo(const json& request) {
  if (request.contains("throw")) throw std::runtime_error("no such command");
  return {{"ok", true}, {"got", request}};
}

/// A server on a thread of its own.
class Server {
 public:
  explicit Server(const std::string& path, Answer handler = echo) {
    auto opened = ControlSocket::open(context_, path, at_once(std::move(handler)));
    REQUIRE(opened);
    socket_ = std::move(opened).value();
    thread_ = std::thread([this] { context_.run(); });
  }
  ~Server() {
    context_.stop();
    thread_.join();
    socket_.reset();
  }

 private:
  boost::asio::io_context context_;
  std::unique_ptr<ControlSocket> socket_;
  std::thread thread_;
};

class Client {
 public:
  explicit Client(const std::string& path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    connected_ = ::connect(fd_, generic, sizeof address) == 0;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { ::close(fd_); }

  bool connected() const { return connected_; }
  /// False if the other end has closed.
  bool send(const std::string& text) {
    for (std::size_t sent = 0; sent < text.size();) {
      const auto part = ::send(fd_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (part <= 0) return false;
      sent += static_cast<std::size_t>(part);
    }
    return true;
  }
  /// nullopt: the other end has closed.
  std::optional<json> receive() {
    std::string line;
    for (char byte = 0; ::read(fd_, &byte, 1) == 1 && byte != '\n';) line += byte;
    if (line.empty()) return std::nullopt;
    return json::parse(line);
  }

 private:
  int fd_;
  bool connected_ = false;
};

}  // namespace

TEST_CASE("control: the path of the socket follows from the mount point") {
  CHECK(control_name("/sys/fs/cgroup/blkio") == "sys-fs-cgroup-blkio.sock");
  CHECK(control_name("/mnt") == "mnt.sock");
  CHECK(control_directory(true, "/run/user/0").value() == "/run/blkio");
  CHECK(control_directory(false, "/run/user/1000").value() == "/run/user/1000/blkio");
  CHECK(control_directory(false, nullptr).error().number == ENOENT);
  CHECK(control_directory(false, "").error().number == ENOENT);
}

TEST_CASE("control: a line each way, many to a connection") {
  const TemporaryDirectory directory;
  const auto path = directory / "sub/blkio.sock";  // the directory is made
  const Server server(path);
  Client client(path);
  REQUIRE(client.connected());
  for (int i = 0; i < 3; ++i) {
    REQUIRE(client.send(R"({"command":"status"})"
                        "\n"));
    CHECK(client.receive() == json::parse(R"({"ok":true,"got":{"command":"status"}})"));
  }
  // Two requests in one piece, the second cut in the middle.
  REQUIRE(client.send("{\"a\":1}\n{\"b\""));
  CHECK((*client.receive())["got"] == json{{"a", 1}});
  REQUIRE(client.send(":2}\n"));
  CHECK((*client.receive())["got"] == json{{"b", 2}});
}

TEST_CASE("control: what is not a request is refused, and the next one served") {
  const TemporaryDirectory directory;
  const auto path = directory / "s";
  const Server server(path);
  Client client(path);
  for (const std::string bad : {"", "{", "[]", "17", "\"x\"", "\xff\xfe", "{} {}"}) {
    INFO(bad);
    REQUIRE(client.send(bad + "\n"));
    const auto reply = client.receive();
    REQUIRE(reply);
    CHECK((*reply)["ok"] == false);
    CHECK((*reply)["error"].is_string());
  }
  REQUIRE(client.send("{\"throw\":1}\n"));
  CHECK(*client.receive() == json{{"ok", false}, {"error", "no such command"}});
  REQUIRE(client.send("{}\n"));
  CHECK((*client.receive())["ok"] == true);
}

TEST_CASE("control: a line may have 64 KiB, not more") {
  const TemporaryDirectory directory;
  const auto path = directory / "s";
  const Server server(path);
  const std::string head = "{\"x\":\"";
  const std::string tail = "\"}\n";
  const auto line = [&](std::size_t size) {
    return head + std::string(size - head.size() - tail.size(), 'y') + tail;
  };
  Client good(path);
  REQUIRE(good.send(line(kMaxControlLine)));
  CHECK((*good.receive())["ok"] == true);
  Client bad(path);
  bad.send(line(kMaxControlLine + 1));
  CHECK_FALSE(bad.receive());
}

TEST_CASE("control: only the owner may connect") {
  const TemporaryDirectory directory;
  const auto path = directory / "s";
  const Server server(path);
  struct stat found {};
  REQUIRE(::stat(path.c_str(), &found) == 0);
  CHECK((found.st_mode & 07777) == 0600);
}

TEST_CASE("control: more clients than allowed are closed, and room comes back") {
  const TemporaryDirectory directory;
  const auto path = directory / "s";
  const Server server(path);
  std::vector<std::unique_ptr<Client>> clients;
  for (std::size_t i = 0; i < kMaxControlClients; ++i) {
    clients.push_back(std::make_unique<Client>(path));
    REQUIRE(clients.back()->send("{}\n"));
    REQUIRE(clients.back()->receive());
  }
  Client beyond(path);
  beyond.send("{}\n");
  CHECK_FALSE(beyond.receive());
  clients.clear();
  // The server notices the ends in its own time.
  for (bool served = false; !served;) {
    Client later(path);
    served = later.send("{}\n") && later.receive();
  }
}

TEST_CASE("control: a socket left behind is replaced, a live one and a file are not") {
  const TemporaryDirectory directory;
  const auto path = directory / "s";
  boost::asio::io_context context;
  {
    const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    REQUIRE(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::close(dead);
  }
  {
    const Server server(path);
    CHECK(Client(path).connected());
    CHECK(ControlSocket::open(context, path, at_once(echo)).error().number == EADDRINUSE);
    CHECK(Client(path).connected());
  }
  CHECK_FALSE(std::filesystem::exists(path));  // removed at the end

  const auto file = directory / "file";
  std::ofstream(file) << "precious";
  CHECK(ControlSocket::open(context, file, at_once(echo)).error().number == EADDRINUSE);
  CHECK(std::filesystem::file_size(file) == 8);
  const auto too_long = directory / std::string(108, 'x').c_str();
  CHECK(ControlSocket::open(context, too_long, at_once(echo)).error().number == ENAMETOOLONG);
}

TEST_CASE("control: the socket of a successor stays") {
  const TemporaryDirectory directory;
  const auto path = directory / "s";
  boost::asio::io_context context;
  auto old = ControlSocket::open(context, path, at_once(echo));
  REQUIRE(old);
  std::filesystem::remove(path);
  const Server successor(path);
  old.value().reset();
  CHECK(Client(path).connected());
}
