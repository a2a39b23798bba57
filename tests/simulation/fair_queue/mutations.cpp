// SPDX-License-Identifier: MIT
#include "simulation/fair_queue/mutations.hpp"

#include "bfq_weights/fair_queue_rules.hpp"

namespace blkio::simulation {

using bfq_weights::AllRules;
using bfq_weights::Anticipation;
using bfq_weights::BasicFairQueue;
using bfq_weights::Scheduler;

namespace {

#define BLKIO_WITHOUT(rule)                \
  struct Without##rule : AllRules {        \
    static constexpr bool k##rule = false; \
  }
BLKIO_WITHOUT(ChargesBothDirections);
BLKIO_WITHOUT(ChargesAncestors);
BLKIO_WITHOUT(Translates);
BLKIO_WITHOUT(Jumps);
BLKIO_WITHOUT(NeedsEligibility);
BLKIO_WITHOUT(ByFinish);
BLKIO_WITHOUT(NarrowsMask);
BLKIO_WITHOUT(OlderHeadFirst);
BLKIO_WITHOUT(TimePasses);
BLKIO_WITHOUT(StopsClosedClasses);
BLKIO_WITHOUT(ReturnsWithoutCredit);
BLKIO_WITHOUT(KeepsDebt);
BLKIO_WITHOUT(Grace);
BLKIO_WITHOUT(CapsCredit);
BLKIO_WITHOUT(WaitsForTheLast);
BLKIO_WITHOUT(Reweighs);
#undef BLKIO_WITHOUT

template <class Rules>
Mutation without(const char* missing) {
  return {missing, [](Anticipation anticipation) -> std::unique_ptr<Scheduler> {
            return std::make_unique<BasicFairQueue<Rules>>(anticipation);
          }};
}

}  // namespace

std::unique_ptr<Scheduler> make_fair_queue(Anticipation anticipation) {
  return std::make_unique<bfq_weights::FairQueue>(anticipation);
}

const std::vector<Mutation>& mutations() {
  static const std::vector<Mutation> all{
      without<WithoutChargesBothDirections>("writes are charged"),
      without<WithoutChargesAncestors>("ancestors are charged"),
      without<WithoutTranslates>("the real tag stays when the class changes"),
      without<WithoutJumps>("time jumps to the first who may go"),
      without<WithoutNeedsEligibility>("who is ahead waits"),
      without<WithoutByFinish>("the least finish tag goes first"),
      without<WithoutNarrowsMask>("a child's gates bind below it"),
      without<WithoutOlderHeadFirst>("the older head goes first"),
      without<WithoutTimePasses>("service moves the time"),
      without<WithoutStopsClosedClasses>("the clock of those who cannot go stands"),
      without<WithoutReturnsWithoutCredit>("who comes back has no credit"),
      without<WithoutKeepsDebt>("who comes back has his debt still"),
      without<WithoutGrace>("a moment's absence keeps the tag"),
      without<WithoutCapsCredit>("short absences do not add up"),
      without<WithoutWaitsForTheLast>("time leaves nobody behind who could go"),
      without<WithoutReweighs>("a new weight leaves what is owed"),
  };
  return all;
}

}  // namespace blkio::simulation
