// Policies: NEWPOLICY, DELPOLICY and so on, and the defaults, as a Linux kernel answers them.
// Control thread.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "control/announcer.h"
#include "datapath/data_path.h"
#include "requests/xfrm_control.h"

namespace cygnet {

class Policies {
 public:
  // `is_own`: an interface of Cygnet's, or one stacked on it.
  Policies(DataPath* path, const Clock* clock, const Announcer* announcer,
           std::function<bool(int32_t ifindex)> is_own)
      : path_(*path), clock_(*clock), announcer_(*announcer), is_own_(std::move(is_own)) {}

  Status Add(PolicySpec spec, const RequestOrigin& origin);
  Status Update(PolicySpec spec, const RequestOrigin& origin);
  Status Delete(const PolicyId& id, const RequestOrigin& origin);
  Result<PolicyView> Get(const PolicyId& id) const;
  Status Expire(const PolicyId& id, bool hard, const RequestOrigin& origin);
  Result<bool> Flush(PolicyType type, const RequestOrigin& origin);
  std::vector<PolicyView> List() const;
  Status SetDefaults(const std::array<std::optional<PolicyAction>, kPolicyDirections>& actions,
                     const RequestOrigin& origin);
  const std::array<PolicyAction, kPolicyDirections>& defaults() const { return defaults_; }

  // Traffic of another interface never reaches Cygnet, so such a policy would not be enforced.
  Status RefuseForeignInterface(const Selector& selector) const;
  // Lifetimes: hard removes the policy; soft is reported again every 30 s (kernel:
  // xfrm_policy_timer). `now`: wall-clock seconds.
  void CheckTimes(const std::shared_ptr<Policy>& policy, uint64_t now);

 private:
  DataPath& path_;
  const Clock& clock_;
  const Announcer& announcer_;
  const std::function<bool(int32_t)> is_own_;
  std::array<PolicyAction, kPolicyDirections> defaults_{};
};

}  // namespace cygnet
