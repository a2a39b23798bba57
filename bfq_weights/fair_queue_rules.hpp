// SPDX-License-Identifier: MIT
/// How BasicFairQueue does it. Included by fair_queue.cpp, which makes the production one, and by
/// the tests that take a rule out.
#pragma once

#include "bfq_weights/fair_queue.hpp"
#include "bfq_weights/fair_queue_charging.hpp"
#include "bfq_weights/fair_queue_picking.hpp"
#include "bfq_weights/fair_queue_presence.hpp"
#include "bfq_weights/fair_queue_tree.hpp"
