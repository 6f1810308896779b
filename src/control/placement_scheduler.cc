// The scheduler for scarce slots: busy SAs get them, idle ones give them up. Off by default. It
// never takes a slot from a pinned SA, nor from one that came lately, and asks for a clear
// difference, so that two equal SAs do not take turns.
#include <algorithm>

#include "base/log.h"
#include "control/placement.h"

namespace cygnet {
namespace {

bool IsWaitingReason(ReasonCode code) {
  return code == ReasonCode::kTableFull || code == ReasonCode::kAddressTableFull ||
         code == ReasonCode::kRekeyReserve || code == ReasonCode::kDemoted;
}

}  // namespace

// Would be on the device if that had room.
bool Placement::WaitsFor(const PlacedHalf& half, std::size_t device) const {
  if (half.binding == nullptr || half.binding->device != nullptr) return false;
  const PlacementRequest& request = half.binding->request;
  return request.mode != PlacementMode::kNo && IsWaitingReason(half.binding->reason.code) &&
         (request.ifindex == 0 || request.ifindex == params_.devices[device].ifindex);
}

void Placement::MeasureRates() {
  for (auto& [number, placed] : placed_) {
    const uint64_t packets = placed.sa->lifetime().usage().packets;
    const uint64_t rate = packets > placed.packets ? packets - placed.packets : 0;
    placed.packets = packets;
    placed.outbound.rate = placed.inbound.rate = rate;
  }
}

void Placement::Schedule() {
  if (!params_.scheduler.enabled) return;
  const uint64_t now = Now();
  if (now < next_schedule_) return;
  const bool first = next_schedule_ == 0;
  next_schedule_ = now + params_.scheduler.interval_seconds;
  MeasureRates();
  if (first) return;  // a rate needs two looks
  uint32_t moves = params_.scheduler.max_moves;
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    const OffloadDevice* device = params_.devices[i].offload;
    if (device == nullptr || !device->offload_up() || state_[i].disabled || state_[i].lied)
      continue;
    for (const bool inbound : {false, true}) PromoteAndDemote(i, inbound, &moves);
  }
}

void Placement::PromoteAndDemote(std::size_t device, bool inbound, uint32_t* moves) {
  std::vector<PlacedSa*> waiting, resident;
  const OffloadDevice* nic = params_.devices[device].offload;
  for (auto& [number, placed] : placed_) {
    const PlacedHalf& half = placed.half(inbound);
    if (WaitsFor(half, device) && half.rate > 0) waiting.push_back(&placed);
    if (half.binding != nullptr && half.binding->device == nic) resident.push_back(&placed);
  }
  const auto rate = [inbound](const PlacedSa* p) { return p->half(inbound).rate; };
  std::sort(waiting.begin(), waiting.end(), [&](const PlacedSa* a, const PlacedSa* b) {
    return rate(a) != rate(b) ? rate(a) > rate(b) : a->sa->number < b->sa->number;
  });
  std::sort(resident.begin(), resident.end(), [&](const PlacedSa* a, const PlacedSa* b) {
    return rate(a) != rate(b) ? rate(a) < rate(b) : a->sa->number < b->sa->number;
  });
  const uint64_t settled_before = Now() - params_.scheduler.min_residence_seconds;
  std::size_t next_resident = 0;
  for (PlacedSa* busy : waiting) {
    if (*moves == 0) return;
    // A slot may be free: its tenant has gone, or was demoted an interval ago.
    const OffloadStats stats = nic->offload_stats();
    const uint32_t used = inbound ? stats.inbound_used : stats.outbound_used;
    const bool free = stats.direction_limit == 0 || used < stats.direction_limit;
    if (free && Move(busy, inbound, DeviceInputs(), ReasonCode::kPromoted)) {
      --*moves;
      SetDue(&busy->half(inbound), std::nullopt);
      if (listener_ != nullptr) listener_->OnMoved(busy->sa);
      continue;
    }
    while (next_resident < resident.size()) {
      const SaBinding& binding = *resident[next_resident]->half(inbound).binding;
      // Without a session of the CPU's it is required to be there.
      if (!binding.request.pinned && binding.since <= settled_before &&
          binding.cpu.session != nullptr) {
        break;
      }
      ++next_resident;
    }
    if (next_resident == resident.size()) return;
    PlacedSa* idle = resident[next_resident];
    if (rate(busy) * 100 < rate(idle) * params_.scheduler.hysteresis_percent ||
        rate(busy) <= rate(idle)) {
      return;  // those that follow are no busier, the residents no idler
    }
    ++next_resident;
    Demote(idle, inbound);
    // Takes the slot as soon as the key in it is erased.
    SetDue(&busy->half(inbound), ReasonCode::kPromoted);
    --*moves;
  }
}

// It found the table full, and another has gone since.
bool Placement::WaitsForRoom(const PlacedSa& placed, bool inbound, std::size_t device) const {
  const PlacedHalf& half = placed.half(inbound);
  return placed.sa->state() == SaState::kValid && WaitsFor(half, device) &&
         half.binding->reason.code != ReasonCode::kDemoted;
}

// Slots that came free, as many do after a mass rekey: without a scheduler, which gives them to the
// busy ones, the oldest of those that were too late get them.
void Placement::FillFreeSlots(std::size_t device) {
  constexpr int kMovesAtOnce = 64;    // the next second goes on
  constexpr int kRefusalsAtOnce = 4;  // some may have another cause than the table
  DeviceRow& row = state_[device];
  const OffloadDevice* nic = params_.devices[device].offload;
  if (params_.scheduler.enabled || nic == nullptr || !std::exchange(row.freed, false)) return;
  if (!nic->offload_up() || row.disabled || row.lied || row.denied.has_value()) return;
  std::vector<uint64_t> waiting;
  for (const auto& [number, placed] : placed_) {
    if (WaitsForRoom(placed, false, device) || WaitsForRoom(placed, true, device)) {
      waiting.push_back(number);
    }
  }
  std::sort(waiting.begin(), waiting.end());
  int moves = kMovesAtOnce;
  std::array<int, 2> refusals{kRefusalsAtOnce, kRefusalsAtOnce};
  for (const uint64_t number : waiting) {
    PlacedSa& placed = placed_.at(number);
    for (const bool inbound : {false, true}) {
      int& left = refusals[inbound ? 1 : 0];
      if (moves == 0 || left == 0 || !WaitsForRoom(placed, inbound, device)) continue;
      if (Move(&placed, inbound, DeviceInputs(), ReasonCode::kRequested)) {
        --moves;
        SetDue(&placed.half(inbound), std::nullopt);
        if (listener_ != nullptr) listener_->OnMoved(placed.sa);
      } else {
        --left;
      }
    }
  }
  row.freed = moves == 0;
}

void Placement::Demote(PlacedSa* placed, bool inbound) {
  std::vector<PlacementDevice> devices = DeviceInputs();
  for (PlacementDevice& d : devices) d.away = PlacementReason{ReasonCode::kDemoted, {}};
  if (Move(placed, inbound, devices, ReasonCode::kRequested) && listener_ != nullptr) {
    listener_->OnMoved(placed->sa);
  }
}

}  // namespace cygnet
