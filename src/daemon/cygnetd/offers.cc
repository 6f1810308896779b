// What devices offer to clients: what they claim, less what their self-tests withdrew.
#include "base/log.h"
#include "daemon/cygnetd/runtime.h"
#include "daemon/cygnetd/settings.h"

namespace cygnet {

// The control plane has tested the devices.
Status Runtime::TakeSelfTests(const Config& config) {
  CYGNET_RETURN_IF_ERROR(CheckOffered(config));
  return MarkHostInterfaces();
}

Status Runtime::CheckOffered(const Config& config) const {
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const DeviceConfig* device = DeviceNamed(config, links_[i]->config.name);
    if (device == nullptr) continue;
    CYGNET_RETURN_IF_ERROR(
        CheckOffers(*device, links_[i]->wire.offload, control_->placement_devices().self_test(i)));
  }
  return {};
}

// A capability that a self-test withdrew is not offered any more.
Status Runtime::MarkHostInterfaces() {
  const PlacementDevices& devices = control_->placement_devices();
  marked_self_tests_ = devices.self_tests();
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const OffloadCaps* offered = links_[i]->wire.offload != nullptr ? &devices.caps(i) : nullptr;
    CYGNET_RETURN_IF_ERROR(MarkHostInterface(*links_[i], offered, network_.get()));
  }
  return {};
}

void Runtime::FollowSelfTests() {
  if (control_->placement_devices().self_tests() == marked_self_tests_) return;
  const Status marked = MarkHostInterfaces();
  if (!marked) Log(LogLevel::kWarning, "after a self-test: " + marked.error().message);
}

}  // namespace cygnet
