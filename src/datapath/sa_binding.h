// SaBinding: joins one half of an SA with the engine or device that does its cryptography. BindHalf
// makes it, a pointer swap replaces it, workers read it. Immutable once published.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/huge_memory.h"
#include "base/ids.h"
#include "crypto/crypto_engine.h"
#include "datapath/shadow/shadow_session.h"
#include "device/offload_device.h"

namespace cygnet {

enum class ProcessingPath : uint8_t {
  kSoftware,
  kLookAside,
  kCryptoOffload,
  kPacketOffload,
  kBlocked,  // may run nowhere: its packets are dropped
};
// The names shown to operators: "software", "look-aside", "crypto", "packet",
// "blocked".
std::string_view Name(ProcessingPath path);

// A device that may have opened packets of the SA.
struct OpenedBy {
  const OffloadDevice* device = nullptr;
  OffloadHandle handle;
  bool operator==(const OpenedBy&) const = default;
};

// Two in a cache line.
struct alignas(32) SaBinding : FromSlab<SaBinding> {
  // Handles what a device or look-aside engine cannot. Empty if the SA is required to be on a
  // device, or is blocked.
  [[no_unique_address]] EngineSession cpu;  // what follows begins in its padding
  ProcessingPath path = ProcessingPath::kSoftware;
  OffloadHandle handle;  // of device()

  // What no binding needs that was in software from the start.
  struct Rare {
    OffloadDevice* device = nullptr;  // kCryptoOffload and kPacketOffload
    uint32_t device_resets = 0;       // of the device when it returned the handle
    EngineSession look_aside;         // kLookAside only
    // Shadow verification; nullptr: none. After a move off the device it stays for one binding,
    // because packets of the device are still on their way.
    std::shared_ptr<ShadowSession> shadow;
    uint64_t first_number = 0;  // inbound, packet offload: no number of the device is lower
    // Inbound: earlier places of this half, newest first. Packets that they opened may still arrive
    // after a move.
    std::vector<OpenedBy> earlier;
  };
  static constexpr std::size_t kMaxEarlier = 8;
  const Rare& rare() const { return rare_ != nullptr ? *rare_ : kNothingRare; }
  ShadowSession* shadow() const { return rare_ != nullptr ? rare_->shadow.get() : nullptr; }
  // REQUIRES: it is not published yet.
  Rare* MakeRare() {
    if (rare_ == nullptr) rare_ = std::make_unique<Rare>();
    return rare_.get();
  }

  // For a device's half; in software there is nothing to prefetch.
  void PrefetchRare() const {
    if (rare_ != nullptr) __builtin_prefetch(rare_.get());
  }

  bool blocked() const { return path == ProcessingPath::kBlocked; }
  bool on_device() const { return device() != nullptr; }
  OffloadDevice* device() const { return rare_ != nullptr ? rare_->device : nullptr; }
  uint32_t device_resets() const { return rare().device_resets; }
  // `resets`: of the device before it returned the handle. REQUIRES: it is not published yet.
  void SetDevice(OffloadDevice* device, uint32_t resets) {
    Rare* const rare = MakeRare();
    rare->device = device;
    rare->device_resets = resets;
  }
  // The device numbers and counts the packets (packet offload).
  bool device_numbers() const { return path == ProcessingPath::kPacketOffload; }
  // The CPU does all of it, and no packet of a device is checked.
  bool cpu_alone() const {
    return path == ProcessingPath::kSoftware && cpu.session != nullptr && shadow() == nullptr;
  }
  // Runs what the device does not; without a session: nothing does.
  const EngineSession& engine() const {
    return rare_ != nullptr && rare_->look_aside.session != nullptr ? rare_->look_aside : cpu;
  }
  // True if both refer to the same entry of one device's table.
  bool SharesSlotWith(const SaBinding& other) const {
    return on_device() && device() == other.device() && handle == other.handle &&
           device_resets() == other.device_resets();
  }

  bool MayHaveOpened(const OpenedBy& by) const {
    if (device() == by.device && on_device() && handle == by.handle) return true;
    for (const OpenedBy& e : rare().earlier) {
      if (e == by && e.device != nullptr) return true;
    }
    return false;
  }

 private:
  static const Rare kNothingRare;
  std::unique_ptr<Rare> rare_;
};
static_assert(sizeof(SaBinding) == kCacheLine / 2);

}  // namespace cygnet
