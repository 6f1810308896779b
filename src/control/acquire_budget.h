// AcquireBudget: how many larval states wait for key management because traffic asked for them: any
// process of this host can send such traffic. Control thread.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/clock.h"

namespace cygnet {

struct LarvalLimits {
  uint32_t per_policy = 512;
  uint32_t total = 16384;
};

class AcquireBudget {
 public:
  AcquireBudget(const LarvalLimits& limits, const Clock* clock) : limits_(limits), clock_(*clock) {}

  // False: there are as many as may be, of this policy or in all. Counted, and logged once a
  // minute.
  bool Admit(uint64_t policy_number);
  void Add(uint64_t sa_number, uint64_t policy_number);
  // Without effect for an SA that was not added.
  void Remove(uint64_t sa_number);
  // Events that made no larval state.
  uint64_t refused() const { return refused_; }

 private:
  const LarvalLimits limits_;
  const Clock& clock_;
  std::unordered_map<uint64_t, uint64_t> policy_of_;  // by larval state
  std::unordered_map<uint64_t, uint32_t> count_of_;   // by policy; those without none
  uint64_t refused_ = 0;
  uint64_t logged_at_ = 0;
};

}  // namespace cygnet
