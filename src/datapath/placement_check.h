// Whether a device or an engine could take one half of an SA. Pure: hands out no key and changes
// nothing, so that `cygnet offload explain` asks the same as BindHalf.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "crypto/engine_set.h"
#include "datapath/placement_request.h"
#include "device/offload_device.h"
#include "sa/half.h"
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

// Whether a half may use the slots that a device keeps for rekeying.
enum class SlotClaim : uint8_t {
  kNewcomer,
  kRekey,  // of an SA that has a slot, or the half that has it
};

// One requirement of an SA and whether a device meets it.
struct Requirement {
  std::string name;  // "device", "trust", "enabled", "mode", "state", "esn", "slots" …
  std::optional<PlacementReason> failure;  // nullopt: met
};
// In the order in which they are asked; no key is handed over before all are met. With a `device`
// that is nullptr there is one, unmet.
std::vector<Requirement> CheckDevice(const SaSpec& spec, Half half, const PlacementDevice* device,
                                     PlacementMode mode, SlotClaim claim);
// The first that keeps an SA off a device before the device itself is asked. A full table is left
// to the device's AddSa, which has the authoritative count.
std::optional<PlacementReason> FirstObstacle(const std::vector<Requirement>& requirements);

// By the engine's number: why it is given no key. Shorter than the set: the others may be.
using EngineDenials = std::span<const std::optional<PlacementReason>>;

// Number of the first engine of this kind that may be given keys and does the SA's algorithms.
Result<uint32_t> ChooseEngine(EngineKind kind, const SessionParams& params,
                              const EngineSet& engines, EngineDenials denied);

}  // namespace cygnet
