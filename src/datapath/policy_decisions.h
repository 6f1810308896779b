// PolicyDecisions: one worker's decisions that are the same for every flow of a policy. With
// templates that name the SA's ends, new flows of a policy mostly need no look-up of SAs, nor do
// those of its neighbours: many policies for one peer ask for the same SAs (Policy::asks).
#pragma once

#include <array>
#include <cstdint>

#include "datapath/flow_cache.h"

namespace cygnet {

class PolicyDecisions {
 public:
  // The decision about a flow of `policy`; nullptr: not known. Valid until the next call.
  // `generation`: as for FlowCache.
  const FlowDecision* Find(Policy* policy, uint64_t generation) {
    Row& row = RowOf(policy->asks);
    if (row.generation != generation || row.asks != policy->asks) return nullptr;
    row.decision.policy = policy;
    return &row.decision;
  }
  // REQUIRES: the decision holds for every flow of its policy (HoldsForPolicy).
  void Store(const FlowDecision& decision, uint64_t generation) {
    const uint64_t asks = decision.policy->asks;
    if (asks == 0) return;
    Row& row = RowOf(asks);
    row.generation = generation;
    row.asks = asks;
    row.decision = decision;
  }

 private:
  struct Row {
    uint64_t generation = 0;  // 0: empty
    uint64_t asks = 0;
    FlowDecision decision;
  };
  static constexpr std::size_t kRows = 32;
  Row& RowOf(uint64_t asks) { return rows_[asks % kRows]; }

  std::array<Row, kRows> rows_;
};

}  // namespace cygnet
