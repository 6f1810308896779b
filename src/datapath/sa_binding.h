// SaBinding: joins one half of an SA with the engine or device that does its cryptography. Made by
// BindHalf, replaced by pointer swap, read by workers: from its publication on it does not change.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/huge_memory.h"
#include "base/ids.h"
#include "crypto/crypto_engine.h"
#include "device/offload_device.h"

namespace cygnet {

enum class ProcessingPath : uint8_t {
  kSoftware,
  kLookAside,
  kCryptoOffload,
  kBlocked,  // it may run nowhere: its packets are dropped
};
// In the operator's words: "software", "look-aside", "crypto", "blocked".
std::string_view Name(ProcessingPath path);

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

  bool blocked() const { return path == ProcessingPath::kBlocked; }
  bool on_device() const { return device != nullptr; }
  // What the device does not do runs here; without a session: nowhere.
  const EngineSession& engine() const { return look_aside.session != nullptr ? look_aside : cpu; }
  // Both name one entry of one device's table.
  bool SharesSlotWith(const SaBinding& other) const {
    return device != nullptr && device == other.device && handle == other.handle &&
           device_resets == other.device_resets;
  }

  bool MayHaveOpened(const OpenedBy& by) const {
    if (device == by.device && device != nullptr && handle == by.handle) return true;
    for (const OpenedBy& e : earlier) {
      if (e == by && e.device != nullptr) return true;
    }
    return false;
  }
};

}  // namespace cygnet
