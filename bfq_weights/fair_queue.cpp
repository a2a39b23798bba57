// SPDX-License-Identifier: MIT
#include "bfq_weights/fair_queue.hpp"

#include "bfq_weights/fair_queue_rules.hpp"

namespace blkio::bfq_weights {

template class BasicFairQueue<AllRules>;

}  // namespace blkio::bfq_weights
