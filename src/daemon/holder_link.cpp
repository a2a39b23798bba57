// SPDX-License-Identifier: MIT
#include "holder_link.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace blkio::daemon {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = 16 << 10;
constexpr std::size_t kMostDescriptors = 4;

/// Space for the descriptors of one message, aligned as the kernel wants it.
union Control {
  std::array<char, CMSG_SPACE(sizeof(int) * kMostDescriptors)> space;
  cmsghdr align;
};

LinkMessage refusal(const Error& error) {
  return {{{"ok", false}, {"error", "the holder does not answer: " + error.to_string()}}, {}};
}

std::vector<int> descriptors_of(msghdr& message) {
  std::vector<int> found;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    found.resize((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    std::memcpy(found.data(), CMSG_DATA(head), found.size() * sizeof(int));
  }
  return found;
}

}  // namespace

Result<LinkEnds> make_link() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return failure(errno, "socketpair");
  }
  return LinkEnds{ends[0], ends[1]};
}

Result<void> send_message(int end, const LinkMessage& message) {
  std::string text = message.body.dump(-1, ' ', false, json::error_handler_t::replace);
  iovec data{text.data(), text.size()};
  Control control{};
  msghdr head{};
  head.msg_iov = &data;
  head.msg_iovlen = 1;
  if (!message.descriptors.empty()) {
    const std::size_t bytes = message.descriptors.size() * sizeof(int);
    head.msg_control = control.space.data();
    head.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&head);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    std::memcpy(CMSG_DATA(rights), message.descriptors.data(), bytes);
  }
  if (::sendmsg(end, &head, MSG_NOSIGNAL) < 0) return failure(errno);
  return success();
}

Result<LinkMessage> receive_message(int end) {
  std::string text(kMostBytes, '\0');
  iovec data{text.data(), text.size()};
  Control control{};
  msghdr head{};
  head.msg_iov = &data;
  head.msg_iovlen = 1;
  head.msg_control = control.space.data();
  head.msg_controllen = control.space.size();
  const ssize_t got = ::recvmsg(end, &head, MSG_CMSG_CLOEXEC);
  if (got < 0) return failure(errno);
  if (got == 0) return failure(EPIPE);
  text.resize(static_cast<std::size_t>(got));
  LinkMessage message{json::parse(text, nullptr, false), descriptors_of(head)};
  if (message.body.is_object()) return message;
  for (const int fd : message.descriptors) ::close(fd);
  return failure(EBADMSG);
}

HolderLink::HolderLink(boost::asio::io_context& context, int end) : end_(context, end) {}

HolderLink::~HolderLink() {
  end_.release();
}

void HolderLink::ask(const json& question, Answered answered) {
  const Result<void> sent = send_message(end_.native_handle(), {question, {}});
  if (!sent) return answered(refusal(sent.error()));
  waiting_.push_back(std::move(answered));
  if (!std::exchange(listening_, true)) listen();
}

void HolderLink::listen() {
  end_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                  [this](const boost::system::error_code& stopped) {
                    if (stopped) return;
                    Result<LinkMessage> message = receive_message(end_.native_handle());
                    listening_ = message.has_value();
                    if (!message) return fail_all(message.error());
                    if (!waiting_.empty()) {
                      const Answered answered = std::move(waiting_.front());
                      waiting_.pop_front();
                      answered(std::move(message.value()));
                    }
                    listening_ = !waiting_.empty();
                    if (listening_) listen();
                  });
}

void HolderLink::fail_all(const Error& error) {
  for (Answered& answered : std::exchange(waiting_, {})) answered(refusal(error));
}

}  // namespace blkio::daemon
