// SPDX-License-Identifier: MIT
/// What holder and worker say to each other while both run: JSON, with descriptors.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "blkio/result.hpp"

namespace blkio::daemon {

struct LinkMessage {
  nlohmann::json body;
  std::vector<int> descriptors;  ///< whoever receives them owns them
};

/// A pair of ends; each keeps the borders of messages. Closed on exec.
struct LinkEnds {
  int holder = -1;
  int worker = -1;
};
Result<LinkEnds> make_link();

/// EMSGSIZE, EPIPE and others of sendmsg(2).
Result<void> send_message(int end, const LinkMessage& message);
/// EPIPE: the other end is gone. EBADMSG: that was none of ours.
Result<LinkMessage> receive_message(int end);

/// The worker's end: questions, answered in their order. Control thread only.
class HolderLink {
 public:
  using Answered = std::function<void(LinkMessage)>;

  /// Borrows the end.
  HolderLink(boost::asio::io_context& context, int end);
  ~HolderLink();

  /// `answered` gets {"ok": false, "error": ...} when the holder cannot be asked.
  void ask(const nlohmann::json& question, Answered answered);

 private:
  void listen();
  void fail_all(const Error& error);

  boost::asio::posix::stream_descriptor end_;
  std::deque<Answered> waiting_;
  bool listening_ = false;
};

}  // namespace blkio::daemon
