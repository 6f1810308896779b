// The self-test of a device: known answers for each capability that it claims, before it carries
// traffic. What it claims and does wrongly is withdrawn, with the packet that proved it.
//
// A failure is blamed on the smallest capability that explains it: a feature that works with no
// algorithm that works without it; a key or ICV length that fails where others of the algorithm
// work; an algorithm; a direction or a mode in which no algorithm works, if there is one in which
// some work. Control thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "crypto/engine_set.h"
#include "datapath/self_test_case.h"
#include "device/offload_device.h"

namespace cygnet {

struct WithdrawnCapability {
  std::string name;  // as CheckCapabilities names it, or an algorithm: "esn", "icv-64" …
  std::string text;  // what was tested, and what was wrong
  SelfTestProof proof;
};

struct DeviceSelfTest {
  bool ran = false;
  std::string not_tested{};  // why it did not run; the device is used as it claims
  uint32_t packets = 0;
  uint64_t took_us = 0;
  std::vector<WithdrawnCapability> withdrawn{};
  std::string evidence{};  // file with the packets of `withdrawn`, or why there is none
  OffloadCaps caps{};      // what the device claims, less what is withdrawn
};

// REQUIRES: the device is up. `ran` is false if it went down meanwhile.
DeviceSelfTest TestDevice(OffloadDevice* device, const EngineSet& engines, uint32_t mtu);

}  // namespace cygnet
