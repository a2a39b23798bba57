// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "simulation/fair_queue/dice.hpp"
#include "simulation/fair_queue/worlds.hpp"

namespace blkio::simulation {

using bfq_weights::Anticipation;
using bfq_weights::DirectionMask;
using bfq_weights::Head;
using bfq_weights::kGraceNs;
using bfq_weights::Scheduler;

namespace {

class ClientWorld {
 public:
  ClientWorld(const MakeScheduler& make, std::uint64_t seed)
      : dice_(seed), queue_(make(Anticipation::kOn)) {
    root_ = &queue_->add(nullptr, nullptr);
    disk_depth_ = 1 + dice_.below(8);
    service_ns_ = 50'000 + static_cast<TimeNs>(dice_.below(400'000));
    cost_ = 4096;
    const std::uint64_t n = 2 + dice_.below(5);
    for (std::uint64_t i = 0; i < n; ++i) {
      Client& client = clients_.emplace_back();
      client.weight = dice_.weight();
      client.depth = 1U << dice_.below(6);
      client.think_ns = static_cast<TimeNs>(dice_.below(60'000));
      client.place = &queue_->add(root_, &client);
      queue_->set_weights(*client.place, client.weight, 100, 0);
      weights_ += client.weight;
    }
  }

  std::uint64_t run(std::uint64_t events) {
    for (Client& client : clients_) {
      for (unsigned i = 0; i < client.depth; ++i) arrive(client);
    }
    while (events_ < events) step();
    check_shares();
    return events_;
  }

 private:
  struct Client {
    std::uint32_t weight = 100;
    unsigned depth = 1;
    TimeNs think_ns = 0;
    Scheduler::Node* place = nullptr;
    unsigned waiting = 0;
    unsigned at_disk = 0;
    TimeNs idle_since = 0;
    std::uint64_t served = 0;
    std::deque<TimeNs> returns;  ///< when its thinking requests come, in order
  };

  void tell(Client& client) {
    const auto head = client.waiting > 0 ? std::optional(Head{now_, cost_}) : std::nullopt;
    queue_->set_head(*client.place, Direction::kRead, head, now_);
  }

  void arrive(Client& client) {
    take_held();
    if (++client.waiting == 1) tell(client);
  }

  void take_held() {
    const Scheduler::Held held = queue_->take_held(now_);
    if (held.node == nullptr) return;
    const auto& client = *static_cast<Client*>(held.node->owner());
    if (client.at_disk > 0) dice_.fail("idle for one whose requests are at the device", now_);
    if (now_ > client.idle_since + kGraceNs) dice_.fail("kept free for too long", now_);
    held_ns_ += held.duration_ns;
  }

  void step() {
    ++events_;
    take_held();
    if (at_disk_.size() < disk_depth_ && dispatch()) return;
    TimeNs next = at_disk_.empty() ? kNever : disk_free_ns_;
    Client* comes = nullptr;
    for (Client& client : clients_) {
      if (!client.returns.empty() && client.returns.front() < next) {
        next = client.returns.front();
        comes = &client;
      }
    }
    const Scheduler::Hold hold = queue_->hold();
    if (hold.node != nullptr && hold.until_ns < next) {
      now_ = std::max(now_, hold.until_ns);
      return;
    }
    if (next == kNever) dice_.fail("nothing will ever happen again", now_);
    now_ = std::max(now_, next);
    if (comes != nullptr) {
      comes->returns.pop_front();
      arrive(*comes);
    } else {
      complete();
    }
  }

  bool dispatch() {
    const bool some = !queue_->servable().empty();
    const auto pick = queue_->pick(DirectionMask::both(), now_);
    const Scheduler::Hold hold = queue_->hold();
    if (pick && hold.node != nullptr) dice_.fail("picked and held at once", now_);
    if (!pick && (hold.node != nullptr) != some) {
      dice_.fail(some ? "nothing picked, nobody waited for" : "held though nobody waits", now_);
    }
    if (hold.node != nullptr) check_hold(*static_cast<Client*>(hold.node->owner()), hold);
    if (!pick) return false;
    auto& client = *static_cast<Client*>(pick->node->owner());
    --client.waiting;
    ++client.at_disk;
    client.served += cost_;
    served_ += cost_;
    tell(client);
    queue_->charge(*client.place, pick->direction, cost_, now_);
    if (at_disk_.empty()) disk_free_ns_ = now_ + service_ns_;
    at_disk_.push_back(&client);
    return true;
  }

  void check_hold(const Client& client, const Scheduler::Hold& hold) {
    if (client.waiting > 0) dice_.fail("waiting for one who is there", now_);
    if (client.at_disk > 0) return;
    if (hold.until_ns > client.idle_since + kGraceNs || hold.until_ns <= now_) {
      dice_.fail("waiting for one who left long ago", now_);
    }
  }

  void complete() {
    take_held();
    Client& client = *at_disk_.front();
    at_disk_.pop_front();
    --client.at_disk;
    client.idle_since = now_;
    queue_->completed(*client.place, now_);
    client.returns.push_back(now_ + client.think_ns);
    disk_free_ns_ = now_ + service_ns_;
  }

  // A serial disk can give each his share however few requests he has, for it is kept free. Each is
  // off by the requests under way and one turn of the order, at most.
  void check_shares() {
    for (const Client& client : clients_) {
      const double ideal = double(client.weight) / static_cast<double>(weights_);
      const double has = double(client.served) / static_cast<double>(served_);
      const double slack =
          0.003 + 2.0 * static_cast<double>(disk_depth_ + 1) * double(cost_) / double(served_);
      if (std::abs(has - ideal) > slack) {
        dice_.fail("weight " + std::to_string(client.weight) + " of " + std::to_string(weights_) +
                       " with " + std::to_string(client.depth) + " requests has " +
                       std::to_string(has) + " instead of " + std::to_string(ideal),
                   now_);
      }
    }
  }

  Dice dice_;
  std::unique_ptr<Scheduler> queue_;
  Scheduler::Node* root_ = nullptr;
  std::deque<Client> clients_;
  std::deque<Client*> at_disk_;
  TimeNs now_ = 0;
  TimeNs disk_free_ns_ = 0;
  TimeNs service_ns_ = 0;
  TimeNs held_ns_ = 0;
  std::uint64_t disk_depth_ = 1;
  std::uint64_t cost_ = 4096;
  std::uint64_t weights_ = 0;
  std::uint64_t served_ = 0;
  std::uint64_t events_ = 0;
};

}  // namespace

std::uint64_t run_client_world(const MakeScheduler& make, std::uint64_t seed,
                               std::uint64_t events) {
  return ClientWorld(make, seed).run(events);
}

}  // namespace blkio::simulation
