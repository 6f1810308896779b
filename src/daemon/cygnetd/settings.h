// What of a configuration goes to the control plane, at the start and at a reload.
#pragma once

#include <vector>

#include "control/placement/settings.h"
#include "daemon/config/config.h"

namespace cygnet {

DeviceTerms TermsOf(const DeviceConfig& config, const OffloadDevice* device);

// `devices` are those that run: rules name them.
PlacementRule RuleOf(const PlacementRuleConfig& config, const std::vector<ControlDevice>& devices);

// A mode that the device can never give is refused, with its reason. `device`: nullptr without
// offload.
Status CheckOffers(const DeviceConfig& config, const OffloadDevice* device);

// What is made once at the start, and cannot do with less: packet pools and flow caches.
Status CheckMemoryOf(const Config& config);

}  // namespace cygnet
