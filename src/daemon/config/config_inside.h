// Names of inside interfaces (`[[device]] inside`): "lan0", or "lan0.100" for VLAN 100 of lan0.
#pragma once

#include <cstdint>
#include <string>

#include "daemon/config/config.h"

namespace cygnet {

uint16_t VlanOfInside(const std::string& name);  // 0: untagged
// The interface that gets the XDP program.
std::string LowerOfInside(const std::string& name);

// What is wrong with the inside interfaces of the device, given all others; empty: nothing.
std::string WrongInside(const Config& config, const DeviceConfig& device);

}  // namespace cygnet
