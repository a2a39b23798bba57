// SPDX-License-Identifier: MIT
/// Several devices of one engine, their clients and a virtual clock, for limits that devices share.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <vector>

#include "io_queue.hpp"
#include "rules_of.hpp"

namespace blkio::test {

using data_plane::GroupMap;
using data_plane::IoQueue;
using data_plane::QueuedIo;

/// The engine's loop in small: in each pass all devices have their turn, one after the other, at
/// one time; then it sleeps until the earliest deadline. A device ends a request at once.
struct SharedWorld {
  static constexpr GroupId kA{2};   // a child of the root
  static constexpr GroupId kAA{3};  // two children of a
  static constexpr GroupId kAB{4};
  static constexpr TimeNs kPassNs = 5'000;  ///< the least between two passes

  struct Disk {
    std::unique_ptr<IoQueue> queue;
    bool stuck = false;  ///< nothing is taken from it, as while a request waits for memory
  };
  /// `depth` requests, each of them sent again when it has ended.
  struct Client {
    std::size_t disk = 0;
    GroupId group = kA;
    Op op = Op::kRead;
    std::uint64_t bytes = 4096;
    int depth = 1;
    std::uint64_t went = 0;
    bool stopped = false;
    std::vector<TimeNs> times{};
  };

  explicit SharedWorld(std::size_t count, Hierarchy hierarchy = Hierarchy::kTree,
                       const data_plane::Sharing& sharing = {}) {
    map.group_added(kA, GroupId::kRoot, a);
    map.group_added(kAA, kA, aa);
    map.group_added(kAB, kA, ab);
    for (std::uint32_t i = 0; i < count; ++i) {
      disks.push_back(
          {std::make_unique<IoQueue>(DeviceNumber{7, i}, hierarchy, map, true, sharing)});
    }
  }
  ~SharedWorld() { disks.clear(); }

  IoQueue& queue(std::size_t disk) { return *disks[disk].queue; }
  void set(std::size_t disk, const DeviceRules& rules, GroupId group = kA,
           Levels levels = Levels::kKept) {
    queue(disk).set_rules(group, rules, levels, now);
  }
  void share(std::size_t disk, std::size_t other, GroupId group = kA) {
    queue(disk).share(group, queue(other), now);
  }
  void share_all(GroupId group = kA) {
    for (std::size_t i = 1; i < disks.size(); ++i) share(i, 0, group);
  }

  Client& start(const Client& client) {
    Client& started = clients.emplace_back(client);
    for (int i = 0; i < client.depth; ++i) arrive(started);
    return started;
  }
  QueuedIo& arrive(Client& client) {
    Request& request = requests.emplace_back();
    request.client = &client;
    request.op = client.op;
    request.bytes = client.bytes;
    queue(client.disk).arrive(request, client.group, now);
    return request;
  }

  /// One pass of the loop; how many went.
  int pass() {
    int went = 0;
    std::vector<Request*> ended;
    for (Disk& disk : disks) {
      if (disk.queue == nullptr || disk.stuck) continue;
      while (QueuedIo* io = disk.queue->next(now)) {
        ++went;
        ended.push_back(static_cast<Request*>(io));
        ++ended.back()->client->went;
        ended.back()->client->times.push_back(now);
        order.push_back(static_cast<std::size_t>(&disk - disks.data()));
      }
    }
    for (Request* request : ended) end(*request);
    return went;
  }
  /// Wake-ups are `late_ns` late.
  void run_until(TimeNs stop, TimeNs late_ns = 0) {
    while (now < stop) {
      const int went = pass();
      TimeNs next = deadline();
      if (went != 0 || next <= now + kPassNs)
        next = now + kPassNs;
      else if (next != kNever)
        next += late_ns;
      now = std::min(next, stop);
    }
  }
  TimeNs deadline() {
    TimeNs next = kNever;
    for (Disk& disk : disks) {
      if (disk.queue == nullptr) continue;
      const TimeNs own = disk.queue->deadline();
      disk.queue->holders_changed();
      if (!disk.stuck) next = std::min(next, own);
    }
    return next;
  }
  LimitReport report(std::size_t disk, Limit limit, GroupId group = kA) {
    return queue(disk).throttle_report(group, now).of(limit);
  }

  TimeNs now = 0;
  std::vector<std::size_t> order;  ///< the disks of all requests that went
  std::deque<Client> clients;

 private:
  struct Request : QueuedIo {
    Client* client = nullptr;
  };
  void end(Request& request) {
    Client& client = *request.client;
    queue(client.disk).complete(request, now);
    if (client.stopped) return;
    queue(client.disk).arrive(request, client.group, now);
  }

  std::deque<Request> requests;  // outlive the queues

 public:
  stats::GroupStats root;
  stats::GroupStats a;
  stats::GroupStats aa;
  stats::GroupStats ab;
  GroupMap map{root};
  std::vector<Disk> disks;
};

}  // namespace blkio::test
