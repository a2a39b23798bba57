// SPDX-License-Identifier: MIT
/// Worlds of virtual time in which a weighted scheduler must keep its promises.
///
/// Each is made from its seed and runs for about so many events (requests that go or end, and
/// things that are done to the tree). The first broken promise is thrown as std::logic_error, with
/// the seed. They return how many events there were.
#pragma once

#include <cstdint>

#include "simulation/fair_queue/mutations.hpp"

namespace blkio::simulation {

/// A random tree in which everything happens at random: queues fill and run dry, gates open and
/// close, weights change, groups come and go. Promised: what is picked may go; something is picked
/// whenever something may go; the older of two heads goes first; nobody gains on a sibling, who
/// could go whenever he could, more than three requests of his and two of the sibling's.
std::uint64_t run_random_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events);

/// Up to 1,000 groups, all backlogged in both directions, every gate open: what a fluid server
/// would have given is known. Promised, at every level: never ahead of the fluid by more than a
/// request less one's share of it, nor behind by more than a request and one's share of it.
std::uint64_t run_fluid_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events);

/// A few groups with a bounded number of requests, that think between these, on a serial disk of
/// some depth. Promised: each has its share; the device is kept free only for somebody who was just
/// there and may come back, never when nobody waits, and never for longer than said.
std::uint64_t run_client_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events);

/// Groups that come and go between two picks, by their gates, or for a moment, by their queues.
/// Promised: nobody gains by it; short absences do not add up.
std::uint64_t run_goers_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events);

/// An adversary who decides before each pick which two may go, and tries to make one of them fall
/// back. Promised: what any two gain on each other when they may go together, as above.
std::uint64_t run_splitting_world(const MakeScheduler& make, std::uint64_t seed,
                                  std::uint64_t events);

/// One of these.
std::uint64_t run_world(const MakeScheduler& make, std::uint64_t seed, std::uint64_t events);

/// The groups of the random world, for the largest trees; by default the seed decides.
std::uint64_t run_random_world_of(const MakeScheduler& make, std::uint64_t seed,
                                  std::uint64_t events, std::uint32_t groups);

}  // namespace blkio::simulation
