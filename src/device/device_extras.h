// What a device may offer besides the contract (device/offload_device.h), for operators and tests.
// A driver of a card needs none of it.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "sa/half.h"
#include "sa/sa_spec.h"

namespace cygnet {

// A key that was offered to a device, as the device logs it. Contains no key material.
struct KeyLogEntry {
  uint64_t time = 0;  // wall-clock seconds
  SaId id;
  Half half = Half::kOutbound;
  bool taken = false;   // false: refused, nothing kept
  bool erased = false;  // was taken, and has been erased
};

// The device's own records of the keys that it holds and was offered. Control thread.
class DeviceRecords {
 public:
  virtual ~DeviceRecords() = default;
  // SAs in its table now.
  virtual std::vector<SaId> HeldSas() const = 0;
  // The last keys offered, oldest first, bounded.
  virtual std::vector<KeyLogEntry> KeyLog() const = 0;
};

// A device that can simulate faults ("reset", "link-down" …). Any thread.
class FaultInjection {
 public:
  virtual ~FaultInjection() = default;
  virtual Status InjectFault(std::string_view fault) = 0;
};

}  // namespace cygnet
