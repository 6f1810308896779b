// BindHalf: the only function that hands a key to a device or an engine. No other code chooses
// where an SA's cryptography runs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include "base/result.h"
#include "crypto/engine_set.h"
#include "datapath/placement_check.h"
#include "datapath/sa_binding.h"
#include "sa/half.h"
#include "sa/sa_spec.h"

namespace cygnet {

// Notified of each key that is handed out, and of its end. Control thread.
class KeyObserver {
 public:
  virtual ~KeyObserver() = default;
  // Called before the key is handed over. Error: it must not be. Otherwise a number for the later
  // calls.
  virtual Result<uint64_t> GiveToEngine(uint32_t engine, const SaSpec& spec, Half half) = 0;
  virtual Result<uint64_t> GiveToDevice(const OffloadDevice& device, const SaSpec& spec,
                                        Half half) = 0;
  // The device holds the key until it reports the erasure of this handle.
  virtual void TakenByDevice(const OffloadDevice& device, OffloadHandle handle, uint64_t key) = 0;
  // The device or engine refused the key.
  virtual void NotTaken(uint64_t key, const std::string& why) = 0;
  virtual void Erased(uint64_t key) = 0;
};

enum class PlacementCause : uint8_t {
  kInstall,  // a new SA; may fail
  kMove,     // an existing SA; never fails, at worst it is blocked
  kRenew,    // the same, and its device gets it anew: what the device was given has changed
};

struct BindInputs {
  PlacementRequest request = {};  // the one that applies
  std::span<const PlacementDevice> devices = {};
  const EngineSet* engines = nullptr;
  EngineDenials engine_denied = {};
  std::optional<PlacementReason> algorithm_denied = {};  // FIPS: the SA may run nowhere
  LookAsideMode look_aside = LookAsideMode::kNo;
  uint32_t queues = 1;  // worker threads that will use the session
  uint32_t wires = 1;   // threads that verify what devices send, one for each wire
  SlotClaim claim = SlotClaim::kNewcomer;
  std::optional<uint64_t> highest = {};  // inbound: authenticated so far; nullopt: from the spec
  const SaBinding* current = nullptr;    // where the half runs now
  // The device that accepted the half and turned out not to hold it: it does not get it again.
  const OffloadDevice* lost_by = nullptr;
  std::string lost_why = {};
  PlacementCause cause = PlacementCause::kInstall;
  ReasonCode success = ReasonCode::kRequested;  // the reason if a device accepts it
  std::shared_ptr<KeyObserver> keys = {};
  // --- Packet offload ---
  uint32_t number = 0;   // low word of Sa::number
  uint64_t iv_mask = 0;  // OutboundSa::iv_mask
  // Called right before a device is given the half; returns the numbers that it may use. Empty:
  // none until PacketOffload::Grant.
  std::function<NumberBlock(const OffloadDevice&)> numbers = {};
};

// The present binding is still right: nothing needs to be published.
struct StaysBound {};

struct BoundHalf {
  std::variant<StaysBound, std::unique_ptr<SaBinding>> place;
  PlacementReason reason;  // why it runs there
  // Why the CPU does not verify the packets of a device that it should; empty: it does, or no
  // device has the half.
  std::string not_verified = {};

  bool stays() const { return std::holds_alternative<StaysBound>(place); }
  // The new binding. REQUIRES: !stays()
  const SaBinding& next() const { return **std::get_if<std::unique_ptr<SaBinding>>(&place); }
  std::unique_ptr<SaBinding> ReleaseNext() {
    return std::move(*std::get_if<std::unique_ptr<SaBinding>>(&place));
  }
};

// Errors are those of the kernel's xfrm_dev_state_add. Packet offload never falls back. Crypto
// offload falls back if a driver returns EOPNOTSUPP or no device could do it, unless a device is
// required.
Result<BoundHalf> BindHalf(const SaSpec& spec, Half half, const BindInputs& inputs);

}  // namespace cygnet
