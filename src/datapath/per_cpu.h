// SAs for the packets of one CPU (RFC 9611): what a worker counts as, and how often it asks for its
// own SA.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "policy/policy.h"
#include "sa/sa_spec.h"

namespace cygnet {

// The CPU that a worker counts as: its number, counted anew where there are more workers than CPUs,
// because clients may name only CPUs that exist. Workers are not bound to CPUs.
uint32_t CpuOfWorker(uint32_t worker);

// The policy wants an SA for each CPU that sends, and this SA is not the one of `cpu` (kernel:
// xfrm_state_find).
inline bool LacksOwnSa(const PolicySpec& policy, const SaSpec& sa, std::optional<uint32_t> cpu) {
  return (policy.flags & kPolicyCpuAcquire) != 0 && cpu.has_value() && sa.rare->cpu != cpu;
}

// Lets a worker ask for an SA of its own once a second for each policy. Its packets leave through
// the SA of all CPUs meanwhile, and key management may never make another. Policies that share a
// place take turns. Belongs to one worker.
class OwnSaWishes {
 public:
  // `now`: wall-clock seconds.
  bool MayAsk(uint64_t policy_number, uint64_t now) {
    uint64_t& last = asked_[policy_number % asked_.size()];
    if (last == now) return false;
    last = now;
    return true;
  }

 private:
  std::array<uint64_t, 64> asked_{};
};

}  // namespace cygnet
