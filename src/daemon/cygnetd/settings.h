// The parts of a configuration that the control plane gets, at the start and at a reload.
#pragma once

#include <string>
#include <vector>

#include "control/placement/settings.h"
#include "daemon/config/config.h"
#include "datapath/device_tester.h"
#include "device/offload_device.h"

namespace cygnet {

DeviceTerms TermsOf(const DeviceConfig& config, const OffloadDevice* device);

// `devices` are the running ones, which rules name.
PlacementRule RuleOf(const PlacementRuleConfig& config, const std::vector<ControlDevice>& devices);

// nullptr: the configuration has no such device.
const DeviceConfig* DeviceNamed(const Config& config, const std::string& name);

// Whether an SA of some kind can go there.
bool OffersOffload(const OffloadCaps& caps);
// Refuses a mode that the device cannot provide, with the reason. `device`: nullptr without
// offload. `test`: its self-test; nullptr, or not run: what the device claims counts.
Status CheckOffers(const DeviceConfig& config, const OffloadDevice* device,
                   const DeviceSelfTest* test = nullptr);

// Packets for jumbo frames, as configured. Otherwise there are some if an MTU in the configuration
// needs them, or that of a wire which is there and whose host-side interface has the same.
uint32_t LargePackets(const Config& config);

// Refuses MTUs that the packet pools cannot have, and checks that memory suffices for what is
// allocated once, at the start: packet pools and flow caches.
Status CheckMemoryOf(const Config& config);
// What CheckMemoryOf adds up, in words.
std::string DescribeMemoryOf(const Config& config);

}  // namespace cygnet
