// SPDX-License-Identifier: MIT
/// The scheduler of a device with weights: hierarchical WF2Q+ in which limits open and close
/// directions. README.md beside this file has the picture and the mathematics.
#pragma once

#include <array>
#include <boost/container/small_vector.hpp>
#include <boost/intrusive/list.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bfq_weights/scheduler.hpp"
#include "bfq_weights/tournament.hpp"
#include "bfq_weights/virtual_time.hpp"

namespace blkio::bfq_weights {

/// Whether the device may be kept free for a group that is expected back at once.
enum class Anticipation : std::uint8_t { kOff, kOn };

/// Who was there less than this long ago keeps his tag and his part of the weight sum; and it is
/// the longest anybody is waited for, when all others are ahead of their share.
inline constexpr TimeNs kGraceNs = 2 * kMillisecondNs;
/// The longest anybody is waited for whose own requests are at the device: one that hangs there
/// must not hang the others. Slow disks answer within it.
inline constexpr TimeNs kBusyHoldNs = 50 * kMillisecondNs;
/// The longest anybody is waited for when another could go without getting ahead.
inline constexpr TimeNs kShortHoldNs = 100'000;

/// The rules, as numbered in README.md, that can be taken out one at a time to see whether the
/// simulator notices. Production has them all.
struct AllRules {
  static constexpr bool kChargesBothDirections = true;  ///< 1: one tag for both
  static constexpr bool kChargesAncestors = true;       ///< 1: at every level
  static constexpr bool kTranslates = true;        ///< 4: the real tag stays when the class changes
  static constexpr bool kJumps = true;             ///< 5: time goes to the first who may go
  static constexpr bool kNeedsEligibility = true;  ///< 6: only who is not ahead
  static constexpr bool kByFinish = true;          ///< 6: the least finish tag of these
  static constexpr bool kNarrowsMask = true;       ///< 6: a child's gates bind below it
  static constexpr bool kOlderHeadFirst = true;    ///< 7
  static constexpr bool kTimePasses = true;        ///< 8
  static constexpr bool kWaitsForTheLast = true;   ///< 8: but nobody who could go is left behind
  static constexpr bool kStopsClosedClasses = true;    ///< 9
  static constexpr bool kReturnsWithoutCredit = true;  ///< 11
  static constexpr bool kKeepsDebt = true;             ///< 11: nor is a debt forgiven
  static constexpr bool kGrace = true;                 ///< 11: absent for a moment is not gone
  static constexpr bool kCapsCredit = true;            ///< 11: nor does grace add up
  static constexpr bool kReweighs = true;              ///< 12: what is owed is owed in cost
};

/// Hierarchical WF2Q+ with a gate per direction.
///
/// L is the largest cost of one request, W_i the service of contender i of a level, w_i its weight.
///   * Pairs: over any interval in which j waited all the time, and could go at each pick at which
///     i could, W_i/w_i - W_j/w_j grows by 3 L/w_i + 2 L/w_j at most, whatever the gates do; i
///     comes without credit, but may come and go. So it is within that to both sides for two that
///     could go together all the time.
///   * Fluid: where all wait and all gates are open, W_i is ahead of its share of what the level
///     has had by (1 - share) L at most, and behind by (1 + share) L.
/// Levels add theirs, and so do the requests at the device.
///
/// O(depth log n) per call. Among equal finish tags the node's own tasks go first, then the child
/// that was added first (places of removed ones are used again). Ranges: costs up to 2^40, weights
/// 1..1000, virtual_time.hpp for how long. Only add() allocates. One thread.
template <class Rules>
class BasicFairQueue final : public Scheduler {
 public:
  explicit BasicFairQueue(Anticipation anticipation = Anticipation::kOn)
      : anticipates_(anticipation == Anticipation::kOn) {}
  BasicFairQueue(const BasicFairQueue&) = delete;
  BasicFairQueue& operator=(const BasicFairQueue&) = delete;
  ~BasicFairQueue() override;

  Node& add(Node* parent, void* owner) override;
  void remove(Node& node) override;
  void set_weights(Node& node, std::uint32_t weight, std::uint32_t leaf_weight,
                   TimeNs now) override;
  void set_head(Node& node, Direction direction, std::optional<Head> head, TimeNs now) override;
  void set_gate(Node& node, Direction direction, bool open, TimeNs now) override;
  DirectionMask waiting_behind(const Node& node) const override;
  DirectionMask servable() const override;
  std::optional<Pick> pick(DirectionMask allowed, TimeNs now) override;
  void charge(Node& node, Direction direction, std::uint64_t cost, TimeNs now) override;
  void completed(Node& node, TimeNs now) override;
  Hold hold() const override;
  Held take_held(TimeNs now) override;
  bool awaits_somebody() const override { return awaited_ != 0; }

 private:
  struct Place;
  struct Level;
  class Places;

  enum class State : std::uint8_t {
    kOut,     ///< does not compete; `start` is a real tag. In all others it is a stored one
    kQueued,  ///< could go: in one of its class's two tournaments
    kAbsent,  ///< in the weight sum only: its requests are at the device, or just ended
  };

  /// Who competes at one level: a child node, or the tasks of the level's own node. What a decision
  /// needs of it is in one cache line.
  struct alignas(64) Contender {
    VirtualTime start = 0;
    std::uint64_t slope = slope_of(kDefaultWeight);
    std::uint64_t estimate = 0;  ///< of its next request's cost; no less, for one with children
    Place* place = nullptr;
    std::uint32_t id = 0;
    std::uint32_t seat = 0;  ///< in the tournaments of its level
    std::uint32_t weight = kDefaultWeight;
    std::uint32_t at_device = 0;  ///< requests charged, not ended
    State state = State::kOut;
    std::uint8_t kind = 0;  ///< DirectionMask::bits() of what it can serve, or last could
    bool own = false;
    bool awaited = false;  ///< absent, and in its class's tournament of such
    TimeNs left_ns = 0;    ///< when its absence began: nothing waits, nothing is at the device
    TimeNs think_ns = 0;   ///< how long it uses to be absent: an exponential mean
    boost::intrusive::list_member_hook<> link;  ///< linked: absent, by left_ns
  };
  using Absent = boost::intrusive::list<
      Contender,
      boost::intrusive::member_hook<Contender, decltype(Contender::link), &Contender::link>,
      boost::intrusive::constant_time_size<false>>;

  /// Who has this number in the tournaments of a level, and what these need of him: nobody's own
  /// memory is touched until he is served.
  struct Seat {
    std::uint32_t id = 0;
    Span span = 0;  ///< from start to finish; of who waits
  };

  /// The contenders of one level that can serve the same directions. Real tag = stored + offset.
  struct alignas(64) Class {
    bool empty() const { return waiting.empty() && eligible.empty(); }

    VirtualTime offset = 0;
    Tournament eligible;  ///< by finish
    Tournament waiting;   ///< by start
    Tournament absent;    ///< by start; the awaited ones
  };

  /// What a node with children keeps of them and of its own tasks. What a decision needs of it is
  /// in its first two lines and the first two of a class.
  struct alignas(64) Level {
    Class& of_kind(std::uint8_t kind) { return classes[kind - 1U]; }
    /// Are there any who can serve just this now?
    bool has(std::uint8_t kind) const { return (queued >> kind & 1U) != 0; }
    std::uint32_t& weight_of(std::uint8_t kind) { return weights[kind - 1U]; }
    std::uint32_t weight() const { return weights[0] + weights[1] + weights[2]; }

    VirtualTime now = 0;
    std::uint64_t largest_cost = 0;  ///< lately
    std::uint64_t picked_slope = slope_of(1);
    std::uint32_t picked_weight = 1;  ///< of those who could have gone at the last pick
    std::array<std::uint32_t, 3> weights{};
    DirectionMask picked_from;
    std::uint8_t queued = 0;                        ///< a bit per kind: has()
    boost::container::small_vector<Seat, 6> seats;  ///< as many as end with the second line
    std::array<Class, 3> classes;                   ///< {R}, {W}, {R, W}
    std::uint32_t contenders = 1;
    std::vector<std::uint32_t> free_seats;
    Contender own_tasks;
  };

  struct Place final : Node {
    Place(Place* parent_place, void* owner, std::uint32_t index);
    Contender& contender(std::uint32_t id) { return (id & 1U) == 0 ? as_child : level->own_tasks; }

    Place* parent;
    std::unique_ptr<Level> level;  ///< once there was a child; without, the own tasks are alone
    std::array<Head, kDirections> heads;
    DirectionMask own_heads;
    DirectionMask gates = DirectionMask::both();
    std::uint32_t leaf_weight = kDefaultWeight;
    Contender as_child;
  };

  /// Places by number, at addresses that stay.
  class Places {
   public:
    ~Places();
    Place& make(Place* parent, void* owner);
    void destroy(Place& place);
    Place& operator[](std::uint32_t index) { return *slot_of(index).get(); }
    std::uint32_t size() const { return made_; }

   private:
    static constexpr std::uint32_t kChunk = 256;
    struct alignas(Place) Slot {
      Place* get() { return reinterpret_cast<Place*>(bytes.data()); }
      std::array<std::byte, sizeof(Place)> bytes;
    };
    Slot& slot_of(std::uint32_t index) { return chunks_[index / kChunk][index % kChunk]; }

    std::vector<std::unique_ptr<Slot[]>> chunks_;
    std::vector<bool> used_;
    std::vector<std::uint32_t> free_;
    std::uint32_t made_ = 0;
  };

  enum class Why : std::uint8_t { kEmptied, kGate };

  static Place& place_of(Node& node) { return static_cast<Place&>(node); }
  static void picked(Level& level, DirectionMask allowed);
  static DirectionMask waiting_in(const Place& place);
  static Direction next_direction(const Place& place, DirectionMask mask);
  static Level& level_of(Contender& contender);
  static VirtualTime real_start(Level& level, const Contender& contender);
  static Span span(const Contender& contender);
  static VirtualTime finish(const Contender& contender);
  Contender& contender(const Level& level, Word word) {
    return contender(level.seats[number_of(word)].id);
  }
  Contender& contender(std::uint32_t id) { return places_[id / 2].contender(id); }

  void make_level(Place& place);
  static void seat(Level& level, Contender& contender);
  void stop_awaiting(Place& closed);
  void refresh(Place& place, Why why);
  void change(Contender& contender, DirectionMask mask, Why why);
  void enter(Level& level, Contender& contender, std::uint8_t kind);
  void queue(Level& level, Contender& contender);
  static void guess(const Level& level, Contender& contender);
  static bool is_early(Level& level, const Contender& contender);
  void unqueue(Level& level, Contender& contender);
  void change_class(Level& level, Contender& contender, std::uint8_t kind);
  void go_absent(Level& level, Contender& contender, TimeNs now);
  void begin_absence(Level& level, Contender& contender);
  void end_absence(Level& level, Contender& contender);
  void cap_credit(Level& level, Contender& contender);
  void leave(Level& level, Contender& contender);
  void await(Level& level, Contender& contender, bool wanted);
  void advance(TimeNs now);
  static void note_think(Contender& contender, TimeNs time);
  void reweigh(Contender& contender, std::uint32_t weight, bool has_level);

  Contender* choose(Level& level, DirectionMask allowed);
  Contender* first_to_go(Level& level, DirectionMask allowed);
  void shift_time(Level& level, DirectionMask allowed, VirtualTime time);
  Contender* first_eligible(Level& level, DirectionMask allowed);
  static Word least_finish(Level& level, DirectionMask allowed);
  // Inline: gcc takes a function that only prefetches for one that does nothing, and leaves out
  // its calls.
  [[gnu::always_inline]] void fetch_next(Level& level, const Class& of_class);
  [[gnu::always_inline]] static void fetch_level(const Place& place);
  void promote(Level& level, Class& of_class);
  Contender* first_absent(Level& level, DirectionMask allowed);
  std::optional<VirtualTime> least_start(Level& level, DirectionMask allowed);
  bool worth_waiting(Level& level, const Contender& absent, Contender& ready);
  void keep_free_for(Contender& absent, TimeNs until);

  void charge_contender(Contender& payer, Direction direction, std::uint64_t cost, bool picked);
  void charge_level(Contender& payer, std::uint64_t cost);
  void pass_time(Level& level, std::uint64_t cost);
  void pass(Contender& payer, DirectionMask only);
  static DirectionMask gates_above(const Contender& payer);
  void requeue(Level& level, Contender& payer);

  const bool anticipates_;
  TimeNs now_ = kLongAgo;
  Places places_;
  Absent absent_;  ///< those with nothing at the device, in the order they left
  Place* root_ = nullptr;
  std::optional<Pick> picked_;
  std::size_t awaited_ = 0;
  Contender* held_for_ = nullptr;
  TimeNs held_until_ = kNever;
  TimeNs held_since_ = kNever;
};

using FairQueue = BasicFairQueue<AllRules>;
extern template class BasicFairQueue<AllRules>;

}  // namespace blkio::bfq_weights
