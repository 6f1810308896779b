// SaBinding: joins one half of an SA with the engine or device that does its cryptography. Made by
// path_select, replaced by pointer swap, read by workers.
#pragma once

#include <cstdint>
#include <memory>

#include "base/ids.h"
#include "crypto/crypto_engine.h"
#include "device/offload_device.h"
#include "device/placement_reason.h"

namespace cygnet {

enum class ProcessingPath : uint8_t { kSoftware, kLookAside, kCryptoOffload };

// A session and the engine it is of, by its number in the EngineSet.
struct EngineSession {
  std::unique_ptr<CryptoSession> session;
  uint8_t engine = 0;
};

struct SaBinding {
  ProcessingPath path = ProcessingPath::kSoftware;
  // Always there: what a device or a look-aside engine cannot take is done with it.
  EngineSession cpu;
  EngineSession look_aside;         // kLookAside only
  OffloadDevice* device = nullptr;  // kCryptoOffload only
  OffloadHandle handle;
  // Why it runs here, for operators.
  OffloadMode requested = OffloadMode::kNo;
  bool requested_by_device_mode = false;  // the device's offload = auto asked, not the client
  PlacementReason reason;
  uint64_t since = 0;  // wall-clock seconds
};

}  // namespace cygnet
