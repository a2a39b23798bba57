// SPDX-License-Identifier: MIT
/// Fair queues with one rule missing, to see whether the simulation would notice.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bfq_weights/fair_queue.hpp"

namespace blkio::simulation {

using MakeScheduler =
    std::function<std::unique_ptr<bfq_weights::Scheduler>(bfq_weights::Anticipation)>;

/// The one the daemon has.
std::unique_ptr<bfq_weights::Scheduler> make_fair_queue(bfq_weights::Anticipation anticipation);

struct Mutation {
  std::string missing;
  MakeScheduler make;
};
const std::vector<Mutation>& mutations();

}  // namespace blkio::simulation
