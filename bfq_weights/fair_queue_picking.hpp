// SPDX-License-Identifier: MIT
/// Whose turn it is in BasicFairQueue, and who is waited for. See fair_queue_rules.hpp.
#pragma once

#include <algorithm>
#include <optional>
#include <utility>

#include "bfq_weights/fair_queue.hpp"

namespace blkio::bfq_weights {

template <class Rules>
Direction BasicFairQueue<Rules>::next_direction(const Place& place, DirectionMask mask) {
  if (!mask.has(Direction::kRead)) return Direction::kWrite;
  if (!mask.has(Direction::kWrite)) return Direction::kRead;
  const bool write_is_older = place.heads[1].arrived_ns < place.heads[0].arrived_ns;
  return write_is_older && Rules::kOlderHeadFirst ? Direction::kWrite : Direction::kRead;
}

template <class Rules>
std::optional<Scheduler::Pick> BasicFairQueue<Rules>::pick(DirectionMask allowed, TimeNs now) {
  advance(now);
  held_for_ = nullptr;
  if ((allowed & servable()).empty()) return std::nullopt;
  allowed = allowed & root_->gates;
  Place* place = root_;
  while (place->level != nullptr) {
    Contender* next = choose(*place->level, allowed);
    if (next == nullptr) return std::nullopt;
    if (next->own) break;
    place = next->place;
    if (Rules::kNarrowsMask) allowed = allowed & place->gates;
  }
  picked_ = Pick{place, next_direction(*place, allowed & place->own_heads)};
  return picked_;
}

template <class Rules>
auto BasicFairQueue<Rules>::choose(Level& level, DirectionMask allowed) -> Contender* {
  Contender* first = first_to_go(level, allowed);
  if (awaited_ != 0) {
    Contender* absent = first_absent(level, allowed);
    if (first == nullptr && absent != nullptr) {
      const bool busy = absent->at_device > 0;
      const TimeNs until = absent->left_ns + (busy ? kBusyHoldNs : kGraceNs);
      if (now_ >= until) {
        await(level, *absent, false);
        return choose(level, allowed);
      }
      keep_free_for(*absent, until);
    } else if (absent != nullptr && worth_waiting(level, *absent, *first)) {
      keep_free_for(*absent, absent->left_ns + kShortHoldNs);
      return nullptr;
    }
  }
  picked(level, allowed);
  return first;
}

template <class Rules>
void BasicFairQueue<Rules>::picked(Level& level, DirectionMask allowed) {
  level.picked_from = allowed;
  std::uint32_t weight = 0;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    if ((kind & allowed.bits()) != 0) weight += level.weight_of(kind);
  }
  if (weight == level.picked_weight) return;  // a division saved
  level.picked_weight = weight;
  level.picked_slope = slope_of(weight);
}

// Rule 5. nullptr: nobody can go, or the first is one who is waited for.
template <class Rules>
auto BasicFairQueue<Rules>::first_to_go(Level& level, DirectionMask allowed) -> Contender* {
  Contender* first = first_eligible(level, allowed);
  if (first != nullptr || !Rules::kJumps) return first;
  const auto least = least_start(level, allowed);
  if (!least) return nullptr;
  shift_time(level, allowed, std::max<VirtualTime>(0, *least - level.now));
  return first_eligible(level, allowed);
}

// By service to those who can go. The others' clock stands still: they keep their distance to it.
template <class Rules>
void BasicFairQueue<Rules>::shift_time(Level& level, DirectionMask allowed, VirtualTime time) {
  level.now += time;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    Class& of_class = level.of_kind(kind);
    if ((kind & allowed.bits()) == 0 && Rules::kStopsClosedClasses) of_class.offset += time;
  }
}

template <class Rules>
auto BasicFairQueue<Rules>::first_eligible(Level& level, DirectionMask allowed) -> Contender* {
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    if ((kind & allowed.bits()) != 0 && level.has(kind)) promote(level, level.of_kind(kind));
  }
  const auto first = least_finish(level, allowed);
  return first ? &contender(first->id) : nullptr;
}

// Of those known to be eligible.
template <class Rules>
std::optional<KeyHeap::Entry> BasicFairQueue<Rules>::least_finish(Level& level,
                                                                  DirectionMask allowed) {
  std::optional<KeyHeap::Entry> first;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    if ((kind & allowed.bits()) == 0 || !level.has(kind)) continue;
    const Class& of_class = level.of_kind(kind);
    if (of_class.eligible.empty()) continue;
    const KeyHeap::Entry& top = of_class.eligible.top();
    const KeyHeap::Entry real{top.key + key_of(of_class.offset), top.id, 0};
    if (!first || real.before(*first)) first = real;
  }
  return first;
}

// Moves those the time has come to into the heap by finish. The time of a class never runs
// backwards, so nobody has to be moved back.
template <class Rules>
void BasicFairQueue<Rules>::promote(Level& level, Class& of_class) {
  const Key now = key_of(level.now - of_class.offset);
  while (!of_class.waiting.empty()) {
    const KeyHeap::Entry top = of_class.waiting.top();
    if (before(now, top.key) && Rules::kNeedsEligibility) break;
    of_class.waiting.erase(top.id);
    of_class.eligible.push(top.id, after(top.key, top.span));
  }
}

// Of those who could go, and those waited for as if they could.
template <class Rules>
std::optional<VirtualTime> BasicFairQueue<Rules>::least_start(Level& level, DirectionMask allowed) {
  std::optional<VirtualTime> least;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    Class& of_class = level.of_kind(kind);
    if ((kind & allowed.bits()) == 0) continue;
    for (const KeyHeap* heap : {&of_class.waiting, &of_class.absent}) {
      if (heap->empty()) continue;
      const VirtualTime start = contender(heap->top().id).start + of_class.offset;
      if (!least || start < *least) least = start;
    }
  }
  return least;
}

template <class Rules>
auto BasicFairQueue<Rules>::first_absent(Level& level, DirectionMask allowed) -> Contender* {
  Contender* first = nullptr;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    const Class& of_class = level.of_kind(kind);
    if ((kind & allowed.bits()) == 0 || of_class.absent.empty()) continue;
    Contender& absent = contender(of_class.absent.top().id);
    if (first == nullptr || real_start(level, absent) < real_start(level, *first)) first = &absent;
  }
  return first;
}

// Another could go without getting ahead of its share. The absent one would go before it, and is
// expected within the moment.
template <class Rules>
bool BasicFairQueue<Rules>::worth_waiting(Level& level, const Contender& absent, Contender& ready) {
  if (absent.at_device > 0 || absent.think_ns > kShortHoldNs) return false;
  if (now_ >= absent.left_ns + kShortHoldNs || real_start(level, absent) > level.now) return false;
  const Key finish = finish_key(absent) + key_of(level.of_kind(absent.kind).offset);
  return before(finish, finish_key(ready) + key_of(level.of_kind(ready.kind).offset));
}

// The group that is meant is the one far down that is expected to come back.
template <class Rules>
void BasicFairQueue<Rules>::keep_free_for(Contender& absent, TimeNs until) {
  Contender* meant = &absent;
  while (!meant->own && meant->place->level != nullptr) {
    Contender* below = first_absent(*meant->place->level, DirectionMask::both());
    if (below == nullptr) break;
    meant = below;
  }
  held_for_ = meant;
  held_until_ = until;
  held_since_ = now_;
}

template <class Rules>
Scheduler::Hold BasicFairQueue<Rules>::hold() const {
  if (held_for_ == nullptr) return {};
  return {held_for_->place, held_until_};
}

template <class Rules>
Scheduler::Held BasicFairQueue<Rules>::take_held(TimeNs now) {
  if (held_for_ == nullptr || held_for_->at_device > 0 || now <= held_since_) return {};
  return {held_for_->place, now - std::exchange(held_since_, now)};
}

}  // namespace blkio::bfq_weights
