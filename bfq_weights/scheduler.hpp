// SPDX-License-Identifier: MIT
/// The port of a hierarchical scheduler: which group of a device's tree goes next.
#pragma once

#include <cstdint>
#include <optional>

#include "blkio/types.hpp"
#include "blkio/weights.hpp"

namespace blkio::bfq_weights {

/// A set of directions.
class DirectionMask {
 public:
  constexpr DirectionMask() = default;
  constexpr explicit DirectionMask(Direction direction) : bits_(bit(direction)) {}
  static constexpr DirectionMask both() { return DirectionMask(std::uint8_t{3}); }

  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool has(Direction direction) const { return (bits_ & bit(direction)) != 0; }
  constexpr void set(Direction direction, bool member) {
    bits_ = static_cast<std::uint8_t>(member ? bits_ | bit(direction) : bits_ & ~bit(direction));
  }
  friend constexpr DirectionMask operator&(DirectionMask a, DirectionMask b) {
    return DirectionMask(static_cast<std::uint8_t>(a.bits_ & b.bits_));
  }
  friend constexpr DirectionMask operator|(DirectionMask a, DirectionMask b) {
    return DirectionMask(static_cast<std::uint8_t>(a.bits_ | b.bits_));
  }
  constexpr bool operator==(const DirectionMask&) const = default;

  /// 0..3; one bit per direction.
  constexpr std::uint8_t bits() const { return bits_; }
  static constexpr DirectionMask of_bits(std::uint8_t bits) { return DirectionMask(bits); }

 private:
  constexpr explicit DirectionMask(std::uint8_t bits) : bits_(bits) {}
  static constexpr std::uint8_t bit(Direction direction) {
    return static_cast<std::uint8_t>(1U << static_cast<unsigned>(direction));
  }

  std::uint8_t bits_ = 0;
};

/// The request at the head of a node's own queue of one direction.
struct Head {
  TimeNs arrived_ns = 0;
  std::uint64_t cost = 0;  ///< an estimate of what charge() will be told
};

/// A tree of nodes. Each has a queue of its own per direction (its tasks', kept by the caller), any
/// number of children, and a gate per direction that covers both. The scheduler knows of the queues
/// only their heads, of the gates only whether they are open, and answers one question: whose
/// head goes next?
///
/// A node can *serve* a direction when its gate is open and there is a head in its own queue or a
/// child that can serve it. What cannot be served is out of the competition (unplugged) and comes
/// back (plugged) without credit; so limits, which work the gates, and shares meet in this port and
/// nowhere else.
///
/// Implementations: RoundRobin, FairQueue. A function of its calls: no clock (times are given, and
/// do not run backwards), no thread, no system call; only add() allocates. One thread.
class Scheduler {
 public:
  /// A node's place in the tree. The scheduler makes and destroys it; its address stays.
  class Node {
   public:
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;
    /// As given to add().
    void* owner() const { return owner_; }

   protected:
    explicit Node(void* owner) : owner_(owner) {}
    ~Node() = default;

   private:
    void* owner_;
  };

  struct Pick {
    Node* node;
    Direction direction;
  };

  /// Why pick() has nothing although something could be served.
  struct Hold {
    Node* node = nullptr;      ///< the group the device is kept free for; nullptr: no hold
    TimeNs until_ns = kNever;  ///< or until completed() tells of a request of the group's
  };
  struct Held {
    Node* node = nullptr;  ///< nullptr: nothing was held
    TimeNs duration_ns = 0;
  };

  virtual ~Scheduler() = default;

  /// The first node added is the root (parent nullptr); every other has a parent. The gates are
  /// open, the queues empty.
  virtual Node& add(Node* parent, void* owner) = 0;
  /// The node must have no children and empty queues. Its requests at the device end in the
  /// parent's name.
  virtual void remove(Node& node) = 0;

  /// Live: nobody has to make up for what was done under other weights. `weight`: against the
  /// node's siblings (nothing in the root); `leaf_weight`: of its own tasks against its children.
  /// Each kMinWeight..kMaxWeight; kDefaultWeight until told.
  virtual void set_weights(Node& node, std::uint32_t weight, std::uint32_t leaf_weight,
                           TimeNs now) = 0;

  /// The head of the node's own queue changed; nullopt: the queue is empty, or shall not compete.
  virtual void set_head(Node& node, Direction direction, std::optional<Head> head, TimeNs now) = 0;
  /// The gate opens (plug) or closes (unplug).
  virtual void set_gate(Node& node, Direction direction, bool open, TimeNs now) = 0;

  /// What could be served behind the node's gate, whether that is open or not.
  virtual DirectionMask waiting_behind(const Node& node) const = 0;
  /// What the root can serve: pick() with a mask that meets it always finds something.
  virtual DirectionMask servable() const = 0;

  /// The node whose head goes next, of the directions in `allowed`, and the head's direction. The
  /// caller takes that request, says set_head(), then charge(). nullopt if nothing can be served,
  /// or while the device is kept free for somebody: see hold().
  virtual std::optional<Pick> pick(DirectionMask allowed, TimeNs now) = 0;
  /// The request picked last, or one that passed while nothing could be served, goes to the device
  /// and costs this much: bytes, time, or a mixture, as the caller has it; at most 2^40.
  virtual void charge(Node& node, Direction direction, std::uint64_t cost, TimeNs now) = 0;
  /// A request that was charged to the node has ended at the device. A group is absent, not gone,
  /// while its requests are there.
  virtual void completed(Node& node, TimeNs now) = 0;

  /// What the last pick() waits for. It is worth another pick() at that time, or as soon as
  /// something arrives, completes or changes.
  virtual Hold hold() const = 0;
  /// For whom the device was kept free since the last call, and how long; nothing while requests of
  /// that group were at the device. Call before telling of anything that may end it.
  virtual Held take_held(TimeNs now) = 0;
  /// Is somebody waited for? Then no request may pass without pick().
  virtual bool awaits_somebody() const = 0;
};

}  // namespace blkio::bfq_weights
