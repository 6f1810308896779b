// AcquireBudget: limits the larval states that wait for key management because of traffic. Any
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

  // False: the limit of this policy, or of all, is reached. Counts that, and logs it once a minute.
  bool Admit(uint64_t policy_number);
  void Add(uint64_t sa_number, uint64_t policy_number);
  // No effect for an SA that was not added.
  void Remove(uint64_t sa_number);
  uint64_t refused() const { return refused_; }

 private:
  const LarvalLimits limits_;
  const Clock& clock_;
  std::unordered_map<uint64_t, uint64_t> policy_of_;  // by larval state
  std::unordered_map<uint64_t, uint32_t> count_of_;   // by policy, if it has any
  uint64_t refused_ = 0;
  uint64_t logged_at_ = 0;
};

}  // namespace cygnet
