// The one decision: where an SA's cryptography runs. Nothing else in the tree chooses.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "crypto/engine_set.h"
#include "datapath/sa_binding.h"
#include "sa/sa_spec.h"

namespace cygnet {

// What the operator's configuration lets a device do.
enum class DeviceOffloadMode : uint8_t {
  kNo,      // nothing is ever sent to the device
  kCrypto,  // SAs that ask for it
  kAuto,    // every SA it can take, asked or not
};

// A device as placement sees it.
struct PlacementDevice {
  OffloadDevice* device = nullptr;  // nullptr: the interface has none
  DeviceOffloadMode mode = DeviceOffloadMode::kCrypto;
  int32_t ifindex = 0;  // of the host-side interface that clients name
};

struct PlacementInputs {
  std::span<const PlacementDevice> devices;
  const EngineSet* engines = nullptr;
  LookAsideMode look_aside = LookAsideMode::kNo;
  uint32_t queues = 1;              // worker threads that will use the session
  uint64_t now = 0;                 // wall-clock seconds
  bool direction_is_known = false;  // the half is certainly used: an auto device may take it
};

// Binds one half of an SA. Errors are those of the kernel's xfrm_dev_state_add: packet offload
// never falls back, crypto offload falls back where a driver says EOPNOTSUPP and where there is no
// device that could. A key reaches a device only here.
Result<std::unique_ptr<SaBinding>> SelectPath(const SaSpec& spec, CryptoDirection direction,
                                              const PlacementInputs& inputs);

}  // namespace cygnet
