// SPDX-License-Identifier: MIT
/// What a request does to the tags and times of BasicFairQueue. See fair_queue_rules.hpp.
#pragma once

#include <algorithm>
#include <cassert>

#include "bfq_weights/fair_queue.hpp"

namespace blkio::bfq_weights {

template <class Rules>
void BasicFairQueue<Rules>::charge(Node& node, Direction direction, std::uint64_t cost,
                                   TimeNs now) {
  assert(cost <= kMostCost);
  advance(now);
  const bool picked = picked_ && picked_->node == &node && picked_->direction == direction;
  picked_.reset();
  if (!Rules::kChargesBothDirections && direction == Direction::kWrite) cost = 0;
  Place& place = place_of(node);
  if (place.level != nullptr) {
    charge_contender(place.level->own_tasks, direction, cost, picked);
    ++place.level->own_tasks.at_device;
  }
  for (Place* payer = &place; payer != nullptr; payer = payer->parent) {
    if (payer->parent != nullptr) charge_contender(payer->as_child, direction, cost, picked);
    ++payer->as_child.at_device;
    if (!Rules::kChargesAncestors) cost = 0;
  }
}

// It is served among those who can serve the direction, even if that was the last of its requests
// there; else its own clock would stand still while it is served.
template <class Rules>
void BasicFairQueue<Rules>::charge_contender(Contender& payer, Direction direction,
                                             std::uint64_t cost, bool picked) {
  const DirectionMask only(direction);
  const DirectionMask waiting = DirectionMask::of_bits(payer.kind);
  const bool was_last = payer.state == State::kQueued && !waiting.has(direction);
  if (was_last) change(payer, waiting | only, Why::kGate);
  if (!picked) pass(payer, only);
  charge_level(payer, cost);
  if (was_last) change(payer, waiting, Why::kGate);
}

// Rules 8 and 9. Nothing but this moves a tag or the time of a level by a request.
template <class Rules>
void BasicFairQueue<Rules>::charge_level(Contender& payer, std::uint64_t cost) {
  Level& level = level_of(payer);
  if (payer.state == State::kAbsent && payer.link.is_linked())
    absent_.erase(absent_.iterator_to(payer));
  payer.start += passed(cost, payer.slope);
  level.largest_cost = std::max(cost, level.largest_cost - level.largest_cost / 256);
  requeue(level, payer);
  if (Rules::kTimePasses) pass_time(level, cost);
}

// Service moves the time, but never past who could go: nobody is later than his finish tag by more
// than the largest request takes all of them. While nothing closes and nobody comes back with
// credit that holds of itself (a request is late by no more than the one it found under way). Else
// it must be seen to, or what the others are ahead of him adds up.
template <class Rules>
void BasicFairQueue<Rules>::pass_time(Level& level, std::uint64_t cost) {
  VirtualTime time = passed(cost, level.picked_slope);
  const Word first = least_finish(level, level.picked_from);
  if (first != kNobody && Rules::kWaitsForTheLast) {
    const VirtualTime due =
        time_of(first) - level.now + passed(level.largest_cost, level.picked_slope);
    time = std::clamp<VirtualTime>(due, 0, time);
  }
  shift_time(level, level.picked_from, time);
}

// It was not picked, for nothing could be: it came, and went at once. As if it had waited for that
// moment, among those who could have gone.
template <class Rules>
void BasicFairQueue<Rules>::pass(Contender& payer, DirectionMask only) {
  Level& level = level_of(payer);
  if (payer.state == State::kOut) {
    enter(level, payer, only.bits());
    go_absent(level, payer, now_);
  } else if (payer.state == State::kAbsent) {
    if (payer.link.is_linked()) note_think(payer, now_ - payer.left_ns);
    if (payer.kind != only.bits()) change_class(level, payer, only.bits());
  }
  const DirectionMask open = gates_above(payer) | only;
  const auto least = least_start(level, open);
  const VirtualTime start = real_start(level, payer);
  const VirtualTime first = least ? std::min(*least, start) : start;
  shift_time(level, open, std::max<VirtualTime>(0, first - level.now));
  picked(level, open);
}

// What pick() would have been left with at the payer's level.
template <class Rules>
DirectionMask BasicFairQueue<Rules>::gates_above(const Contender& payer) {
  DirectionMask open = DirectionMask::both();
  const Place* place = payer.own ? payer.place : payer.place->parent;
  for (; place != nullptr; place = place->parent) open = open & place->gates;
  return open;
}

template <class Rules>
void BasicFairQueue<Rules>::requeue(Level& level, Contender& payer) {
  if (payer.state == State::kOut) return;
  if (payer.state == State::kAbsent) {
    if (payer.awaited)
      level.of_kind(payer.kind).absent.set(payer.seat, word_of(payer.start, payer.seat));
    return;
  }
  Tournament& eligible = level.of_kind(payer.kind).eligible;
  if (eligible.at(payer.seat) != kNobody && !is_early(level, payer)) {
    guess(level, payer);
    eligible.set(payer.seat, word_of(finish(payer), payer.seat));
  } else {
    unqueue(level, payer);
    queue(level, payer);
  }
}

template <class Rules>
void BasicFairQueue<Rules>::completed(Node& node, TimeNs now) {
  advance(now);
  Place& place = place_of(node);
  const auto ended = [this](Contender& payer) {
    assert(payer.at_device > 0);
    if (--payer.at_device > 0 || payer.state != State::kAbsent) return;
    begin_absence(level_of(payer), payer);
  };
  if (place.level != nullptr) ended(place.level->own_tasks);
  for (Place* payer = &place; payer != nullptr; payer = payer->parent) ended(payer->as_child);
}

}  // namespace blkio::bfq_weights
