#include "control/acquire_budget.h"

#include <string>

#include "base/log.h"

namespace cygnet {

bool AcquireBudget::Admit(uint64_t policy_number) {
  const auto of_policy = count_of_.find(policy_number);
  const bool many = of_policy != count_of_.end() && of_policy->second >= limits_.per_policy;
  if (!many && policy_of_.size() < limits_.total) return true;
  constexpr uint64_t kLogEverySeconds = 60;
  ++refused_;
  const uint64_t now = clock_.WallSeconds();
  if (now < logged_at_ + kLogEverySeconds) return false;
  logged_at_ = now;
  const std::string whose = many ? " of one policy" : "";
  const uint32_t limit = many ? limits_.per_policy : limits_.total;
  Log(LogLevel::kWarning,
      "ACQUIRE: " + std::to_string(limit) + " larval states" + whose +
          " wait for key management (the limit): further ones are not requested "
          "(" +
          std::to_string(refused_) + " refused so far)");
  return false;
}

void AcquireBudget::Add(uint64_t sa_number, uint64_t policy_number) {
  policy_of_.emplace(sa_number, policy_number);
  ++count_of_[policy_number];
}

void AcquireBudget::Remove(uint64_t sa_number) {
  const auto it = policy_of_.find(sa_number);
  if (it == policy_of_.end()) return;
  const auto of_policy = count_of_.find(it->second);
  if (--of_policy->second == 0) count_of_.erase(of_policy);
  policy_of_.erase(it);
}

}  // namespace cygnet
