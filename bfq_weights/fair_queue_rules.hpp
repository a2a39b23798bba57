// SPDX-License-Identifier: MIT
/// How BasicFairQueue does it. Included by fair_queue.cpp, which makes the production one, and by
/// the tests that take a rule out.
#pragma once

#include <algorithm>
#include <cassert>
#include <memory>
#include <utility>

#include "bfq_weights/fair_queue.hpp"

namespace blkio::bfq_weights {

/// A group that uses to be away for longer is not waited for; six times in a row are enough.
inline constexpr TimeNs kLongestThinkNs = kGraceNs;
/// How many of the largest requests, by others, may be held to the credit of a group whose own are
/// at the device. What passes while it thinks, no longer than the grace, comes on top.
inline constexpr std::uint64_t kCreditRequests = 8;

// ---- places ------------------------------------------------------------------------------------

template <class Rules>
BasicFairQueue<Rules>::Place::Place(Place* parent_place, void* owner, std::uint32_t index)
    : Node(owner), parent(parent_place) {
  as_child.place = own_tasks.place = this;
  as_child.id = 2 * index;
  own_tasks.id = 2 * index + 1;
  own_tasks.own = true;
}

template <class Rules>
BasicFairQueue<Rules>::Places::~Places() {
  for (std::uint32_t i = 0; i < made_; ++i) {
    Slot& slot = chunk_of(i)[i % kChunk];
    if (slot.used) std::destroy_at(slot.get());
  }
}

template <class Rules>
auto BasicFairQueue<Rules>::Places::make(Place* parent, void* owner) -> Place& {
  std::uint32_t index = made_;
  if (free_.empty()) {
    if (index % kChunk == 0) chunks_.push_back(std::make_unique<Slot[]>(kChunk));
    ++made_;
    if (free_.capacity() < made_) free_.reserve(2 * made_);  // destroy() must not allocate
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Slot& slot = chunk_of(index)[index % kChunk];
  slot.used = true;
  return *std::construct_at(slot.get(), parent, owner, index);
}

template <class Rules>
void BasicFairQueue<Rules>::Places::destroy(Place& place) {
  const std::uint32_t index = place.as_child.id / 2;
  std::destroy_at(&place);
  chunk_of(index)[index % kChunk].used = false;
  free_.push_back(index);
}

template <class Rules>
BasicFairQueue<Rules>::~BasicFairQueue() {
  absent_.clear();
}

template <class Rules>
Scheduler::Node& BasicFairQueue<Rules>::add(Node* parent, void* owner) {
  assert((parent == nullptr) == (root_ == nullptr));
  Place* above = parent == nullptr ? nullptr : &place_of(*parent);
  Place& place = places_.make(above, owner);
  positions_.resize(std::size_t{2} * places_.size());
  if (above == nullptr) {
    root_ = &place;
    return place;
  }
  if (above->level == nullptr) make_level(*above);
  const std::size_t contenders = ++above->level->contenders;
  for (Class& of_class : above->level->classes) {
    of_class.waiting.reserve(contenders);
    of_class.eligible.reserve(contenders);
    of_class.absent.reserve(contenders);
  }
  return place;
}

// From now on the node's own tasks have somebody to compete with.
template <class Rules>
void BasicFairQueue<Rules>::make_level(Place& place) {
  place.level = std::make_unique<Level>(positions_);
  for (Class& of_class : place.level->classes) {
    of_class.waiting.reserve(1);
    of_class.eligible.reserve(1);
    of_class.absent.reserve(1);
  }
  change(place.own_tasks, place.own_heads, Why::kEmptied);
}

template <class Rules>
void BasicFairQueue<Rules>::remove(Node& node) {
  Place& place = place_of(node);
  assert(waiting_in(place).empty() && (place.level == nullptr || place.level->contenders == 1));
  if (picked_ && picked_->node == &node) picked_.reset();
  if (place.level != nullptr && place.own_tasks.state != State::kOut) {
    leave(*place.level, place.own_tasks);
  }
  if (place.parent == nullptr) {
    root_ = nullptr;
  } else {
    if (place.as_child.state != State::kOut) leave(*place.parent->level, place.as_child);
    Contender& heir = place.parent->own_tasks;
    heir.at_device += place.own_tasks.at_device;
    if (heir.at_device > 0 && heir.link.is_linked()) absent_.erase(absent_.iterator_to(heir));
    --place.parent->level->contenders;
  }
  places_.destroy(place);
}

template <class Rules>
void BasicFairQueue<Rules>::set_weights(Node& node, std::uint32_t weight, std::uint32_t leaf_weight,
                                        TimeNs now) {
  advance(now);
  Place& place = place_of(node);
  reweigh(place.as_child, weight, place.parent != nullptr);
  reweigh(place.own_tasks, leaf_weight, place.level != nullptr);
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
  if (there) count_ahead(level, contender, false);
  const std::uint32_t before = std::exchange(contender.weight, weight);
  contender.slope = slope_of(weight);
  const VirtualTime ahead = real_start(level, contender) - level.now;
  if (Rules::kReweighs) contender.start += ahead * before / weight - ahead;
  if (there) {
    Class& of_class = level.of_kind(contender.kind);
    of_class.weight = of_class.weight - before + weight;
    count_ahead(level, contender, true);
  }
  await(level, contender, awaited);
  if (queued) queue(level, contender);
}

// ---- what can be served ------------------------------------------------------------------------

template <class Rules>
DirectionMask BasicFairQueue<Rules>::waiting_in(const Place& place) {
  if (place.level == nullptr) return place.own_heads;
  std::uint8_t bits = 0;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    if (!place.level->of_kind(kind).empty()) bits = static_cast<std::uint8_t>(bits | kind);
  }
  return DirectionMask::of_bits(bits);
}

template <class Rules>
DirectionMask BasicFairQueue<Rules>::waiting_behind(const Node& node) const {
  return waiting_in(static_cast<const Place&>(node));
}

template <class Rules>
DirectionMask BasicFairQueue<Rules>::servable() const {
  return root_ == nullptr ? DirectionMask() : root_->gates & waiting_in(*root_);
}

template <class Rules>
void BasicFairQueue<Rules>::set_head(Node& node, Direction direction, std::optional<Head> head,
                                     TimeNs now) {
  advance(now);
  Place& place = place_of(node);
  const DirectionMask before = place.own_heads;
  place.own_heads.set(direction, head.has_value());
  if (head) place.heads[static_cast<std::size_t>(direction)] = *head;
  if (!place.own_heads.empty()) {
    Contender& payer = place.level == nullptr ? place.as_child : place.own_tasks;
    const Direction next = next_direction(place, place.own_heads);
    payer.estimate = place.heads[static_cast<std::size_t>(next)].cost;
  }
  if (place.own_heads == before) return;
  if (place.level != nullptr) change(place.own_tasks, place.own_heads, Why::kEmptied);
  refresh(place, Why::kEmptied);
}

template <class Rules>
void BasicFairQueue<Rules>::set_gate(Node& node, Direction direction, bool open, TimeNs now) {
  advance(now);
  Place& place = place_of(node);
  place.gates.set(direction, open);
  if (!open) stop_awaiting(place);
  refresh(place, Why::kGate);
}

// Who is absent cannot come back through a closed gate, nor a group above in which nobody else is
// absent.
template <class Rules>
void BasicFairQueue<Rules>::stop_awaiting(Place& closed) {
  auto kind = static_cast<std::uint8_t>(closed.as_child.kind & closed.gates.bits());
  for (Place* place = &closed; place->as_child.state == State::kAbsent; place = place->parent) {
    Level& level = *place->parent->level;
    if (kind != 0) {
      if (kind != place->as_child.kind) change_class(level, place->as_child, kind);
      return;
    }
    leave(level, place->as_child);
    if (level.weight() != 0) return;
  }
}

// Upwards while it makes a difference.
template <class Rules>
void BasicFairQueue<Rules>::refresh(Place& changed, Why why) {
  for (Place* place = &changed; place->parent != nullptr; place = place->parent) {
    const DirectionMask before = waiting_in(*place->parent);
    if (place->as_child.estimate == 0) place->as_child.estimate = place->own_tasks.estimate;
    change(place->as_child, place->gates & waiting_in(*place), why);
    if (waiting_in(*place->parent) == before) return;
  }
}

// ---- in and out of a level ---------------------------------------------------------------------

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
Key BasicFairQueue<Rules>::finish_key(const Contender& contender) {
  if (!Rules::kByFinish) return key_of(contender.start);
  return key_of(contender.start + passed(contender.estimate, contender.slope));
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
  first_to_go(level, DirectionMask::of_bits(kind));  // brings the time up to date
  if (Rules::kReturnsWithoutCredit) contender.start = std::max(contender.start, level.now);
  if (!Rules::kKeepsDebt) contender.start = level.now;
  contender.kind = kind;
  Class& of_class = level.of_kind(kind);
  contender.start -= of_class.offset;
  of_class.weight += contender.weight;
  contender.state = State::kAbsent;
  count_ahead(level, contender, true);
}

template <class Rules>
void BasicFairQueue<Rules>::leave(Level& level, Contender& contender) {
  await(level, contender, false);
  if (contender.link.is_linked()) absent_.erase(absent_.iterator_to(contender));
  count_ahead(level, contender, false);
  Class& of_class = level.of_kind(contender.kind);
  contender.start += of_class.offset;
  of_class.weight -= contender.weight;
  contender.state = State::kOut;
}

// Around whatever changes who is there, or a tag, other than by a request.
template <class Rules>
void BasicFairQueue<Rules>::count_ahead(Level& level, const Contender& contender, bool in) {
  const VirtualTime ahead = (real_start(level, contender) - level.now) * contender.weight;
  level.of_kind(contender.kind).ahead += in ? ahead : -ahead;
  level.settled = false;
}

// Rule 4: its real tag stays.
template <class Rules>
void BasicFairQueue<Rules>::change_class(Level& level, Contender& contender, std::uint8_t kind) {
  const bool awaited = contender.awaited;
  await(level, contender, false);
  count_ahead(level, contender, false);
  Class& from = level.of_kind(std::exchange(contender.kind, kind));
  Class& to = level.of_kind(kind);
  from.weight -= contender.weight;
  to.weight += contender.weight;
  if (Rules::kTranslates) contender.start += from.offset - to.offset;
  count_ahead(level, contender, true);
  await(level, contender, awaited);
}

template <class Rules>
void BasicFairQueue<Rules>::queue(Level& level, Contender& contender) {
  Class& of_class = level.of_kind(contender.kind);
  const Key start = key_of(contender.start);
  if (before(key_of(level.now - of_class.offset), start)) {
    contender.state = State::kWaiting;
    of_class.waiting.push(contender.id, start);
  } else {
    contender.state = State::kEligible;
    of_class.eligible.push(contender.id, finish_key(contender));
  }
}

template <class Rules>
void BasicFairQueue<Rules>::unqueue(Level& level, Contender& contender) {
  Class& of_class = level.of_kind(contender.kind);
  (contender.state == State::kWaiting ? of_class.waiting : of_class.eligible).erase(contender.id);
}

// ---- absence -----------------------------------------------------------------------------------

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
  count_ahead(level, contender, false);
  const VirtualTime most = passed(kCreditRequests * level.largest_cost, contender.slope);
  const VirtualTime others = level.now + mean_ahead(level, contender.kind, contender.weight);
  const VirtualTime offset = level.of_kind(contender.kind).offset;
  contender.start = std::max(contender.start, std::min(others - most, level.now) - offset);
  count_ahead(level, contender, true);
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
  KeyHeap& heap = level.of_kind(contender.kind).absent;
  if (wanted) {
    ++awaited_;
    heap.push(contender.id, key_of(contender.start));
  } else {
    --awaited_;
    heap.erase(contender.id);
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

// ---- picking -----------------------------------------------------------------------------------

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
  allowed = allowed & servable();
  if (allowed.empty()) return std::nullopt;
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
  level.picked_from = allowed;
  level.picked_weight = 0;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    if ((kind & allowed.bits()) != 0) level.picked_weight += level.of_kind(kind).weight;
  }
  return first;
}

// Rule 5. nullptr: nobody can go, or the first is one who is waited for.
template <class Rules>
auto BasicFairQueue<Rules>::first_to_go(Level& level, DirectionMask allowed) -> Contender* {
  if (!level.settled && allowed == DirectionMask::both() && Rules::kBalances)
    settle(level, allowed);
  Contender* first = first_eligible(level, allowed);
  if (first != nullptr || !Rules::kJumps) return first;
  const auto least = least_start(level, allowed);
  if (!least) return nullptr;
  shift_time(level, allowed, std::max<VirtualTime>(0, *least - level.now));
  level.settled = false;  // while somebody absent holds the mean back
  return first_eligible(level, allowed);
}

// Of those who can serve one of the directions, how far they are ahead of the level's time, but for
// one of weight `less` that is not in that sum.
template <class Rules>
VirtualTime BasicFairQueue<Rules>::mean_ahead(Level& level, std::uint8_t directions,
                                              std::uint32_t less) {
  VirtualTime ahead = 0;
  std::uint64_t weight = 0;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    if ((kind & directions) == 0) continue;
    ahead += level.of_kind(kind).ahead;
    weight += level.of_kind(kind).weight;
  }
  return weight <= less ? 0 : ahead / static_cast<VirtualTime>(weight - less);
}

// The time is the mean of those there, by weight. Service keeps it so; who comes, goes or is
// pardoned does not. If he leaves ahead, say, the others are behind by as much: left as it is, the
// time would run away from them, and whoever came next, at the level's time, would wait for all of
// it.
template <class Rules>
void BasicFairQueue<Rules>::settle(Level& level, DirectionMask allowed) {
  shift_time(level, allowed, std::min<VirtualTime>(0, mean_ahead(level, allowed.bits(), 0)));
  level.settled = allowed == DirectionMask::both();
}

// Without service: nobody's tag moves, so nobody gains on anybody.
template <class Rules>
void BasicFairQueue<Rules>::move_time(Level& level, VirtualTime time) {
  level.now += time;
  for (Class& of_class : level.classes) {
    of_class.ahead -= time * static_cast<VirtualTime>(of_class.weight);
  }
}

// By service to those who can go. The others' clock stands still: they keep their distance to it.
template <class Rules>
void BasicFairQueue<Rules>::shift_time(Level& level, DirectionMask allowed, VirtualTime time) {
  level.now += time;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    Class& of_class = level.of_kind(kind);
    if ((kind & allowed.bits()) != 0) {
      of_class.ahead -= time * static_cast<VirtualTime>(of_class.weight);
    } else if (Rules::kStopsClosedClasses) {
      of_class.offset += time;
    }
  }
}

template <class Rules>
auto BasicFairQueue<Rules>::first_eligible(Level& level, DirectionMask allowed) -> Contender* {
  std::optional<KeyHeap::Entry> first;
  for (std::uint8_t kind = 1; kind <= 3; ++kind) {
    Class& of_class = level.of_kind(kind);
    if ((kind & allowed.bits()) == 0 || of_class.empty()) continue;
    promote(level, of_class);
    if (of_class.eligible.empty()) continue;
    const KeyHeap::Entry& top = of_class.eligible.top();
    const KeyHeap::Entry real{top.key + key_of(of_class.offset), top.id};
    if (!first || real.before(*first)) first = real;
  }
  return first ? &contender(first->id) : nullptr;
}

// Moves those the time has come to into the heap by finish; and back again, where the time has.
template <class Rules>
void BasicFairQueue<Rules>::promote(Level& level, Class& of_class) {
  const Key now = key_of(level.now - of_class.offset);
  while (!of_class.waiting.empty()) {
    const KeyHeap::Entry top = of_class.waiting.top();
    if (before(now, top.key) && Rules::kNeedsEligibility) break;
    Contender& next = contender(top.id);
    of_class.waiting.erase(top.id);
    next.state = State::kEligible;
    of_class.eligible.push(top.id, finish_key(next));
  }
  while (!of_class.eligible.empty() && Rules::kNeedsEligibility) {
    Contender& first = contender(of_class.eligible.top().id);
    const Key start = key_of(first.start);
    if (!before(now, start)) return;
    of_class.eligible.erase(first.id);
    first.state = State::kWaiting;
    of_class.waiting.push(first.id, start);
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

// ---- charging ----------------------------------------------------------------------------------

template <class Rules>
void BasicFairQueue<Rules>::charge(Node& node, Direction direction, std::uint64_t cost,
                                   TimeNs now) {
  assert(cost <= kMostCost);
  advance(now);
  const bool picked = picked_ && picked_->node == &node && picked_->direction == direction;
  picked_.reset();
  if (!Rules::kChargesBothDirections && direction == Direction::kWrite) cost = 0;
  Place& place = place_of(node);
  const auto kind = DirectionMask(direction).bits();
  if (place.level != nullptr) charge_level(place.own_tasks, kind, cost, picked);
  ++place.own_tasks.at_device;
  for (Place* payer = &place; payer->parent != nullptr; payer = payer->parent) {
    charge_level(payer->as_child, kind, cost, picked);
    ++payer->as_child.at_device;
    if (!Rules::kChargesAncestors) cost = 0;
  }
}

// Rules 8 and 9. Nothing but this moves a tag or the time of a level by a request.
template <class Rules>
void BasicFairQueue<Rules>::charge_level(Contender& payer, std::uint8_t kind, std::uint64_t cost,
                                         bool picked) {
  Level& level = level_of(payer);
  if (!picked) pass(level, payer, kind);
  if (payer.link.is_linked()) absent_.erase(absent_.iterator_to(payer));
  const VirtualTime served = passed(cost, payer.slope);
  payer.start += served;
  if (payer.state != State::kOut) level.of_kind(payer.kind).ahead += served * payer.weight;
  level.largest_cost = std::max(cost, level.largest_cost - level.largest_cost / 256);
  if (Rules::kTimePasses) {
    shift_time(level, level.picked_from, passed(cost, slope_of(level.picked_weight)));
  }
  if (!payer.own && payer.place->level != nullptr) payer.estimate = cost;
  requeue(level, payer);
}

// It was not picked, for nothing could be: it came, and went at once. As if it had waited.
template <class Rules>
void BasicFairQueue<Rules>::pass(Level& level, Contender& payer, std::uint8_t kind) {
  if (payer.state == State::kOut) {
    enter(level, payer, kind);
    go_absent(level, payer, now_);
  } else if (payer.link.is_linked()) {
    note_think(payer, now_ - payer.left_ns);
  }
  const auto least = least_start(level, DirectionMask::both());
  const VirtualTime start = real_start(level, payer);
  const VirtualTime first = least ? std::min(*least, start) : start;
  move_time(level, std::max<VirtualTime>(0, first - level.now));
  level.picked_from = DirectionMask::both();
  level.picked_weight = level.weight();
}

template <class Rules>
void BasicFairQueue<Rules>::requeue(Level& level, Contender& payer) {
  if (payer.state == State::kOut) return;
  if (payer.state == State::kAbsent) {
    if (payer.awaited) level.of_kind(payer.kind).absent.update(payer.id, key_of(payer.start));
    return;
  }
  unqueue(level, payer);
  queue(level, payer);
}

template <class Rules>
void BasicFairQueue<Rules>::completed(Node& node, TimeNs now) {
  advance(now);
  Place& place = place_of(node);
  const auto ended = [this](Contender& payer, bool has_level) {
    assert(payer.at_device > 0);
    if (--payer.at_device > 0 || !has_level || payer.state != State::kAbsent) return;
    begin_absence(level_of(payer), payer);
  };
  ended(place.own_tasks, place.level != nullptr);
  for (Place* payer = &place; payer->parent != nullptr; payer = payer->parent) {
    ended(payer->as_child, true);
  }
}

}  // namespace blkio::bfq_weights
