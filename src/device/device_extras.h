// What a device may offer besides the contract (device/offload_device.h), for operators and tests.
// A driver of a card needs none of it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "sa/sa_spec.h"

namespace cygnet {

// A key that a device was offered. What a device logs of itself; no key material.
struct KeyLogEntry {
  uint64_t time = 0;  // wall-clock seconds
  SaId id;
  bool inbound = false;
  bool taken = false;   // false: refused, nothing kept
  bool erased = false;  // taken, and gone since
};

// What the device itself says it holds and was given. Control thread.
class DeviceRecords {
 public:
  virtual ~DeviceRecords() = default;
  // SAs in its table now.
  virtual std::vector<SaId> HeldSas() const = 0;
  // The last keys that were offered, oldest first, bounded.
  virtual std::vector<KeyLogEntry> KeyLog() const = 0;
};

// A device that plays faults ("reset", "link-down" …). Any thread.
class FaultInjection {
 public:
  virtual ~FaultInjection() = default;
  virtual Status InjectFault(std::string_view fault) = 0;
};

}  // namespace cygnet
