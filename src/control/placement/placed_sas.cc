#include "control/placement/placed_sas.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace cygnet {
namespace {

std::atomic<const SaBinding*>& SlotOf(const Sa& sa, Half half) {
  return IsInbound(half) ? sa.inbound()->binding : sa.outbound()->binding;
}

// True if it requests a device, is not on one, and the cause is temporary.
bool WaitsForReturn(const PlacedHalf& half) {
  return half.IsAway() && (IsAwayReason(half.reason_code) || half.binding->blocked());
}

}  // namespace

bool IsAwayReason(ReasonCode code) {
  switch (code) {
    case ReasonCode::kDeviceDown:
    case ReasonCode::kLinkDown:
    case ReasonCode::kDeviceReset:
    case ReasonCode::kDeviceRemoved:
    case ReasonCode::kDeviceFailed:
    case ReasonCode::kOperatorDisabled:
    case ReasonCode::kWithdrawn:  // a later self-test may pass
    case ReasonCode::kUntested:
      return true;
    default:
      return false;
  }
}

std::string WhereOf(const SaBinding& binding, const EngineSet& engines) {
  if (binding.on_device()) return std::string(binding.device()->device_name());
  if (binding.blocked()) return {};
  return std::string(engines.engine(binding.engine().engine)->name());
}

const PlacedSa* PlacedSas::Find(uint64_t sa_number) const {
  const auto it = placed_.find(sa_number);
  return it == placed_.end() ? nullptr : &it->second;
}

// --- Adding and removing SAs ---

Status PlacedSas::Place(const SaPtr& sa) {
  CYGNET_CHECK(sa->number != 0 && !placed_.contains(sa->number));
  PlacedSa placed(sa);
  const std::vector<PlacementDevice> devices = p_.devices->Inputs();
  const SaSpec& spec = sa->spec();
  for (const Half half : kHalves) {
    if (!HasHalf(*sa, half)) continue;
    BindInputs inputs = InputsFor(spec, half, devices);
    AddPacketInputs(sa, half, nullptr, &inputs);
    auto bound = BindHalf(spec, half, inputs);
    if (!bound) {
      packets_->Cancel(*sa, half);
      for (const Half other : kHalves) Unplace(&placed, other);
      return bound.error();
    }
    PlacedHalf& row = placed.Make(half);
    row.request = inputs.request;
    row.SetReason(std::move(bound->reason));
    row.SetNotVerified(std::move(bound->not_verified));
    if (!bound->next().device_numbers()) packets_->Cancel(*sa, half);
    (void)Publish(&placed, half, bound->ReleaseNext());  // nothing was lost: it was nowhere
  }
  for (const Half half : kHalves) {
    if (!HasHalf(*sa, half)) continue;
    Record(placed, half);
    if (WaitsForReturn(placed.half(half))) SetDue(&placed.made(half), ReasonCode::kRequested);
  }
  placed_.insert_or_assign(sa->number, std::move(placed));
  return {};
}

void PlacedSas::Remove(uint64_t sa_number) {
  const auto it = placed_.find(sa_number);
  if (it == placed_.end()) return;
  for (const Half half : kHalves) {
    if (!it->second.has(half)) continue;
    RecordRemoval(it->second, half);
    SetDue(&it->second.made(half), std::nullopt);
    Unplace(&it->second, half);
  }
  placed_.erase(it);
}

void PlacedSas::Unplace(PlacedSa* placed, Half half) {
  if (!placed->has(half)) return;
  std::unique_ptr<const SaBinding> binding = std::move(placed->made(half).binding);
  packets_->Forget(*placed->sa, half);
  if (IsInbound(half)) path_.sad.ForgetNumber(placed->sa);
  CountSlot(*placed, half, *binding, -1);
  RetireBinding(std::move(binding), nullptr);
}

// --- Moves ---

bool PlacedSas::Move(PlacedSa* placed, Half half, std::span<const PlacementDevice> devices,
                     ReasonCode success, PlacementCause cause) {
  PlacedHalf& row = placed->made(half);
  const SaSpec& spec = placed->sa->spec();
  BindInputs inputs = InputsFor(spec, half, devices);
  inputs.cause = cause;
  inputs.current = row.binding.get();
  inputs.success = success;
  inputs.lost_by = row.rare().lost_by;
  inputs.lost_why = row.rare().lost_why;
  if (IsInbound(half)) inputs.highest = packets_->Highest(*placed->sa);
  AddPacketInputs(placed->sa, half, row.binding.get(), &inputs);
  auto bound = BindHalf(spec, half, inputs);
  CYGNET_CHECK(bound.has_value());  // a move never fails
  row.SetNotVerified(std::move(bound->not_verified));
  if (bound->stays() || !bound->next().device_numbers()) packets_->Cancel(*placed->sa, half);
  if (bound->stays()) {
    row.request = inputs.request;
    // A half on its device keeps the reason why it came there.
    if (row.binding->on_device()) return false;
    const std::string before = row.reason().Text();
    row.SetReason(std::move(bound->reason));
    // The fill level of a table changes all the time and needs no entry.
    if (before != row.reason().Text()) Record(*placed, half);
    return false;
  }
  std::vector<PlacementEntry>& history = row.MakeRare()->history;
  if (history.size() == PlacedHalf::kMaxHistory) history.erase(history.begin());
  history.push_back(EntryOf(*placed, half));
  row.request = inputs.request;
  row.SetReason(std::move(bound->reason));
  const PacketHalves::Outcome outcome = Publish(placed, half, bound->ReleaseNext());
  NoteNumbers(*placed, half, outcome, &row);
  Record(*placed, half);
  return true;
}

// With crypto offload the stack builds outbound packets, so only the inbound half is renewed.
void PlacedSas::Renew(uint64_t sa_number) {
  const auto it = placed_.find(sa_number);
  if (it == placed_.end()) return;
  PlacedSa& placed = it->second;
  const std::vector<PlacementDevice> devices = p_.devices->Inputs();
  for (const Half half : kHalves) {
    if (!placed.has(half) || !placed.half(half).binding->on_device()) continue;
    PlacedHalf& row = placed.made(half);
    if (!IsInbound(half) && !row.binding->device_numbers()) continue;
    (void)Move(&placed, half, devices, row.reason_code, PlacementCause::kRenew);
    if (WaitsForReturn(row)) SetDue(&row, ReasonCode::kReturned);
  }
}

// True: it now runs elsewhere.
bool PlacedSas::MoveAndSetDue(PlacedSa* placed, Half half, std::span<const PlacementDevice> devices,
                              ReasonCode success, MoveReport* report) {
  PlacedHalf& row = placed->made(half);
  const bool was_on_device = row.binding->on_device();
  const bool moved = Move(placed, half, devices, row.due.value_or(success));
  if (!row.IsAway()) {
    SetDue(&row, std::nullopt);
  } else if (was_on_device && row.rare().lost_by == nullptr) {
    SetDue(&row, ReasonCode::kReturned);
  } else if (!row.due.has_value() && WaitsForReturn(row)) {
    SetDue(&row, ReasonCode::kRequested);
  }
  ++(moved ? report->moved : report->stayed);
  if (row.binding->blocked()) ++report->blocked;
  return moved;
}

MoveReport PlacedSas::MoveEach(const Filter& which, ReasonCode success) {
  MoveReport report;
  const uint64_t begin = p_.clock->MonotonicNs();
  const std::vector<PlacementDevice> devices = p_.devices->Inputs();
  const auto concerns = [&which](const PlacedSa& placed, Half half) {
    return placed.half(half).binding != nullptr && which(placed, placed.half(half));
  };
  std::vector<uint64_t> numbers;
  for (const auto& [number, placed] : placed_) {
    if (concerns(placed, Half::kOutbound) || concerns(placed, Half::kInbound)) {
      numbers.push_back(number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  for (const uint64_t number : numbers) {
    PlacedSa& placed = placed_.at(number);
    bool moved = false;
    for (const Half half : kHalves) {
      if (!concerns(placed, half)) continue;
      moved = MoveAndSetDue(&placed, half, devices, success, &report) || moved;
    }
    if (moved) NotifyMoved(placed.sa);
  }
  report.took_us = (p_.clock->MonotonicNs() - begin) / 1000;
  return report;
}

void PlacedSas::SetDue(PlacedHalf* half, std::optional<ReasonCode> due) {
  if (due.has_value()) ++due_;
  if (half->due.has_value()) --due_;
  half->due = due;
}

// --- Publication ---

// Workers know the handle before the device matches packets by it. Packets opened under the old
// handle are still accepted, because it is the same SA.
//
// Packet offload: the old device stops before workers see the new binding, so that what comes back
// from it begins anew there. The stack has its numbers again after they do, because until then no
// CPU may open them.
PacketHalves::Outcome PlacedSas::Publish(PlacedSa* placed, Half half,
                                         std::unique_ptr<SaBinding> next) {
  PlacedHalf& row = placed->made(half);
  std::unique_ptr<const SaBinding> old = std::move(row.binding);
  if (old != nullptr && IsInbound(half)) {
    const bool same_handle = next->device() == old->device() && next->handle == old->handle;
    if (old->on_device() && !same_handle &&
        !p_.devices->lied(p_.devices->NumberOf(old->device()))) {
      next->MakeRare()->earlier.push_back({old->device(), old->handle});
    }
    for (const OpenedBy& e : old->rare().earlier) {
      std::vector<OpenedBy>& earlier = next->MakeRare()->earlier;
      if (earlier.size() < SaBinding::kMaxEarlier) earlier.push_back(e);
    }
  }
  row.binding = std::move(next);
  row.since = static_cast<uint32_t>(Now());
  const SaBinding& now = *row.binding;
  const bool same_slot = old != nullptr && now.SharesSlotWith(*old);
  const bool leaves = old != nullptr && old->device_numbers() && !same_slot;
  const bool enters = now.device_numbers() && !same_slot;
  if (leaves) packets_->Stop(*placed->sa, half);
  if (enters) packets_->Adopt(placed->sa, half, now);
  // The device needs the policies before the first packet.
  if (enters && !IsInbound(half) && old != nullptr && p_.on_entering) {
    p_.on_entering(placed->sa, p_.devices->NumberOf(now.device()));
  }
  if (old != nullptr) CountSlot(*placed, half, *old, -1);
  SlotOf(*placed->sa, half).store(&now, std::memory_order_release);
  if (!same_slot && !row.rare().really.empty()) row.MakeRare()->really = {};
  if (now.on_device() && !same_slot) now.device()->StartSa(now.handle);
  if (enters) packets_->Begin(*placed->sa, half);
  PacketHalves::Outcome outcome;
  if (leaves) outcome = packets_->Finish(*placed->sa, half);
  CountSlot(*placed, half, now, 1);
  if (old != nullptr) RetireBinding(std::move(old), &now);
  return outcome;
}

// An operator sees who opens which numbers, and what a lost device costs.
void PlacedSas::NoteNumbers(const PlacedSa& placed, Half half, const PacketHalves::Outcome& outcome,
                            PlacedHalf* row) const {
  if (!row->rare().detail.empty()) return;
  if (outcome.refused_to.has_value()) {
    row->MakeRare()->detail = "packets numbered up to " + std::to_string(*outcome.refused_to) +
                              " are refused, because the lost device may have accepted them";
    return;
  }
  const auto edge = packets_->EdgeOf(*placed.sa, half);
  if (edge.has_value() && row->binding->cpu.session != nullptr) {
    row->MakeRare()->detail = "the CPU opens packets numbered up to " + std::to_string(*edge);
  }
}

// The device stops at once. Its slot and key are released when no worker can hold a packet for it.
// A handle that the next binding still uses stays.
void PlacedSas::RetireBinding(std::unique_ptr<const SaBinding> old, const SaBinding* next) {
  const std::shared_ptr<const SaBinding> last(std::move(old));
  if (!last->on_device() || (next != nullptr && next->SharesSlotWith(*last))) {
    path_.quiescence.Retire([last] {});
    return;
  }
  if (!last->device_numbers()) last->device()->StopSa(last->handle);  // PacketHalves has stopped it
  path_.quiescence.Retire([last] { last->device()->ReleaseSa(last->handle); });
}

void PlacedSas::CountSlot(const PlacedSa& placed, Half half, const SaBinding& binding, int delta) {
  if (!binding.on_device()) return;
  const std::size_t device = p_.devices->NumberOf(binding.device());
  if (delta > 0) {
    slots_.Add(device, half, placed.sa->spec());
  } else {
    slots_.Remove(device, half, placed.sa->spec());
  }
}

// --- Inputs of a decision ---

BindInputs PlacedSas::InputsFor(const SaSpec& spec, Half half,
                                std::span<const PlacementDevice> devices) const {
  BindInputs inputs{
      .request = RequestFor(spec, half),
      .devices = devices,
      .engines = &p_.devices->engines(),
      .engine_denied = p_.devices->engine_denied(),
      .algorithm_denied = {},
      .look_aside = p_.look_aside,
      .queues = path_.workers(),
      .wires = std::min(static_cast<uint32_t>(path_.interfaces.size()), kMaxCryptoQueues),
      .claim = IsRekey(spec, half) ? SlotClaim::kRekey : SlotClaim::kNewcomer};
  if (p_.gate != nullptr) inputs.algorithm_denied = p_.gate->DenyAlgorithm(spec);
  inputs.keys = p_.keys;
  return inputs;
}

void PlacedSas::AddPacketInputs(const SaPtr& sa, Half half, const SaBinding* current,
                                BindInputs* inputs) const {
  inputs->number = static_cast<uint32_t>(sa->number);
  if (!IsInbound(half)) inputs->iv_mask = sa->outbound()->iv_mask;
  if (inputs->request.mode != PlacementMode::kPacket) return;
  const bool cpu = current != nullptr && current->cpu.session != nullptr;
  inputs->numbers = [this, sa, half, cpu](const OffloadDevice&) {
    packets_->Stop(*sa, half);  // it may be in packet offload already, elsewhere
    return packets_->Prepare(sa, half,
                             cpu ? PacketHalves::Standby::kCpu : PacketHalves::Standby::kNone);
  };
}

PlacementRequest PlacedSas::RequestFor(const SaSpec& spec, Half half) const {
  RequestFacts facts{.direction_is_known = DirectionIsKnown(spec, half, path_.host_addresses()),
                     .any_device_is_auto = p_.devices->AnyIsAuto()};
  if (spec.offload.has_value()) {
    facts.client_device = DeviceOfClient(spec, p_.devices->all(), p_.host);
  }
  return p_.rules->RequestFor(spec, half, facts);
}

// True if an SA with the same ends and reqid has a slot of a device that keeps a reserve.
bool PlacedSas::IsRekey(const SaSpec& spec, Half half) const {
  for (std::size_t i = 0; i < p_.devices->size(); ++i) {
    if ((*p_.devices)[i].terms.rekey_reserve != 0 && slots_.Has(i, half, spec)) return true;
  }
  return false;
}

}  // namespace cygnet
