#include "control/placement/scheduler.h"

#include <algorithm>
#include <utility>

namespace cygnet {
namespace {

bool IsWaitingReason(ReasonCode code) {
  return code == ReasonCode::kTableFull || code == ReasonCode::kAddressTableFull ||
         code == ReasonCode::kRekeyReserve || code == ReasonCode::kDemoted;
}

// True if a slot may be free: its SA was removed, or was demoted an interval ago.
bool HasFreeSlot(const OffloadDevice& device, Half half) {
  const OffloadStats stats = device.offload_stats();
  const uint32_t used = IsInbound(half) ? stats.inbound_used : stats.outbound_used;
  return stats.direction_limit == 0 || used < stats.direction_limit;
}

}  // namespace

void SlotScheduler::Tick() {
  Schedule();
  for (std::size_t i = 0; i < devices_.size(); ++i) FillFreeSlots(i);
}

// True if it would be on the device if that had room.
bool SlotScheduler::WaitsFor(const PlacedHalf& half, std::size_t device) const {
  return half.IsAway() && IsWaitingReason(half.reason_code) && half.Wants(devices_[device].ifindex);
}

// --- Replacing idle SAs by busy ones ---

void SlotScheduler::MeasureRates() {
  NumberedMap<Traffic> now;
  for (const auto& [number, placed] : placed_.all()) {
    const uint64_t packets = placed.sa->lifetime().usage().packets;
    const auto last = traffic_.find(number);
    const uint64_t before = last == traffic_.end() ? 0 : last->second.packets;
    now.insert_or_assign(number,
                         {.packets = packets, .rate = packets > before ? packets - before : 0});
  }
  traffic_ = std::move(now);
}

uint64_t SlotScheduler::RateOf(const PlacedSa& placed) const {
  const auto it = traffic_.find(placed.sa->number);
  return it == traffic_.end() ? 0 : it->second.rate;
}

void SlotScheduler::Schedule() {
  if (!params_.enabled) {
    traffic_ = {};
    next_schedule_ = 0;
    return;
  }
  const uint64_t now = clock_.WallSeconds();
  if (now < next_schedule_) return;
  const bool first = next_schedule_ == 0;
  next_schedule_ = now + params_.interval_seconds;
  MeasureRates();
  if (first) return;  // a rate needs two samples
  uint32_t moves = params_.max_moves;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if (!devices_.Usable(i)) continue;
    for (const Half half : kHalves) PromoteAndDemote(i, half, &moves);
  }
}

void SlotScheduler::PromoteAndDemote(std::size_t device, Half half, uint32_t* moves) {
  std::vector<Candidate> waiting, resident;
  for (auto& [number, placed] : placed_.all()) {
    const PlacedHalf& row = placed.half(half);
    const bool waits = WaitsFor(row, device);
    const bool resides = row.IsOn(devices_[device].offload);
    if (!waits && !resides) continue;
    const Candidate candidate{&placed, RateOf(placed)};
    if (waits && candidate.rate > 0) waiting.push_back(candidate);
    if (resides) resident.push_back(candidate);
  }
  // Of equal rates the older SA comes first: they are in this order already.
  std::stable_sort(waiting.begin(), waiting.end(),
                   [](const Candidate& a, const Candidate& b) { return a.rate > b.rate; });
  std::stable_sort(resident.begin(), resident.end(),
                   [](const Candidate& a, const Candidate& b) { return a.rate < b.rate; });
  std::size_t next = 0;
  for (const Candidate& busy : waiting) {
    if (*moves == 0) return;
    if (Promote(busy.placed, half, device)) {
      --*moves;
      continue;
    }
    const Candidate* idle = NextIdle(resident, half, &next);
    // All later candidates are less busy, and all later residents less idle.
    if (idle == nullptr || !IsClearlyBusier(busy.rate, idle->rate)) return;
    ++next;
    Demote(idle->placed, half);
    // Gets the slot as soon as the key in it is erased.
    placed_.SetDue(&busy.placed->made(half), ReasonCode::kPromoted);
    --*moves;
  }
}

bool SlotScheduler::IsClearlyBusier(uint64_t rate, uint64_t than) const {
  return rate * 100 >= than * params_.hysteresis_percent && rate > than;
}

bool SlotScheduler::Promote(PlacedSa* busy, Half half, std::size_t device) {
  if (!HasFreeSlot(*devices_[device].offload, half) ||
      !placed_.Move(busy, half, devices_.Inputs(), ReasonCode::kPromoted)) {
    return false;
  }
  placed_.SetDue(&busy->made(half), std::nullopt);
  placed_.NotifyMoved(busy->sa);
  return true;
}

const SlotScheduler::Candidate* SlotScheduler::NextIdle(const std::vector<Candidate>& resident,
                                                        Half half, std::size_t* next) const {
  const uint64_t settled_before = clock_.WallSeconds() - params_.min_residence_seconds;
  for (; *next < resident.size(); ++*next) {
    const PlacedHalf& row = resident[*next].placed->half(half);
    // Without a CPU session it is required to stay on the device.
    if (!row.request.pinned && row.since <= settled_before && row.binding->cpu.session != nullptr) {
      return &resident[*next];
    }
  }
  return nullptr;
}

void SlotScheduler::Demote(PlacedSa* placed, Half half) {
  std::vector<PlacementDevice> devices = devices_.Inputs();
  for (PlacementDevice& d : devices) d.away = PlacementReason{ReasonCode::kDemoted, {}};
  if (placed_.Move(placed, half, devices, ReasonCode::kRequested)) {
    placed_.NotifyMoved(placed->sa);
  }
}

// --- Filling free slots ---

// True if it found the table full, and a slot has become free since.
bool SlotScheduler::WaitsForRoom(const PlacedSa& placed, Half half, std::size_t device) const {
  const PlacedHalf& row = placed.half(half);
  return placed.sa->state() == SaState::kValid && WaitsFor(row, device) &&
         row.reason_code != ReasonCode::kDemoted;
}

// Many slots become free after a mass rekey.
void SlotScheduler::FillFreeSlots(std::size_t device) {
  constexpr int kMovesAtOnce = 64;    // the rest follows in the next second
  constexpr int kRefusalsAtOnce = 4;  // some may have another cause than a full table
  if (params_.enabled || devices_[device].offload == nullptr) return;
  if (!devices_.ClaimFreed(device) || !devices_.Usable(device)) return;
  std::vector<uint64_t> waiting;
  for (const auto& [number, placed] : placed_.all()) {
    if (WaitsForRoom(placed, Half::kOutbound, device) ||
        WaitsForRoom(placed, Half::kInbound, device)) {
      waiting.push_back(number);
    }
  }
  std::sort(waiting.begin(), waiting.end());
  int moves = kMovesAtOnce;
  std::array<int, 2> refusals{kRefusalsAtOnce, kRefusalsAtOnce};
  for (const uint64_t number : waiting) {
    PlacedSa& placed = placed_.all().at(number);
    for (const Half half : kHalves) {
      int& left = refusals[IndexOf(half)];
      if (moves == 0 || left == 0 || !WaitsForRoom(placed, half, device)) continue;
      if (placed_.Move(&placed, half, devices_.Inputs(), ReasonCode::kRequested)) {
        --moves;
        placed_.SetDue(&placed.made(half), std::nullopt);
        placed_.NotifyMoved(placed.sa);
      } else {
        --left;
      }
    }
  }
  devices_.SetFreed(device, moves == 0);
}

}  // namespace cygnet
