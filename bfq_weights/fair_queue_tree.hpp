// SPDX-License-Identifier: MIT
/// The tree of BasicFairQueue: its places, and what can be served where. See fair_queue_rules.hpp.
#pragma once

#include <cassert>
#include <memory>

#include "bfq_weights/fair_queue.hpp"

namespace blkio::bfq_weights {

template <class Rules>
BasicFairQueue<Rules>::Place::Place(Place* parent_place, void* owner, std::uint32_t index)
    : Node(owner), parent(parent_place) {
  as_child.place = this;
  as_child.id = 2 * index;
}

template <class Rules>
BasicFairQueue<Rules>::Places::~Places() {
  for (std::uint32_t i = 0; i < made_; ++i) {
    if (used_[i]) std::destroy_at(slot_of(i).get());
  }
}

template <class Rules>
auto BasicFairQueue<Rules>::Places::make(Place* parent, void* owner) -> Place& {
  std::uint32_t index = made_;
  if (free_.empty()) {
    if (index % kChunk == 0) chunks_.push_back(std::make_unique<Slot[]>(kChunk));
    ++made_;
    used_.push_back(false);
    if (free_.capacity() < made_) free_.reserve(2 * made_);  // destroy() must not allocate
  } else {
    index = free_.back();
    free_.pop_back();
  }
  used_[index] = true;
  return *std::construct_at(slot_of(index).get(), parent, owner, index);
}

template <class Rules>
void BasicFairQueue<Rules>::Places::destroy(Place& place) {
  const std::uint32_t index = place.as_child.id / 2;
  std::destroy_at(&place);
  used_[index] = false;
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
  if (above == nullptr) {
    root_ = &place;
    return place;
  }
  if (above->level == nullptr) make_level(*above);
  ++above->level->contenders;
  seat(*above->level, place.as_child);
  return place;
}

template <class Rules>
void BasicFairQueue<Rules>::seat(Level& level, Contender& contender) {
  if (!level.free_seats.empty()) {
    contender.seat = level.free_seats.back();
    level.free_seats.pop_back();
    level.seats[contender.seat].id = contender.id;
    return;
  }
  contender.seat = static_cast<std::uint32_t>(level.seats.size());
  level.seats.push_back({contender.id, 0});
  level.free_seats.reserve(level.seats.capacity());  // remove() must not allocate
  for (Class& of_class : level.classes) {
    of_class.eligible.grow(level.seats.size());
    of_class.waiting.grow(level.seats.size());
    of_class.absent.grow(level.seats.size());
  }
}

// From now on the node's own tasks have somebody to compete with.
template <class Rules>
void BasicFairQueue<Rules>::make_level(Place& place) {
  place.level = std::make_unique<Level>();
  Contender& own_tasks = place.level->own_tasks;
  own_tasks.place = &place;
  own_tasks.id = place.as_child.id + 1;
  own_tasks.own = true;
  own_tasks.weight = place.leaf_weight;
  own_tasks.slope = slope_of(place.leaf_weight);
  own_tasks.estimate = place.as_child.estimate;
  own_tasks.at_device = place.as_child.at_device;
  seat(*place.level, own_tasks);
  change(own_tasks, place.own_heads, Why::kEmptied);
}

template <class Rules>
void BasicFairQueue<Rules>::remove(Node& node) {
  Place& place = place_of(node);
  assert(waiting_in(place).empty() && (place.level == nullptr || place.level->contenders == 1));
  if (picked_ && picked_->node == &node) picked_.reset();
  if (place.level != nullptr && place.level->own_tasks.state != State::kOut) {
    leave(*place.level, place.level->own_tasks);
  }
  if (place.parent == nullptr) {
    root_ = nullptr;
  } else {
    if (place.as_child.state != State::kOut) leave(*place.parent->level, place.as_child);
    Contender& heir = place.parent->level->own_tasks;
    heir.at_device += place.as_child.at_device;
    if (heir.at_device > 0 && heir.link.is_linked()) absent_.erase(absent_.iterator_to(heir));
    --place.parent->level->contenders;
    place.parent->level->free_seats.push_back(place.as_child.seat);
  }
  places_.destroy(place);
}

// ---- what can be served
// --------------------------------------------------------------------------

template <class Rules>
DirectionMask BasicFairQueue<Rules>::waiting_in(const Place& place) {
  if (place.level == nullptr) return place.own_heads;
  const Level& level = *place.level;
  const bool both = level.has(3);
  return DirectionMask::of_bits(static_cast<std::uint8_t>((level.has(1) || both ? 1U : 0U) |
                                                          (level.has(2) || both ? 2U : 0U)));
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
    Contender& payer = place.level == nullptr ? place.as_child : place.level->own_tasks;
    const Direction next = next_direction(place, place.own_heads);
    payer.estimate = place.heads[static_cast<std::size_t>(next)].cost;
  }
  if (place.own_heads == before) return;
  if (place.level != nullptr) change(place.level->own_tasks, place.own_heads, Why::kEmptied);
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
    change(place->as_child, place->gates & waiting_in(*place), why);
    if (waiting_in(*place->parent) == before) return;
  }
}

}  // namespace blkio::bfq_weights
