#include "datapath/placement_check.h"

#include <utility>

namespace cygnet {
namespace {

ReasonCode ReasonOf(DeviceState state) {
  switch (state) {
    case DeviceState::kLinkDown:
      return ReasonCode::kLinkDown;
    case DeviceState::kResetting:
      return ReasonCode::kDeviceReset;
    case DeviceState::kRemoved:
      return ReasonCode::kDeviceRemoved;
    case DeviceState::kFailed:
      return ReasonCode::kDeviceFailed;
    default:
      return ReasonCode::kDeviceDown;
  }
}

std::optional<PlacementReason> CheckModes(const PlacementDevice& device, bool packet) {
  if (device.mode == PlacementMode::kNo) return PlacementReason{ReasonCode::kDeviceOff, {}};
  const bool allowed =
      packet ? device.allow_packet : device.allow_crypto && device.mode != PlacementMode::kPacket;
  if (allowed) return std::nullopt;
  return PlacementReason{ReasonCode::kModeNotAllowed, packet ? "packet" : "crypto"};
}

std::optional<PlacementReason> CheckSlots(const PlacementDevice& device, Half half,
                                          SlotClaim claim) {
  const OffloadStats stats = device.device->offload_stats();
  const uint32_t used = IsInbound(half) ? stats.inbound_used : stats.outbound_used;
  const std::string detail = std::to_string(used) + " of " + std::to_string(stats.direction_limit) +
                             (IsInbound(half) ? " inbound" : " outbound") + " SA slots in use";
  if (stats.direction_limit != 0 && used >= stats.direction_limit) {
    return PlacementReason{ReasonCode::kTableFull, detail};
  }
  if (claim == SlotClaim::kNewcomer && device.rekey_reserve != 0 && stats.direction_limit != 0 &&
      used + device.rekey_reserve >= stats.direction_limit) {
    return PlacementReason{ReasonCode::kRekeyReserve, detail};
  }
  return std::nullopt;
}

// The device lacks a capability, or its self-test withdrew one that it claims.
void AddCapabilities(const SaSpec& spec, Half half, const PlacementDevice& device, OffloadMode mode,
                     std::vector<Requirement>* all) {
  const OffloadCaps& claimed = device.device->caps();
  auto claims = CheckCapabilities(claimed, spec, half, mode);
  auto tested =
      CheckCapabilities(device.caps != nullptr ? *device.caps : claimed, spec, half, mode);
  for (std::size_t i = 0; i < claims.size(); ++i) {
    Requirement requirement{.name = std::string(claims[i].name), .failure = std::nullopt};
    if (claims[i].missing.has_value()) {
      requirement.failure =
          PlacementReason{ReasonCode::kNoCapability, *std::move(claims[i].missing)};
    } else if (tested[i].missing.has_value()) {
      requirement.failure = PlacementReason{ReasonCode::kWithdrawn, *std::move(tested[i].missing)};
    }
    all->push_back(std::move(requirement));
  }
}

}  // namespace

std::vector<Requirement> CheckDevice(const SaSpec& spec, Half half, const PlacementDevice* device,
                                     PlacementMode mode, SlotClaim claim) {
  std::vector<Requirement> all;
  const auto add = [&all](std::string_view name, std::optional<PlacementReason> failure) {
    all.push_back({std::string(name), std::move(failure)});
  };
  if (device == nullptr) {
    add("device", PlacementReason{ReasonCode::kDeviceUnknown, {}});
    return all;
  }
  const bool packet = mode == PlacementMode::kPacket;
  add("device", std::nullopt);
  if (device->device == nullptr) {  // its driver does not offload
    const char* name = packet ? "packet-offload" : "crypto-offload";
    add(name, PlacementReason{ReasonCode::kNoCapability, name});
    return all;
  }
  add("trust", device->denied);
  add("enabled", device->away);
  add("mode", CheckModes(*device, packet));
  if (packet && spec.rare->group != 0) {
    add("numbers", PlacementReason{ReasonCode::kSharedNumbers, {}});
  }
  const DeviceState state = device->device->state();
  add("state", state == DeviceState::kUp ? std::nullopt
                                         : std::optional<PlacementReason>({ReasonOf(state), {}}));
  // A device's policies know neither if_id nor mark.
  if (packet && (spec.if_id | spec.mark_mask) != 0) {
    add("tunnel", PlacementReason{ReasonCode::kNoCapability, "tunnel"});
  }
  AddCapabilities(spec, half, *device, packet ? OffloadMode::kPacket : OffloadMode::kCrypto, &all);
  add("slots", CheckSlots(*device, half, claim));
  return all;
}

std::optional<PlacementReason> FirstObstacle(const std::vector<Requirement>& requirements) {
  for (const Requirement& r : requirements) {
    if (r.failure.has_value() && r.failure->code != ReasonCode::kTableFull) return r.failure;
  }
  return std::nullopt;
}

Result<uint32_t> ChooseEngine(EngineKind kind, const SessionParams& params,
                              const EngineSet& engines, EngineDenials denied) {
  std::string why;
  for (uint32_t i = 0; i < engines.size(); ++i) {
    if (engines[i].info->kind != kind || !engines.engine(i)->Supports(*params.cipher, params.auth))
      continue;
    if (i >= denied.size() || !denied[i].has_value()) return i;
    why = denied[i]->FullText();
  }
  if (!why.empty()) return MakeError(Errc::kNotSupported, why);
  return MakeError(Errc::kNotImplemented,
                   "no crypto engine supports " + std::string(params.cipher->name) +
                       (params.auth != nullptr ? " with " + std::string(params.auth->name) : ""));
}

}  // namespace cygnet
