// SPDX-License-Identifier: MIT
#include "bfq_weights/round_robin.hpp"

#include <cassert>
#include <memory>

namespace blkio::bfq_weights {

namespace {

constexpr std::array kEachDirection{Direction::kRead, Direction::kWrite};

constexpr Direction other(Direction direction) {
  return direction == Direction::kRead ? Direction::kWrite : Direction::kRead;
}

}  // namespace

RoundRobin::Contender::Contender(Place& represented) : place(represented) {
  for (Turn& turn : turns) turn.contender = this;
}

DirectionMask RoundRobin::Place::waiting() const {
  DirectionMask mask;
  for (const Direction direction : kEachDirection) {
    mask.set(direction, !lines[static_cast<std::size_t>(direction)].empty());
  }
  return mask;
}

RoundRobin::~RoundRobin() {
  for (Place& place : places_) {
    for (Line& line : place.lines) line.clear();
  }
  places_.clear_and_dispose(std::default_delete<Place>());
}

Scheduler::Node& RoundRobin::add(Node* parent, void* owner) {
  assert((parent == nullptr) == (root_ == nullptr));
  auto place = std::make_unique<Place>(parent == nullptr ? nullptr : &place_of(*parent), owner);
  if (root_ == nullptr) root_ = place.get();
  places_.push_back(*place);
  return *place.release();
}

void RoundRobin::remove(Node& node) {
  Place& place = place_of(node);
  assert(place.waiting().empty());
  if (&place == root_) root_ = nullptr;
  places_.erase_and_dispose(places_.iterator_to(place), std::default_delete<Place>());
}

void RoundRobin::stand(Line& line, Turn& turn, bool in_line) {
  if (turn.link.is_linked() == in_line) return;
  if (in_line) {
    turn.number = ++last_turn_;
    line.push_back(turn);
  } else {
    line.erase(line.iterator_to(turn));
  }
}

// Upwards while it makes a difference: whether a place stands in its parent's lines follows from
// its gates and its own lines.
void RoundRobin::refresh(Place& changed) {
  for (Place* place = &changed; place->parent != nullptr; place = place->parent) {
    const DirectionMask can_serve = place->gates & place->waiting();
    const DirectionMask before = place->parent->waiting();
    for (const Direction direction : kEachDirection) {
      stand(place->parent->line(direction), place->as_child.turn(direction),
            can_serve.has(direction));
    }
    if (place->parent->waiting() == before) return;
  }
}

void RoundRobin::set_head(Node& node, Direction direction, std::optional<Head> head, TimeNs) {
  Place& place = place_of(node);
  stand(place.line(direction), place.own_tasks.turn(direction), head.has_value());
  refresh(place);
}

void RoundRobin::set_gate(Node& node, Direction direction, bool open, TimeNs) {
  Place& place = place_of(node);
  place.gates.set(direction, open);
  refresh(place);
}

DirectionMask RoundRobin::waiting_behind(const Node& node) const {
  return static_cast<const Place&>(node).waiting();
}

DirectionMask RoundRobin::servable() const {
  return root_ == nullptr ? DirectionMask() : root_->gates & root_->waiting();
}

RoundRobin::Contender& RoundRobin::first_in_line(Place& level, DirectionMask allowed) const {
  Turn* first = nullptr;
  for (const Direction direction : kEachDirection) {
    Line& line = level.line(direction);
    if (!allowed.has(direction) || line.empty()) continue;
    if (first == nullptr || line.front().number < first->number) first = &line.front();
  }
  return *first->contender;
}

// One served in a direction goes to the end of every line it might have been called from, or a
// group that reads and writes would get two turns. Where only one direction was allowed, its turn
// in the other stands: that one it has not had a chance to use.
DirectionMask RoundRobin::take_turn(Place& level, Contender& contender, DirectionMask allowed) {
  DirectionMask can_serve;
  for (const Direction direction : kEachDirection) {
    Turn& turn = contender.turn(direction);
    if (!allowed.has(direction) || !turn.link.is_linked()) continue;
    can_serve.set(direction, true);
    stand(level.line(direction), turn, false);
    stand(level.line(direction), turn, true);
  }
  return can_serve;
}

std::optional<Scheduler::Pick> RoundRobin::pick(DirectionMask allowed, TimeNs) {
  allowed = allowed & servable();
  if (allowed.empty()) return std::nullopt;
  Place* level = root_;
  for (;;) {
    Contender& next = first_in_line(*level, allowed);
    allowed = take_turn(*level, next, allowed);
    if (&next == &level->own_tasks) break;
    level = &next.place;
  }
  const bool choice = allowed == DirectionMask::both();
  const Direction only = allowed.has(Direction::kRead) ? Direction::kRead : Direction::kWrite;
  level->served_last = choice ? other(level->served_last) : only;
  return Pick{level, level->served_last};
}

}  // namespace blkio::bfq_weights
