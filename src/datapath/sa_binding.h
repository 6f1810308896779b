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

enum class ProcessingPath : uint8_t { kSoftware, kCryptoOffload };

struct SaBinding {
  ProcessingPath path = ProcessingPath::kSoftware;
  // Always there: a packet of an offloaded SA that the device cannot take is done with it.
  std::unique_ptr<CryptoSession> session;
  CryptoEngine* engine = nullptr;
  OffloadDevice* device = nullptr;  // nullptr in software
  OffloadHandle handle;
  // Why it runs here, for operators.
  OffloadMode requested = OffloadMode::kNo;
  bool requested_by_device_mode = false;  // the device's offload = auto asked, not the client
  PlacementReason reason;
  uint64_t since = 0;  // wall-clock seconds
};

}  // namespace cygnet
