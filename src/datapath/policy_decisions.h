// PolicyDecisions: one worker's decisions that are the same for every flow of a policy. With
// templates that name the SA's ends, new flows of a policy mostly need no look-up of SAs.
#pragma once

#include <array>
#include <cstdint>

#include "datapath/flow_cache.h"

namespace cygnet {

class PolicyDecisions {
 public:
  // nullptr: not known. `generation`: as for FlowCache.
  const FlowDecision* Find(const Policy* policy, uint64_t generation) const {
    const Row& row = RowOf(policy);
    const bool known = row.generation == generation && row.decision.policy == policy;
    return known ? &row.decision : nullptr;
  }
  // REQUIRES: the decision holds for every flow of its policy (HoldsForPolicy).
  void Store(const FlowDecision& decision, uint64_t generation) {
    Row& row = RowOf(decision.policy);
    row.generation = generation;
    row.decision = decision;
  }

 private:
  struct Row {
    uint64_t generation = 0;  // 0: empty
    FlowDecision decision;
  };
  static constexpr std::size_t kRows = 32;
  static std::size_t IndexOf(const Policy* policy) {
    return reinterpret_cast<std::uintptr_t>(policy) / (4 * kCacheLine) % kRows;
  }
  const Row& RowOf(const Policy* policy) const { return rows_[IndexOf(policy)]; }
  Row& RowOf(const Policy* policy) { return rows_[IndexOf(policy)]; }

  std::array<Row, kRows> rows_;
};

}  // namespace cygnet
