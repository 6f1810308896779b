// The parts of a configuration that the control plane gets, at the start and at a reload.
#pragma once

#include <vector>

#include "control/placement/settings.h"
#include "daemon/config/config.h"

namespace cygnet {

DeviceTerms TermsOf(const DeviceConfig& config, const OffloadDevice* device);

// `devices` are the running ones, which rules name.
PlacementRule RuleOf(const PlacementRuleConfig& config, const std::vector<ControlDevice>& devices);

// Refuses a mode that the device can never provide, with the reason. `device`: nullptr without
// offload.
Status CheckOffers(const DeviceConfig& config, const OffloadDevice* device);

// Checks that memory suffices for what is allocated once, at the start: packet pools and flow
// caches.
Status CheckMemoryOf(const Config& config);

}  // namespace cygnet
