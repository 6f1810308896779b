// SaBinding: joins one half of an SA with the engine or device that does its cryptography. Made by
// path_select, replaced by pointer swap, read by workers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/huge_memory.h"
#include "base/ids.h"
#include "crypto/crypto_engine.h"
#include "device/offload_device.h"
#include "device/placement_reason.h"

namespace cygnet {

enum class ProcessingPath : uint8_t {
  kSoftware,
  kLookAside,
  kCryptoOffload,
  kBlocked,  // it may run nowhere: its packets are dropped
};

// What is asked of one half of an SA or of a device.
enum class PlacementMode : uint8_t {
  kNo,        // never a device
  kCrypto,    // crypto offload, else software
  kPacket,    // packet offload, else an error
  kAuto,      // the best that takes it, asked or not
  kRequired,  // a device, else an error; no software, not even for one packet
};

enum class RequestedBy : uint8_t {
  kNobody,
  kClient,    // XFRMA_OFFLOAD_DEV
  kRule,      // [[placement]]
  kOperator,  // cygnet placement set
  kDevice,    // the device's offload = auto
};

// The request that counts, after the operator's word, the rules and the client were heard.
struct PlacementRequest {
  PlacementMode mode = PlacementMode::kNo;
  RequestedBy by = RequestedBy::kNobody;
  int32_t ifindex = 0;  // of the device; 0: any
  bool pinned = false;  // the scheduler leaves it alone
  bool operator==(const PlacementRequest&) const = default;
};

// A session and the engine it is of, by its number in the EngineSet. Bindings of one half that
// follow each other share the session; the key schedule goes with the last of them.
struct EngineSession {
  std::shared_ptr<CryptoSession> session;
  uint8_t engine = 0;
};

// What a device may have opened for the SA.
struct OpenedBy {
  const OffloadDevice* device = nullptr;
  OffloadHandle handle;
  bool operator==(const OpenedBy&) const = default;
};

struct alignas(kCacheLine) SaBinding : FromSlab<SaBinding> {
  ProcessingPath path = ProcessingPath::kSoftware;
  // What a device or a look-aside engine cannot take is done with it. Empty when the SA is required
  // to be on a device, and when it is blocked.
  EngineSession cpu;
  EngineSession look_aside;         // kLookAside only
  OffloadDevice* device = nullptr;  // kCryptoOffload only
  OffloadHandle handle;
  uint32_t device_resets = 0;  // of the device when the handle was given
  // Inbound: earlier places of this half, newest first. What they opened may still be on its way
  // when the half has moved.
  static constexpr std::size_t kMaxEarlier = 8;
  std::vector<OpenedBy> earlier;

  bool MayHaveOpened(const OpenedBy& by) const {
    if (device == by.device && device != nullptr && handle == by.handle) return true;
    for (const OpenedBy& e : earlier) {
      if (e == by && e.device != nullptr) return true;
    }
    return false;
  }

  // Control thread only: why it runs here, for operators.
  PlacementRequest request;
  PlacementReason reason;
  uint64_t since = 0;  // wall-clock seconds
};

}  // namespace cygnet
