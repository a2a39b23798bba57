// SPDX-License-Identifier: MIT
/// The scheduler of a device without weights: every group in turn, at each level of the tree.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstdint>

#include "bfq_weights/scheduler.hpp"

namespace blkio::bfq_weights {

/// Hierarchical round robin by requests. At each level the one served (or plugged) longest ago goes
/// next; a node's own tasks compete as one more child. Within one node's own queues reads and
/// writes alternate while both can go. O(depth) per call, no search and no dead end: the list of a
/// direction holds exactly those that can serve it now. README.md beside this file explains.
class RoundRobin final : public Scheduler {
 public:
  RoundRobin() = default;
  RoundRobin(const RoundRobin&) = delete;
  RoundRobin& operator=(const RoundRobin&) = delete;
  ~RoundRobin() override;

  Node& add(Node* parent, void* owner) override;
  void remove(Node& node) override;
  void set_head(Node& node, Direction direction, std::optional<Head> head, TimeNs now) override;
  void set_gate(Node& node, Direction direction, bool open, TimeNs now) override;
  DirectionMask waiting_behind(const Node& node) const override;
  DirectionMask servable() const override;
  std::optional<Pick> pick(DirectionMask allowed, TimeNs now) override;
  // A turn is a turn: neither weights nor costs matter, and nobody is waited for.
  void set_weights(Node&, std::uint32_t, std::uint32_t, TimeNs) override {}
  void charge(Node&, Direction, std::uint64_t, TimeNs) override {}
  void completed(Node&, TimeNs) override {}
  Hold hold() const override { return {}; }
  Held take_held(TimeNs) override { return {}; }
  bool awaits_somebody() const override { return false; }

 private:
  struct Place;
  struct Contender;

  /// A contender's place in the line of one direction.
  struct Turn {
    Contender* contender = nullptr;
    std::uint64_t number = 0;  ///< lower was served, or plugged, longer ago
    boost::intrusive::list_member_hook<> link;
  };
  using Line =
      boost::intrusive::list<Turn,
                             boost::intrusive::member_hook<Turn, decltype(Turn::link), &Turn::link>,
                             boost::intrusive::constant_time_size<false>>;

  /// Who takes turns at one level: a child node, or the tasks of the level's own node.
  struct Contender {
    explicit Contender(Place& represented);
    Turn& turn(Direction direction) { return turns[static_cast<std::size_t>(direction)]; }

    Place& place;
    std::array<Turn, kDirections> turns;
  };

  /// A node, with the level below it.
  struct Place final : Node {
    Place(Place* parent_place, void* owner) : Node(owner), parent(parent_place) {}
    Line& line(Direction direction) { return lines[static_cast<std::size_t>(direction)]; }
    DirectionMask waiting() const;

    Place* parent;
    DirectionMask gates = DirectionMask::both();
    Direction served_last = Direction::kWrite;  ///< of the own tasks; a read goes first
    Contender as_child{*this};                  ///< in the lines of the parent
    Contender own_tasks{*this};                 ///< in the lines of this node
    std::array<Line, kDirections> lines;        ///< those who can serve the direction, by turn
    boost::intrusive::list_member_hook<> link;
  };
  using Places = boost::intrusive::list<
      Place, boost::intrusive::member_hook<Place, decltype(Place::link), &Place::link>,
      boost::intrusive::constant_time_size<false>>;

  static Place& place_of(Node& node) { return static_cast<Place&>(node); }

  void stand(Line& line, Turn& turn, bool in_line);
  void refresh(Place& place);
  Contender& first_in_line(Place& level, DirectionMask allowed) const;
  DirectionMask take_turn(Place& level, Contender& contender, DirectionMask allowed);

  Places places_;
  Place* root_ = nullptr;
  std::uint64_t last_turn_ = 0;
};

}  // namespace blkio::bfq_weights
