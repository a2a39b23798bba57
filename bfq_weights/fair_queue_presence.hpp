// SPDX-License-Identifier: MIT
/// In and out of a level of BasicFairQueue, by a gate or for a moment; and live weights. See
/// fair_queue_rules.hpp.
#pragma once

#include <algorithm>
#include <cassert>
#include <utility>

#include "bfq_weights/fair_queue.hpp"

namespace blkio::bfq_weights {

/// A group that uses to be away for longer is not waited for; six times in a row are enough.
inline constexpr TimeNs kLongestThinkNs = kGraceNs;
/// How many of the largest requests, by others, may be held to the credit of a group whose own are
/// at the device. What passes while it thinks, no longer than the grace, comes on top.
inline constexpr std::uint64_t kCreditRequests = 8;

// ---- in and out of a level
// -----------------------------------------------------------------------

template <class Rules>
auto BasicFairQueue<Rules>::level_of(Contender& contender) -> Level& {
  return contender.own ? *contender.place->level : *contender.place->parent->level;
}

template <class Rules>
VirtualTime BasicFairQueue<Rules>::real_start(Level& level, const Contender& contender) {
  if (contender.state == State::kOut) return contender.start;
  return contender.start + level.of_kind(contender.kind).offset;
}

template <class Rules>
Span BasicFairQueue<Rules>::span(const Contender& contender) {
  return Rules::kByFinish ? span_of(passed(contender.estimate, contender.slope)) : 0;
}

template <class Rules>
VirtualTime BasicFairQueue<Rules>::finish(const Contender& contender) {
  return after(contender.start, span(contender));
}

template <class Rules>
void BasicFairQueue<Rules>::change(Contender& contender, DirectionMask mask, Why why) {
  Level& level = level_of(contender);
  const std::uint8_t kind = mask.bits();
  switch (contender.state) {
    case State::kOut:
      if (kind == 0) return;
      enter(level, contender, kind);
      break;
    case State::kAbsent:
      if (kind == 0) return;
      end_absence(level, contender);
      if (kind != contender.kind) change_class(level, contender, kind);
      break;
    default:
      if (kind == contender.kind) return;
      unqueue(level, contender);
      if (kind == 0) {
        const bool thinks = Rules::kGrace && why == Why::kEmptied;
        return thinks ? go_absent(level, contender, now_) : leave(level, contender);
      }
      change_class(level, contender, kind);
  }
  queue(level, contender);
}

// Rule 11: no credit for what it has missed, and no pardon for what it has had.
template <class Rules>
void BasicFairQueue<Rules>::enter(Level& level, Contender& contender, std::uint8_t kind) {
  if (Rules::kReturnsWithoutCredit) contender.start = std::max(contender.start, level.now);
  if (!Rules::kKeepsDebt) contender.start = level.now;
  contender.kind = kind;
  contender.start -= level.of_kind(kind).offset;
  level.weight_of(kind) += contender.weight;
  contender.state = State::kAbsent;
}

template <class Rules>
void BasicFairQueue<Rules>::leave(Level& level, Contender& contender) {
  await(level, contender, false);
  if (contender.link.is_linked()) absent_.erase(absent_.iterator_to(contender));
  contender.start += level.of_kind(contender.kind).offset;
  level.weight_of(contender.kind) -= contender.weight;
  contender.state = State::kOut;
}

// Rule 4: its real tag stays.
template <class Rules>
void BasicFairQueue<Rules>::change_class(Level& level, Contender& contender, std::uint8_t kind) {
  const bool awaited = contender.awaited;
  await(level, contender, false);
  const std::uint8_t before = std::exchange(contender.kind, kind);
  level.weight_of(before) -= contender.weight;
  level.weight_of(kind) += contender.weight;
  if (Rules::kTranslates) {
    contender.start += level.of_kind(before).offset - level.of_kind(kind).offset;
  }
  await(level, contender, awaited);
}

template <class Rules>
void BasicFairQueue<Rules>::queue(Level& level, Contender& contender) {
  Class& of_class = level.of_kind(contender.kind);
  level.queued = static_cast<std::uint8_t>(level.queued | 1U << contender.kind);
  guess(level, contender);
  contender.state = State::kQueued;
  if (is_early(level, contender)) {
    level.seats[contender.seat].span = span(contender);
    of_class.waiting.set(contender.seat, word_of(contender.start, contender.seat));
  } else {
    of_class.eligible.set(contender.seat, word_of(finish(contender), contender.seat));
  }
}

// What a group with children sends next is not known. Too low a guess would make others late.
template <class Rules>
void BasicFairQueue<Rules>::guess(const Level& level, Contender& contender) {
  if (!contender.own && contender.place->level != nullptr) contender.estimate = level.largest_cost;
}

template <class Rules>
bool BasicFairQueue<Rules>::is_early(Level& level, const Contender& contender) {
  return time_of(contender.start) > level.now - level.of_kind(contender.kind).offset;
}

template <class Rules>
void BasicFairQueue<Rules>::unqueue(Level& level, Contender& contender) {
  Class& of_class = level.of_kind(contender.kind);
  const bool eligible = of_class.eligible.at(contender.seat) != kNobody;
  (eligible ? of_class.eligible : of_class.waiting).set(contender.seat, kNobody);
  if (of_class.empty()) {
    level.queued = static_cast<std::uint8_t>(level.queued & ~(1U << contender.kind));
  }
}

template <class Rules>
void BasicFairQueue<Rules>::set_weights(Node& node, std::uint32_t weight, std::uint32_t leaf_weight,
                                        TimeNs now) {
  advance(now);
  Place& place = place_of(node);
  reweigh(place.as_child, weight, place.parent != nullptr);
  place.leaf_weight = leaf_weight;
  if (place.level != nullptr) reweigh(place.level->own_tasks, leaf_weight, true);
}

// What it is ahead of or behind the others stays the same in cost, so it is another in virtual
// time: else weight 1 that becomes 1000 would wait for 1000 requests for each it has had, or have a
// thousandfold of what it was due.
template <class Rules>
void BasicFairQueue<Rules>::reweigh(Contender& contender, std::uint32_t weight, bool has_level) {
  assert(weight >= kMinWeight && weight <= kMaxWeight);
  if (contender.weight == weight) return;
  if (!has_level) {
    contender.weight = weight;
    contender.slope = slope_of(weight);
    return;
  }
  Level& level = level_of(contender);
  const bool there = contender.state != State::kOut;
  const bool queued = there && contender.state != State::kAbsent;
  const bool awaited = contender.awaited;
  if (queued) unqueue(level, contender);
  await(level, contender, false);
  const std::uint32_t before = std::exchange(contender.weight, weight);
  contender.slope = slope_of(weight);
  const VirtualTime ahead = real_start(level, contender) - level.now;
  if (Rules::kReweighs) contender.start += ahead * before / weight - ahead;
  if (there) {
    level.weight_of(contender.kind) += weight - before;
  }
  await(level, contender, awaited);
  if (queued) queue(level, contender);
}

// ---- absence
// -------------------------------------------------------------------------------------

template <class Rules>
void BasicFairQueue<Rules>::go_absent(Level& level, Contender& contender, TimeNs now) {
  contender.state = State::kAbsent;
  await(level, contender, contender.think_ns <= kLongestThinkNs);
  contender.left_ns = now;
  if (contender.at_device == 0) absent_.push_back(contender);
}

// Its last request has ended: it thinks.
template <class Rules>
void BasicFairQueue<Rules>::begin_absence(Level& level, Contender& contender) {
  cap_credit(level, contender);
  contender.left_ns = now_;
  absent_.push_back(contender);
}

template <class Rules>
void BasicFairQueue<Rules>::end_absence(Level& level, Contender& contender) {
  if (contender.link.is_linked()) {
    note_think(contender, now_ - contender.left_ns);
    absent_.erase(absent_.iterator_to(contender));
  } else {
    cap_credit(level, contender);
  }
  await(level, contender, false);
}

template <class Rules>
void BasicFairQueue<Rules>::cap_credit(Level& level, Contender& contender) {
  if (!Rules::kCapsCredit) return;
  const bool awaited = contender.awaited;
  await(level, contender, false);
  const VirtualTime most = passed(kCreditRequests * level.largest_cost, contender.slope);
  const VirtualTime offset = level.of_kind(contender.kind).offset;
  contender.start = std::max(contender.start, level.now - most - offset);
  await(level, contender, awaited);
}

template <class Rules>
void BasicFairQueue<Rules>::note_think(Contender& contender, TimeNs time) {
  contender.think_ns = (7 * contender.think_ns + std::min(time, 2 * kGraceNs)) / 8;
}

template <class Rules>
void BasicFairQueue<Rules>::await(Level& level, Contender& contender, bool wanted) {
  wanted = wanted && anticipates_;
  if (contender.awaited == wanted) return;
  contender.awaited = wanted;
  Tournament& absent = level.of_kind(contender.kind).absent;
  absent.set(contender.seat, wanted ? word_of(contender.start, contender.seat) : kNobody);
  if (wanted) {
    ++awaited_;
  } else {
    --awaited_;
    if (held_for_ == &contender) held_for_ = nullptr;
  }
}

template <class Rules>
void BasicFairQueue<Rules>::advance(TimeNs now) {
  now_ = std::max(now_, now);
  while (!absent_.empty() && absent_.front().left_ns + kGraceNs <= now_) {
    Contender& gone = absent_.front();
    note_think(gone, 2 * kGraceNs);
    leave(level_of(gone), gone);
  }
}

}  // namespace blkio::bfq_weights
