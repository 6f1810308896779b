// Many halves at once: devices that come and go, the operator's commands, changes of trust.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "control/placement.h"

namespace cygnet {
namespace {

// What ends when its device is there again.
bool IsAwayReason(ReasonCode code) {
  switch (code) {
    case ReasonCode::kDeviceDown:
    case ReasonCode::kLinkDown:
    case ReasonCode::kDeviceReset:
    case ReasonCode::kDeviceRemoved:
    case ReasonCode::kDeviceFailed:
    case ReasonCode::kOperatorDisabled:
      return true;
    default:
      return false;
  }
}

}  // namespace

// It asks for a device and is not on one, for a cause that ends.
bool Placement::WaitsForReturn(const PlacedHalf& half) {
  return half.binding->device == nullptr && half.binding->request.mode != PlacementMode::kNo &&
         (IsAwayReason(half.binding->reason.code) || EffectiveName(*half.binding) == "blocked");
}

void Placement::SetDue(PlacedHalf* half, std::optional<ReasonCode> due) {
  due_ += (due.has_value() ? 1u : 0u) - (half->due.has_value() ? 1u : 0u);
  half->due = due;
}

// True: it runs elsewhere now.
bool Placement::MoveOne(PlacedSa* placed, bool inbound, std::span<const PlacementDevice> devices,
                        ReasonCode success, MoveReport* report) {
  PlacedHalf& half = placed->half(inbound);
  const bool was_on_device = half.binding->device != nullptr;
  const bool moved = Move(placed, inbound, devices, half.due.value_or(success));
  if (half.binding->device != nullptr || half.binding->request.mode == PlacementMode::kNo) {
    SetDue(&half, std::nullopt);
  } else if (was_on_device) {
    SetDue(&half, ReasonCode::kReturned);
  } else if (!half.due.has_value() && WaitsForReturn(half)) {
    SetDue(&half, ReasonCode::kRequested);
  }
  ++(moved ? report->moved : report->stayed);
  if (EffectiveName(*half.binding) == "blocked") ++report->blocked;
  return moved;
}

// In the order in which the SAs came, so that of two that want one slot the older gets it.
MoveReport Placement::MoveAll(const Filter& which, ReasonCode success) {
  MoveReport report;
  const uint64_t begin = params_.clock->MonotonicNs();
  const std::vector<PlacementDevice> devices = DeviceInputs();
  std::vector<uint64_t> numbers;
  for (const auto& [number, placed] : placed_) {
    const bool any = (placed.outbound.binding != nullptr && which(placed, placed.outbound)) ||
                     (placed.inbound.binding != nullptr && which(placed, placed.inbound));
    if (any) numbers.push_back(number);
  }
  std::sort(numbers.begin(), numbers.end());
  for (const uint64_t number : numbers) {
    PlacedSa& placed = placed_.at(number);
    bool moved = false;
    for (const bool inbound : {false, true}) {
      const PlacedHalf& half = placed.half(inbound);
      if (half.binding == nullptr || !which(placed, half)) continue;
      moved = MoveOne(&placed, inbound, devices, success, &report) || moved;
    }
    if (moved && listener_ != nullptr) listener_->OnMoved(placed.sa);
  }
  report.took_us = (params_.clock->MonotonicNs() - begin) / 1000;
  return report;
}

void Placement::CheckDevices() {
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    const OffloadDevice* device = params_.devices[i].offload;
    LookAtGuard(i);
    if (device == nullptr) continue;
    TakeErased(i);
    if (device->state() != state_[i].seen || device->resets() != state_[i].seen_resets) {
      OnDeviceChanged(i);
    }
  }
}

// A device that sends what it had said was sealed lies, or is broken; either way it is left.
void Placement::LookAtGuard(std::size_t i) {
  if (i >= path_.interfaces.size() || path_.interfaces[i].guard == nullptr) return;
  const EgressGuardStats now = path_.interfaces[i].guard->stats();
  const EgressGuardStats before = std::exchange(state_[i].seen_guard, now);
  const std::string& name = params_.devices[i].name;
  const auto tell = [&](DropReason reason, uint64_t count) {
    if (count > 0 && listener_ != nullptr) {
      listener_->OnGuardHit(name, std::string(cygnet::Describe(reason).name), count);
    }
  };
  tell(DropReason::kOutGuard, now.clear_stopped - before.clear_stopped);
  tell(DropReason::kOutNotSealed, now.unsealed_stopped + now.engine_unsealed -
                                      before.unsealed_stopped - before.engine_unsealed);
  if (now.unsealed_stopped > before.unsealed_stopped && params_.devices[i].offload != nullptr) {
    OnDeviceLied(i);
  }
}

void Placement::TakeErased(std::size_t i) {
  OffloadDevice* device = params_.devices[i].offload;
  const std::vector<OffloadHandle> erased = device->TakeErased();
  for (const OffloadHandle handle : erased) keys_->ErasedByDevice(*device, handle);
  if (erased.empty()) return;
  state_[i].freed = true;
  BringBack(i);
}

void Placement::OnDeviceChanged(std::size_t i) {
  const ControlDevice& d = params_.devices[i];
  DeviceRow& row = state_[i];
  const DeviceState state = d.offload->state();
  const uint32_t resets = d.offload->resets();
  Log(state == DeviceState::kUp ? LogLevel::kInfo : LogLevel::kWarning,
      "device " + d.name + ": " + std::string(Name(state)) +
          (resets != row.seen_resets ? ", it lost its tables" : ""));
  if (listener_ != nullptr) {
    listener_->OnDeviceState(d.name, std::string(Name(state)),
                             resets != row.seen_resets ? "it lost its tables" : "");
  }
  row.seen = state;
  row.seen_resets = resets;
  const bool gone = state == DeviceState::kLinkDown || state == DeviceState::kRemoved;
  if (gone && d.loss == DeviceLoss::kKernel) {
    LoseAll(i);
    return;
  }
  // Those that are on it, or believe so: off, or onto its new tables.
  const OffloadDevice* device = d.offload;
  const MoveReport report = MoveAll(
      [device](const PlacedSa&, const PlacedHalf& h) { return h.binding->device == device; },
      ReasonCode::kReturned);
  if (report.moved > 0) {
    Log(LogLevel::kInfo, "device " + d.name + ": moved " + std::to_string(report.moved) +
                             " halves of SAs in " + std::to_string(report.took_us) + " us");
  }
  if (state == DeviceState::kUp) BringBack(i);
}

// As a Linux kernel does at NETDEV_DOWN and NETDEV_UNREGISTER.
void Placement::LoseAll(std::size_t i) {
  const OffloadDevice* device = params_.devices[i].offload;
  std::vector<std::shared_ptr<Sa>> lost;
  for (const auto& [number, placed] : placed_) {
    for (const bool inbound : {false, true}) {
      const PlacedHalf& half = placed.half(inbound);
      if (half.binding == nullptr || half.binding->device != device) continue;
      lost.push_back(placed.sa);
      break;
    }
  }
  if (lost.empty() || listener_ == nullptr) return;
  Log(LogLevel::kWarning, "device " + params_.devices[i].name + ": deleted " +
                              std::to_string(lost.size()) + " SAs with it (loss = kernel)");
  for (const auto& sa : lost) listener_->OnLost(sa);
}

// Halves that wait for a device, once there may be room again.
void Placement::BringBack(std::size_t i) {
  const DeviceRow& row = state_[i];
  const bool usable = params_.devices[i].offload->offload_up() && !row.disabled && !row.lied &&
                      !row.denied.has_value();
  if (due_ == 0 || !usable) return;
  const int32_t ifindex = params_.devices[i].ifindex;
  (void)MoveAll(
      [ifindex](const PlacedSa&, const PlacedHalf& h) {
        const int32_t wants = h.binding->request.ifindex;
        return h.due.has_value() && (wants == 0 || wants == ifindex);
      },
      ReasonCode::kRequested);
}

MoveReport Placement::Reevaluate() {
  (void)RefreshGate();
  return MoveAll([](const PlacedSa&, const PlacedHalf&) { return true; }, ReasonCode::kRequested);
}

void Placement::OnDeviceLied(std::size_t i) {
  if (std::exchange(state_[i].lied, true)) return;
  const OffloadDevice* device = params_.devices[i].offload;
  if (listener_ != nullptr) {
    listener_->OnDeviceState(params_.devices[i].name, "failed", "it sent unsealed packets");
  }
  Log(LogLevel::kError, "device " + params_.devices[i].name +
                            ": sent packets that it had not sealed; the wire guard stopped them, "
                            "and no SA stays on it until it is enabled again");
  (void)MoveAll(
      [device](const PlacedSa&, const PlacedHalf& h) { return h.binding->device == device; },
      ReasonCode::kReturned);
}

// --- Commands ---

Result<MoveReport> Placement::SetEnabled(const std::string& name, bool enabled) {
  const auto i = DeviceNamed(name);
  if (!i.has_value()) return SetEngineEnabled(name, enabled);
  OffloadDevice* device = params_.devices[*i].offload;
  if (device == nullptr) {
    return MakeError(Errc::kNotSupported, "device " + name + " has no offload to switch");
  }
  DeviceRow& row = state_[*i];
  row.disabled = !enabled;
  if (enabled) row.lied = false;
  Log(LogLevel::kInfo,
      "device " + name + ": offload " + (enabled ? "enabled" : "disabled") + " by the operator");
  // Those that were on it come before those that have waited for it.
  const int32_t ifindex = params_.devices[*i].ifindex;
  const auto concerns = [&](const PlacedHalf& h) {
    const PlacementRequest& request = h.binding->request;
    return h.binding->device == device ||
           (h.binding->device == nullptr && request.mode != PlacementMode::kNo &&
            (request.ifindex == ifindex || request.ifindex == 0));
  };
  MoveReport report =
      MoveAll([&](const PlacedSa&,
                  const PlacedHalf& h) { return concerns(h) && (!enabled || h.due.has_value()); },
              ReasonCode::kRequested);
  if (!enabled) return report;
  const MoveReport others = MoveAll(
      [&](const PlacedSa&, const PlacedHalf& h) {
        return concerns(h) && IsAwayReason(h.binding->reason.code) && !h.due.has_value();
      },
      ReasonCode::kRequested);
  report.moved += others.moved;
  report.stayed += others.stayed;
  report.blocked += others.blocked;
  report.took_us += others.took_us;
  return report;
}

// An engine that is disabled is given no keys, and gives up those it has. One of the CPU's has to
// stay.
Result<MoveReport> Placement::SetEngineEnabled(const std::string& name, bool enabled) {
  const EngineSet& engines = *params_.engines;
  std::optional<uint32_t> number;
  bool other_cpu = false;
  for (uint32_t e = 0; e < engines.size(); ++e) {
    if (engines[e].info->name == name) {
      number = e;
    } else {
      other_cpu = other_cpu || (engines[e].info->kind == EngineKind::kCpu && !engine_denied_[e]);
    }
  }
  if (!number.has_value()) return MakeError(Errc::kNoDevice, "no device or engine '" + name + "'");
  if (!enabled && !other_cpu) {
    return MakeError(Errc::kBusy, name + " is the last engine of the CPU: nothing would be left");
  }
  engine_disabled_[*number] = !enabled;
  Log(LogLevel::kInfo,
      "engine " + name + ": " + (enabled ? "enabled" : "disabled") + " by the operator");
  return Reevaluate();
}

Result<MoveReport> Placement::SetOverride(const PlacementCommand& command) {
  if (!command.spi && !command.daddr && !command.reqid) {
    return MakeError(Errc::kInvalid, "name the SAs: by spi, dst or reqid");
  }
  if (command.device.has_value()) {
    const auto i = DeviceNamed(*command.device);
    if (!i.has_value()) return MakeError(Errc::kNoDevice, "no device '" + *command.device + "'");
  }
  if (!command.clear && !ParsePlacementMode(command.mode).has_value()) {
    return MakeError(Errc::kInvalid, "no offload mode '" + command.mode + "'");
  }
  if (!command.clear) CYGNET_RETURN_IF_ERROR(CheckOverride(command));
  std::erase_if(overrides_, [&](const PlacementCommand& old) {
    return old.spi == command.spi && old.daddr == command.daddr && old.reqid == command.reqid;
  });
  if (!command.clear) overrides_.insert(overrides_.begin(), command);
  return MoveAll(
      [&command](const PlacedSa& placed, const PlacedHalf&) {
        const SaSpec& spec = placed.sa->spec();
        return (!command.spi || *command.spi == spec.spi) &&
               (!command.daddr || *command.daddr == spec.daddr) &&
               (!command.reqid || *command.reqid == spec.reqid);
      },
      ReasonCode::kRequested);
}

// Packet offload is refused with its reason until a device offers it.
Status Placement::CheckOverride(const PlacementCommand& command) const {
  constexpr std::size_t kMaxOverrides = 10'000;  // each is looked at for every SA
  if (overrides_.size() >= kMaxOverrides) {
    return MakeError(Errc::kNoSpace, "too many placements were set: unset some, or make rules");
  }
  if (command.mode != "packet") return {};
  const bool any = std::any_of(
      params_.devices.begin(), params_.devices.end(), [&command](const ControlDevice& d) {
        return d.offload != nullptr && (!command.device || *command.device == d.name) &&
               d.offload->caps().packet_offload;
      });
  if (any) return {};
  return MakeError(Errc::kNotSupported,
                   "no device offers packet offload (no-capability:"
                   "packet-offload)");
}

void Placement::Tick() {
  CheckDevices();
  if (RefreshGate()) {
    const MoveReport report = Reevaluate();
    Log(LogLevel::kInfo, "trust has changed: moved " + std::to_string(report.moved) +
                             " halves of SAs, " + std::to_string(report.blocked) + " blocked");
  }
  Schedule();
  for (std::size_t i = 0; i < params_.devices.size(); ++i) FillFreeSlots(i);
}

}  // namespace cygnet
