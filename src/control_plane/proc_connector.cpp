// SPDX-License-Identifier: MIT
#include "proc_connector.hpp"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

namespace blkio::control_plane {
namespace {

using namespace std::chrono_literals;

// A fork costs the socket nearly 1 KiB; the default of 208 KiB is overrun by 256 of them.
constexpr int kReceiveBytes = 16 << 20;
constexpr std::size_t kDatagramBytes = 1024;
constexpr auto kFilteredPatience = 250ms;
constexpr auto kPatience = 1000ms;

// struct proc_input of Linux 6.6 (include/uapi/linux/cn_proc.h), which older headers lack.
struct ProcInput {
  std::uint32_t operation;
  std::uint32_t events;
};
constexpr std::uint32_t kWantedEvents = std::uint32_t{proc_event::PROC_EVENT_FORK} |
                                        std::uint32_t{proc_event::PROC_EVENT_EXEC} |
                                        std::uint32_t{proc_event::PROC_EVENT_EXIT};

template <class Struct>
bool take(std::span<const std::byte>& bytes, Struct& value, std::size_t size = sizeof(Struct)) {
  if (bytes.size() < size) return false;
  std::memcpy(&value, bytes.data(), size);
  bytes = bytes.subspan(size);
  return true;
}

std::optional<TaskEvent> translate(const proc_event& event) {
  using Kind = TaskEvent::Kind;
  switch (event.what) {
    case proc_event::PROC_EVENT_FORK: {
      const auto& fork = event.event_data.fork;
      return TaskEvent{Kind::kFork, fork.child_pid, fork.child_tgid, fork.parent_pid};
    }
    case proc_event::PROC_EVENT_EXEC: {
      const auto& exec = event.event_data.exec;
      return TaskEvent{Kind::kExec, exec.process_pid, exec.process_tgid, 0};
    }
    case proc_event::PROC_EVENT_EXIT: {
      const auto& exit = event.event_data.exit;
      return TaskEvent{Kind::kExit, exit.process_pid, exit.process_tgid, 0};
    }
    default:
      return std::nullopt;
  }
}

// PROC_USER_INIT_INO and PROC_PID_INIT_INO of include/linux/proc_ns.h, the same since Linux 3.8.
constexpr ino_t kInitialUserNamespace = 0xEFFFFFFDU;
constexpr ino_t kInitialPidNamespace = 0xEFFFFFFCU;

bool is_namespace(const char* path, ino_t number) {
  struct stat found {};
  return ::stat(path, &found) == 0 && found.st_ino == number;
}

}  // namespace

std::optional<TaskEvent> parse_connector_message(std::span<const std::byte> datagram) {
  nlmsghdr netlink;
  cn_msg connector;
  proc_event event{};
  if (!take(datagram, netlink) || netlink.nlmsg_type != NLMSG_DONE) return std::nullopt;
  if (!take(datagram, connector) || connector.id.idx != CN_IDX_PROC) return std::nullopt;
  // Kernels differ in the size of the union at the end of the event: what we read of it is in all.
  if (connector.len > datagram.size()) return std::nullopt;
  const std::size_t smallest = offsetof(proc_event, event_data) + sizeof event.event_data.fork;
  if (connector.len < smallest) return std::nullopt;
  if (!take(datagram, event, std::min<std::size_t>(connector.len, sizeof event))) {
    return std::nullopt;
  }
  return translate(event);
}

Result<std::unique_ptr<ProcConnector>> ProcConnector::open() {
  // Elsewhere the kernel ignores the subscription, but delivers as long as anybody else has one.
  if (!is_namespace("/proc/self/ns/user", kInitialUserNamespace) ||
      !is_namespace("/proc/self/ns/pid", kInitialPidNamespace)) {
    return failure(ENODATA, "proc connector: only in the initial user and pid namespaces");
  }
  const int fd = ::socket(PF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_CONNECTOR);
  if (fd < 0) return failure(errno, "proc connector");
  std::unique_ptr<ProcConnector> connector(new ProcConnector(fd));
  connector->enlarge_buffer();
  BLKIO_TRY(connector->bind_to_group());
  // A kernel before 6.6 ignores a subscription with a filter without a word.
  BLKIO_TRY(connector->subscribe(true));
  if (connector->delivers(kFilteredPatience)) return connector;
  BLKIO_TRY(connector->subscribe(false));
  if (connector->delivers(kPatience)) return connector;
  return failure(ENODATA, "proc connector: no events in this namespace");
}

ProcConnector::~ProcConnector() {
  ::close(socket_);
}

void ProcConnector::enlarge_buffer() {
  // Past the system's bound where we may; whatever we get, an overrun is noticed and repaired.
  if (::setsockopt(socket_, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBytes, sizeof kReceiveBytes) !=
      0) {
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &kReceiveBytes, sizeof kReceiveBytes);
  }
}

Result<void> ProcConnector::bind_to_group() {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = CN_IDX_PROC;
  if (::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return failure(errno, "proc connector");
  }
  return success();
}

Result<void> ProcConnector::subscribe(bool filtered) {
  const ProcInput input{PROC_CN_MCAST_LISTEN, kWantedEvents};
  // Without the filter the message is the operation alone.
  const std::size_t input_size = filtered ? sizeof input : sizeof input.operation;
  const std::size_t size = sizeof(nlmsghdr) + sizeof(cn_msg) + input_size;
  nlmsghdr netlink{};
  netlink.nlmsg_len = static_cast<std::uint32_t>(size);
  netlink.nlmsg_type = NLMSG_DONE;
  cn_msg connector{};
  connector.id = {CN_IDX_PROC, CN_VAL_PROC};
  connector.len = static_cast<std::uint16_t>(input_size);
  std::array<std::byte, sizeof(nlmsghdr) + sizeof(cn_msg) + sizeof(ProcInput)> message;
  std::memcpy(message.data(), &netlink, sizeof netlink);
  std::memcpy(message.data() + sizeof netlink, &connector, sizeof connector);
  std::memcpy(message.data() + sizeof netlink + sizeof connector, &input, input_size);
  if (::send(socket_, message.data(), size, 0) < 0) return failure(errno, "proc connector");
  return success();
}

bool ProcConnector::delivers(std::chrono::milliseconds patience) {
  pid_t probe = 0;
  std::thread([&] { probe = ::gettid(); }).join();
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (bool seen = false;;) {
    drain([&](const TaskEvent& event) { seen = seen || event.tid == probe; });
    if (seen) return true;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left <= 0ms) return false;
    pollfd readable{socket_, POLLIN, 0};
    ::poll(&readable, 1, static_cast<int>(left.count()));
  }
}

bool ProcConnector::drain(const Sink& sink) {
  bool complete = true;
  alignas(nlmsghdr) std::array<std::byte, kDatagramBytes> datagram;
  for (;;) {
    sockaddr_nl sender{};
    socklen_t sender_size = sizeof sender;
    const ssize_t size = ::recvfrom(socket_, datagram.data(), datagram.size(), MSG_DONTWAIT,
                                    reinterpret_cast<sockaddr*>(&sender), &sender_size);
    if (size < 0) {
      if (errno == ENOBUFS) complete = false;
      if (errno == ENOBUFS || errno == EINTR) continue;
      return complete;  // EAGAIN: all read
    }
    if (sender.nl_pid != 0) continue;  // not from the kernel
    const std::span<const std::byte> message(datagram.data(), static_cast<std::size_t>(size));
    if (const auto event = parse_connector_message(message)) sink(*event);
  }
}

}  // namespace blkio::control_plane
