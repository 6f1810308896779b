// EvidenceStore: where the packets go that prove that a device is wrong.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "datapath/device_tester.h"
#include "datapath/shadow/device_shadow.h"

namespace cygnet {

class EvidenceStore {
 public:
  virtual ~EvidenceStore() = default;
  // Keeps the packets of the device. Returns the file that has them. Control thread.
  virtual Result<std::string> Keep(const std::string& device,
                                   std::span<const ShadowEvidence> evidence) = 0;
  virtual Result<std::string> Keep(const std::string& device,
                                   std::span<const WithdrawnCapability> withdrawn) = 0;
};

}  // namespace cygnet
