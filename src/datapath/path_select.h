// The one decision: where an SA's cryptography runs. Nothing else in the tree chooses.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/engine_set.h"
#include "datapath/sa_binding.h"
#include "sa/sa_spec.h"

namespace cygnet {

// A device as placement sees it.
struct PlacementDevice {
  OffloadDevice* device = nullptr;  // nullptr: the interface has none
  PlacementMode mode = PlacementMode::kCrypto;
  int32_t ifindex = 0;                         // of the host-side interface that clients name
  std::optional<PlacementReason> denied = {};  // trust and FIPS: no key is given to it
  std::optional<PlacementReason> away = {};    // disabled, or caught lying
  bool allow_crypto = true;                    // modes that its configuration allows
  bool allow_packet = true;
  uint32_t rekey_reserve = 0;  // slots of each direction that only a rekey may take
};

// Who is told of each key that is handed out, and of its end. Control thread.
class KeyObserver {
 public:
  virtual ~KeyObserver() = default;
  // Before the key is handed over. An error: it must not be. Else a number for what follows.
  virtual Result<uint64_t> GiveToEngine(uint32_t engine, const SaSpec& spec, bool inbound) = 0;
  virtual Result<uint64_t> GiveToDevice(const OffloadDevice& device, const SaSpec& spec,
                                        bool inbound) = 0;
  // The device has it until it says, by this handle, that it is erased.
  virtual void TakenByDevice(const OffloadDevice& device, OffloadHandle handle, uint64_t key) = 0;
  // Whoever was offered the key refused it.
  virtual void NotTaken(uint64_t key, const std::string& why) = 0;
  virtual void Erased(uint64_t key) = 0;
};

enum class PlacementCause : uint8_t {
  kInstall,  // a request that may fail
  kMove,     // an SA that is there: it never fails, at worst it is blocked
};

struct PlacementInputs {
  std::span<const PlacementDevice> devices;
  const EngineSet* engines = nullptr;
  // By the engine's number: it is given no key.
  std::array<std::optional<PlacementReason>, EngineSet::kMaxEngines> engine_denied = {};
  std::optional<PlacementReason> algorithm_denied = {};  // FIPS: the SA may run nowhere
  LookAsideMode look_aside = LookAsideMode::kNo;
  uint32_t queues = 1;              // worker threads that will use the session
  uint64_t now = 0;                 // wall-clock seconds
  bool direction_is_known = false;  // the half is certainly used: an auto device may take it
  // nullopt: what the client asked for (SaSpec::offload).
  std::optional<PlacementRequest> request = {};
  bool is_rekey = false;                 // of an SA that has a slot: may use the reserve
  std::optional<uint64_t> highest = {};  // inbound: authenticated so far; nullopt: as the spec says
  const SaBinding* current = nullptr;    // where the half runs now
  PlacementCause cause = PlacementCause::kInstall;
  ReasonCode success = ReasonCode::kRequested;  // why, when a device takes it
  std::shared_ptr<KeyObserver> keys = {};
};

// What a client asked for, as a request.
PlacementRequest ClientRequest(const SaSpec& spec);

// One requirement of an SA and whether a device meets it.
struct Requirement {
  std::string name;  // "device", "trust", "enabled", "mode", "state", "esn", "slots" …
  std::optional<PlacementReason> failure;  // nullopt: met
};
// In the order in which they are asked; no key is handed over before all are met. With a `device`
// that is nullptr there is one, unmet.
std::vector<Requirement> CheckDevice(const SaSpec& spec, CryptoDirection direction,
                                     const PlacementDevice* device, PlacementMode mode,
                                     bool is_rekey);

// nullptr: the half stays where it is.
using Selection = std::unique_ptr<SaBinding>;

// What holds for a half that stays.
struct PlacementTerms {
  PlacementRequest request;
  PlacementReason reason;
};

// Binds one half of an SA. Errors are those of the kernel's xfrm_dev_state_add: packet offload
// never falls back, crypto offload falls back where a driver says EOPNOTSUPP and where there is no
// device that could, unless a device is required. A key reaches a device only here. When the half
// stays where it is, its binding's request and reason are the caller's to renew from `terms`.
Result<Selection> SelectPath(const SaSpec& spec, CryptoDirection direction,
                             const PlacementInputs& inputs, PlacementTerms* terms = nullptr);

}  // namespace cygnet
