// Policies: NEWPOLICY, DELPOLICY and so on, and the defaults, as a Linux kernel answers them.
// Control thread.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "control/announcer.h"
#include "control/device_policies.h"
#include "control/own_devices.h"
#include "control/tunnel_control.h"
#include "datapath/data_path.h"
#include "requests/xfrm_control.h"

namespace cygnet {

class Policies {
 public:
  Policies(DataPath* path, const Clock* clock, const Announcer* announcer, DevicePolicies* devices,
           const OwnDevices* own_devices, const TunnelControl* tunnels)
      : path_(*path),
        clock_(*clock),
        announcer_(*announcer),
        devices_(*devices),
        own_devices_(*own_devices),
        tunnels_(*tunnels) {}

  Status Add(PolicySpec spec, const RequestOrigin& origin);
  Status Update(PolicySpec spec, const RequestOrigin& origin);
  Status Restore(PolicySpec spec, uint64_t add_time);
  Status Delete(const PolicyId& id, const RequestOrigin& origin);
  Result<PolicyView> Get(const PolicyId& id) const;
  Status Expire(const PolicyId& id, bool hard, const RequestOrigin& origin);
  Result<bool> Flush(PolicyType type, const RequestOrigin& origin);
  std::vector<PolicyView> List() const;
  Status SetDefaults(const std::array<std::optional<PolicyAction>, kPolicyDirections>& actions,
                     const RequestOrigin& origin);
  const std::array<PolicyAction, kPolicyDirections>& defaults() const { return defaults_; }

  // Lifetimes: hard removes the policy; soft is reported again every 30 s (kernel:
  // xfrm_policy_timer). `now`: wall-clock seconds.
  void CheckTimes(const std::shared_ptr<Policy>& policy, uint64_t now);
  void CheckTimes();  // of all, now
  // The device is gone, and the policies that clients offloaded to it with it. As in the kernel, no
  // listener is notified.
  void Lose(std::size_t device);

 private:
  Result<std::shared_ptr<Policy>> Put(PolicySpec spec, uint64_t add_time,
                                      const RequestOrigin& origin);
  void Remove(const std::shared_ptr<Policy>& policy);
  uint64_t PlaceAfter(const Policy& old, const PolicySpec& next) const;

  DataPath& path_;
  const Clock& clock_;
  const Announcer& announcer_;
  DevicePolicies& devices_;
  const OwnDevices& own_devices_;
  const TunnelControl& tunnels_;
  std::array<PolicyAction, kPolicyDirections> defaults_{};
};

}  // namespace cygnet
