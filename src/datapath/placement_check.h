// Checks whether a device or an engine could take one half of an SA. Pure: hands out no key and
// changes nothing, so `cygnet offload explain` and BindHalf use the same checks.
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
  std::optional<PlacementReason> denied = {};  // trust and FIPS: it gets no keys
  std::optional<PlacementReason> away = {};    // disabled, caught by the seal guard, not tested
  bool allow_crypto = true;                    // modes that its configuration allows
  bool allow_packet = true;
  // What it claims less what its self-test withdrew; nullptr: what it claims.
  const OffloadCaps* caps = nullptr;
  uint32_t rekey_reserve = 0;  // slots of each direction that only a rekey may take
  uint32_t verify_one_of = 0;  // one of so many packets is computed again by the CPU; 0: none
};

// Whether a half may use the slots reserved for rekeying.
enum class SlotClaim : uint8_t {
  kNewcomer,
  kRekey,  // its SA has a slot already, or succeeds one that has
};

// One requirement of an SA and whether a device meets it.
struct Requirement {
  std::string name;  // "device", "trust", "enabled", "mode", "state", "esn", "slots" …
  std::optional<PlacementReason> failure;  // nullopt: met
};
// In the order of the checks; no key is handed over before all are met. `device` nullptr: one unmet
// requirement.
std::vector<Requirement> CheckDevice(const SaSpec& spec, Half half, const PlacementDevice* device,
                                     PlacementMode mode, SlotClaim claim);
// The first obstacle that is known without asking the device. A full table is left to the device's
// InstallSa, which has the authoritative count.
std::optional<PlacementReason> FirstObstacle(const std::vector<Requirement>& requirements);

// By engine number: why it gets no key. May be shorter than the set: the remaining engines may get
// keys.
using EngineDenials = std::span<const std::optional<PlacementReason>>;

// Number of the first engine of this kind that may get keys and supports the SA's algorithms.
Result<uint32_t> ChooseEngine(EngineKind kind, const SessionParams& params,
                              const EngineSet& engines, EngineDenials denied);

}  // namespace cygnet
