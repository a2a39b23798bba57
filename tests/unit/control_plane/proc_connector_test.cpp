// SPDX-License-Identifier: MIT
#include "control_plane/proc_connector.hpp"

#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/netlink.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <vector>

using namespace blkio::control_plane;

namespace {

std::vector<std::byte> message(const proc_event& event, std::uint16_t event_bytes = sizeof event) {
  nlmsghdr netlink{};
  netlink.nlmsg_type = NLMSG_DONE;
  cn_msg connector{};
  connector.id = {CN_IDX_PROC, CN_VAL_PROC};
  connector.len = event_bytes;
  std::vector<std::byte> bytes(sizeof netlink + sizeof connector + sizeof event);
  std::memcpy(bytes.data(), &netlink, sizeof netlink);
  std::memcpy(bytes.data() + sizeof netlink, &connector, sizeof connector);
  std::memcpy(bytes.data() + sizeof netlink + sizeof connector, &event, sizeof event);
  return bytes;
}

proc_event fork_event() {
  proc_event event{};
  event.what = proc_event::PROC_EVENT_FORK;
  event.event_data.fork = {.parent_pid = 11, .parent_tgid = 10, .child_pid = 21, .child_tgid = 20};
  return event;
}

}  // namespace

TEST_CASE("connector: a fork") {
  const auto event = parse_connector_message(message(fork_event()));
  REQUIRE(event);
  CHECK(event->kind == TaskEvent::Kind::kFork);
  CHECK(event->parent_tid == 11);
  CHECK(event->tid == 21);
  CHECK(event->tgid == 20);
}

TEST_CASE("connector: an exec and an exit") {
  proc_event event{};
  event.what = proc_event::PROC_EVENT_EXEC;
  event.event_data.exec = {.process_pid = 20, .process_tgid = 20};
  const auto exec = parse_connector_message(message(event));
  REQUIRE(exec);
  CHECK(exec->kind == TaskEvent::Kind::kExec);
  CHECK(exec->tgid == 20);

  event.what = proc_event::PROC_EVENT_EXIT;
  event.event_data.exit = {};
  event.event_data.exit.process_pid = 21;
  event.event_data.exit.process_tgid = 20;
  const auto exit = parse_connector_message(message(event));
  REQUIRE(exit);
  CHECK(exit->kind == TaskEvent::Kind::kExit);
  CHECK(exit->tid == 21);
}

TEST_CASE("connector: events of older kernels are shorter") {
  // Before the exit event knew its parent, 32 bytes followed the 16 of the header.
  CHECK(parse_connector_message(message(fork_event(), 16 + 32 - 8)));
}

TEST_CASE("connector: what is not an event we use is ignored") {
  proc_event uid{};
  uid.what = proc_event::PROC_EVENT_UID;
  CHECK_FALSE(parse_connector_message(message(uid)));
  CHECK_FALSE(parse_connector_message({}));
  const auto whole = message(fork_event());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_FALSE(parse_connector_message(std::span(whole).first(size)));
  }
  CHECK_FALSE(parse_connector_message(message(fork_event(), 8)));  // too short to hold a fork
  auto foreign = whole;
  const cn_msg other{.id = {CN_IDX_PROC + 1, 1}, .seq = 0, .ack = 0, .len = 40, .flags = 0};
  std::memcpy(foreign.data() + sizeof(nlmsghdr), &other, sizeof other);
  CHECK_FALSE(parse_connector_message(foreign));
}
