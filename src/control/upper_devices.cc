// Bridges, bonds and VLANs over an interface of Cygnet's: routes and clients that name them mean
// the interface below.
#include "control/control_plane.h"

namespace cygnet {

const ControlDevice* ControlPlane::DeviceWith(int32_t ifindex) const {
  for (const ControlDevice& device : devices()) {
    if (device.ifindex == ifindex) return &device;
  }
  const int32_t under = DeviceUnder(ifindex);
  for (const ControlDevice& device : devices()) {
    if (under != 0 && device.ifindex == under) return &device;
  }
  return nullptr;
}

// 0: none. Queries the kernel at most once a second, because a rekey of all SAs asks for each.
int32_t ControlPlane::DeviceUnder(int32_t ifindex) const {
  constexpr uint64_t kFreshNs = 1'000'000'000;
  if (params_.links == nullptr || ifindex <= 0) return 0;
  const uint64_t now = params_.clock->MonotonicNs();
  if (!stacks_read_ || now - stacks_at_ns_ >= kFreshNs) {
    stacks_read_ = true;
    stacks_at_ns_ = now;
    under_.clear();
    const std::vector<HostLink> links = params_.links->Links();
    for (const ControlDevice& device : devices()) {
      for (const int32_t upper : StackOver(links, device.ifindex)) {
        under_.emplace(upper, device.ifindex);
      }
    }
  }
  const auto found = under_.find(ifindex);
  return found == under_.end() ? 0 : found->second;
}

std::vector<DoctorRow> ControlPlane::CheckHostRoutes() const {
  if (params_.links == nullptr) return {};
  RoutePicture picture{.links = params_.links->Links(),
                       .routes = params_.links->Routes(),
                       .own = {},
                       .policies = {}};
  for (const ControlDevice& device : devices()) picture.own.push_back(device.ifindex);
  for (const auto& policy : path_.spd.List()) picture.policies.push_back(policy->spec);
  return CheckRoutes(picture);
}

}  // namespace cygnet
