// PolicyDecisions: one worker's decisions that are the same for every flow of a policy. With
// templates that name the SA's ends, new flows of a policy mostly need no look-up of SAs, nor do
// those of its neighbours: many policies for one peer ask for the same SAs.
#pragma once

#include <algorithm>
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
  // The same, taken from the policy whose decision was stored last if `policy` asks for the same
  // SAs: it holds for every flow of `policy`, too.
  const FlowDecision* Adopt(Policy* policy, uint64_t generation) {
    if (last_ == nullptr || last_->generation != generation) return nullptr;
    if (!AsksForTheSame(last_->decision.policy->spec, policy->spec)) return nullptr;
    Row& row = RowOf(policy);
    if (&row != last_) row = *last_;
    row.decision.policy = policy;
    return &row.decision;
  }
  // REQUIRES: the decision holds for every flow of its policy (HoldsForPolicy).
  void Store(const FlowDecision& decision, uint64_t generation) {
    Row& row = RowOf(decision.policy);
    row.generation = generation;
    row.decision = decision;
    last_ = &row;
  }

 private:
  struct Row {
    uint64_t generation = 0;  // 0: empty
    FlowDecision decision;
  };
  static bool AsksForTheSame(const PolicySpec& a, const PolicySpec& b) {
    return a.blocks() == b.blocks() && a.flags == b.flags && a.if_id == b.if_id &&
           a.mark_value == b.mark_value && a.mark_mask == b.mark_mask &&
           PacketDeviceOf(a.offload) == PacketDeviceOf(b.offload) &&
           std::equal(a.templates.begin(), a.templates.end(), b.templates.begin(),
                      b.templates.end());
  }
  static constexpr std::size_t kRows = 32;
  static std::size_t IndexOf(const Policy* policy) {
    return reinterpret_cast<std::uintptr_t>(policy) / (4 * kCacheLine) % kRows;
  }
  const Row& RowOf(const Policy* policy) const { return rows_[IndexOf(policy)]; }
  Row& RowOf(const Policy* policy) { return rows_[IndexOf(policy)]; }

  std::array<Row, kRows> rows_;
  const Row* last_ = nullptr;  // the row that was stored last
};

}  // namespace cygnet
