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
    fetch_level(*place);
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
    if ((kind & allowed.bits()) == 0 || !level.has(kind)) continue;
    Class& of_class = level.of_kind(kind);
    fetch_next(level, of_class);
    promote(level, of_class);
  }
  const Word first = least_finish(level, allowed);
  return first == kNobody ? nullptr : &contender(level, first);
}

// With very many groups a decision is as long as it waits for memory. Whose turn it most likely is
// is known before it is certain: his lines, and those in which he will be seated anew, come
// meanwhile.
template <class Rules>
inline void BasicFairQueue<Rules>::fetch_next(Level& level, const Class& of_class) {
  const bool known = !of_class.eligible.empty();
  const Word first = known ? of_class.eligible.first() : of_class.waiting.first();
  if (first == kNobody) return;
  const Place& place = places_[level.seats[number_of(first)].id / 2];
  __builtin_prefetch(&place, 1);
  __builtin_prefetch(&place.as_child, 1);
  of_class.eligible.fetch(number_of(first));
  of_class.waiting.fetch(number_of(first));
}

// All that the next level's decision begins with, not one line after the other. The level knows
// which of its classes it needs; that is most likely the one its group itself is in.
template <class Rules>
inline void BasicFairQueue<Rules>::fetch_level(const Place& place) {
  if (place.level == nullptr) return;
  const auto* level = reinterpret_cast<const std::byte*>(place.level.get());
  const auto* of_class =
      reinterpret_cast<const std::byte*>(&place.level->of_kind(place.as_child.kind));
  for (const std::byte* from : {level, of_class}) {
    __builtin_prefetch(from, 1);
    __builtin_prefetch(from + 64, 1);
  }
}

// Of those known to be eligible; kNobody: there are none.
template <class Rules>
Word BasicFairQueue<Rules>::least_finish(Level& level, DirectionMask allowed) {
  Word least = kNobody;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    if ((kind & allowed.bits()) == 0 || !level.has(kind)) continue;
    const Class& of_class = level.of_kind(kind);
    if (of_class.eligible.empty()) continue;
    least = std::min(least, of_class.eligible.first() + time_of(of_class.offset));
  }
  return least;
}

// Those the time has come to are ordered by finish from now on. The time of a class never runs
// backwards, so nobody has to be moved back.
template <class Rules>
void BasicFairQueue<Rules>::promote(Level& level, Class& of_class) {
  const VirtualTime now = level.now - of_class.offset;
  while (!of_class.waiting.empty()) {
    const Word first = of_class.waiting.first();
    if (time_of(first) > now && Rules::kNeedsEligibility) break;
    const std::uint32_t seat = number_of(first);
    of_class.waiting.set(seat, kNobody);
    of_class.eligible.set(seat, after(first, level.seats[seat].span));
  }
}

// Of those who could go, and those waited for as if they could.
template <class Rules>
std::optional<VirtualTime> BasicFairQueue<Rules>::least_start(Level& level, DirectionMask allowed) {
  std::optional<VirtualTime> least;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    Class& of_class = level.of_kind(kind);
    if ((kind & allowed.bits()) == 0) continue;
    for (const Tournament* those : {&of_class.waiting, &of_class.absent}) {
      if (those->empty()) continue;
      const VirtualTime start = contender(level, those->first()).start + of_class.offset;
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
    Contender& absent = contender(level, of_class.absent.first());
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
  const VirtualTime due = finish(absent) + level.of_kind(absent.kind).offset;
  return due < finish(ready) + level.of_kind(ready.kind).offset;
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
