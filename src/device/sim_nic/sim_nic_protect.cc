// The software NIC: packet offload, outbound. Control's calls of PacketOffload.
#include <algorithm>

#include "device/sim_nic/sim_nic.h"
#include "net/frame.h"

namespace cygnet {

// --- Control ---

std::optional<DeviceRefusal> SimNic::AddPolicy(const OffloadPolicy& policy,
                                               OffloadPolicyHandle* handle) {
  const std::lock_guard lock(mutex_);
  if (!offload_up()) {
    return DeviceRefusal{InstallError::kDeviceDown, Errc::kNotSupported,
                         "offload unit is " + std::string(Name(state()))};
  }
  CardRequest request = RequestOf(policy.spec);
  request.conditions = card_conditions_;
  if (auto refusal = CardRefusal(request)) return refusal;
  return policies_.Add(policy.spec, handle);
}

void SimNic::RemovePolicy(OffloadPolicyHandle handle) {
  const std::lock_guard lock(mutex_);
  policies_.Remove(handle);
}

void SimNic::Grant(OffloadHandle handle, const NumberBlock& block) {
  {
    const std::lock_guard lock(mutex_);
    SimNicTable::Slot* slot = table_.Find(handle);
    if (slot == nullptr || slot->packet == nullptr) return;
    if (slot->packet->has_block() || IsInbound(slot->half)) {
      slot->packet->Grant(block);
    } else {
      grants_.push_back({handle, Given(), block});
    }
    LookAtKept();
  }
  wire_bell_.Ring();
}

void SimNic::SetLimits(OffloadHandle handle, const LifetimeLimits& limits) {
  const std::lock_guard lock(mutex_);
  SimNicTable::Slot* slot = table_.Find(handle);
  if (slot != nullptr && slot->packet != nullptr) slot->packet->SetLimits(limits);
}

// A card that crashed, or lost its tables, does not answer.
bool SimNic::HasState() const {
  return !conditions_.failed && !conditions_.removed && !conditions_.resetting;
}

std::optional<SaReading> SimNic::Read(OffloadHandle handle) const {
  const std::lock_guard lock(mutex_);
  const SimNicTable::Slot* slot = table_.Find(handle);
  if (slot == nullptr || slot->packet == nullptr || !HasState()) return std::nullopt;
  return slot->packet->ReadKept(clock_->WallSeconds(), clock_->MonotonicNs(), ReadingAgeNs());
}

std::optional<SaHandOver> SimNic::TakeState(OffloadHandle handle) {
  const std::lock_guard lock(mutex_);
  const SimNicTable::Slot* slot = table_.Find(handle);
  if (slot == nullptr || slot->packet == nullptr || !HasState()) return std::nullopt;
  return slot->packet->HandOver(clock_->WallSeconds());
}

std::vector<PacketOffloadEvent> SimNic::TakeEvents() {
  const std::lock_guard lock(mutex_);
  return table_.TakeEvents();
}

// --- The thread, under the lock ---

// Protects the packets of `in`. Appends to `out` those that leave and those that go back.
void SimNic::Protect(uint32_t queue, PacketBatch* in, PacketBatch* out) {
  Building building;
  for (Packet* packet : in->packets()) {
    if (ProtectOne(queue, packet, &building) == Fate::kPass) out->Push(packet);
  }
  in->ReleaseAll();
  SealBuilt(&building, out);
  if (table_.HasEvents()) RingBell();
}

SimNic::Fate SimNic::ProtectOne(uint32_t queue, Packet* packet, Building* building) {
  SimNicTable::Slot* slot = table_.Find(packet->offload.handle);
  if (!offload_up() || slot == nullptr || slot->stopped || slot->packet == nullptr ||
      IsInbound(slot->half)) {
    packet->offload.status = OffloadStatus::kReturnedClear;
    return Fate::kPass;
  }
  if (faults_.NextMissesPolicy()) {
    packet->offload.status = OffloadStatus::kSealed;
    return Fate::kPass;
  }
  IpPacketView ip;
  const Frame frame = ParseFrame(packet->bytes(), &ip);
  if (frame.kind != FrameKind::kIp) return DropOne(packet, DropReason::kOutDeviceError);
  packet->l3_offset = frame.type.l3_offset;
  SimNicPacketSa* sa = slot->packet.get();
  if (!slot->in_loop && !policies_.Protects(ip.flow, sa->facts())) {
    counts_.Add(CardCount::kTxPolicyPackets);
    counts_.Add(CardCount::kTxPolicyBytes, packet->length);
    return DropOne(packet, DropReason::kOutDevicePolicy);
  }
  if (!sa->kept().empty() || !sa->has_number()) {
    sa->AskForNumbers();
    if (!sa->used_up()) return Keep(slot, {.packet = packet, .queue = queue});
  }
  const DropReason reason = BuildOne(slot, ip, packet, building);
  return reason == DropReason::kNone ? Fate::kPass : DropOne(packet, reason);
}

// On kNone the packet awaits its seal, or is to go back, or a fault sends it as it is.
DropReason SimNic::BuildOne(SimNicTable::Slot* slot, const IpPacketView& ip, Packet* packet,
                            Building* building) {
  const SealFault fault = faults_.NextSeal();
  if (fault == SealFault::kFailSeal) {
    packet->offload.status = OffloadStatus::kReturnedClear;
    return DropReason::kNone;
  }
  const DropReason reason = slot->packet->Build(ip, clock_->WallSeconds(), packet);
  if (reason != DropReason::kNone) return reason;
  if (fault != SealFault::kNone) {
    PretendToSeal(packet, *slot, fault == SealFault::kSkipIcv);
    return DropReason::kNone;
  }
  const uint32_t n = building->size++;
  building->packets[n] = packet;
  building->sas[n] = slot->packet.get();
  AddSealJob(*slot, packet->bytes().subspan(packet->offload.esp_offset), packet->offload.esn_high,
             n);
  return DropReason::kNone;
}

void SimNic::SealBuilt(Building* building, PacketBatch* out) {
  if (building->size == 0) return;
  RunSealJobs(building->size);
  bool failed = false;
  uint64_t sealed = 0;
  for (uint32_t i = 0; i < building->size; ++i) {
    Packet* packet = building->packets[i];
    const bool ok = jobs_[i].status == CryptoStatus::kOk;
    packet->offload.status = ok ? OffloadStatus::kSealed : OffloadStatus::kError;
    failed = failed || !ok;
    if (!ok) continue;
    building->sas[i]->Finish(packet);
    CountSealed(*packet);
    ++sealed;
  }
  sealed_.fetch_add(sealed, std::memory_order_relaxed);
  if (!failed) return;
  out->Filter(
      [](const Packet* packet, uint32_t) {
        return packet->offload.status == OffloadStatus::kError ? DropReason::kOutDeviceError
                                                               : DropReason::kNone;
      },
      drops_to_);
}

SimNic::Fate SimNic::DropOne(Packet* packet, DropReason reason) {
  drops_to_->Drop(packet, reason);
  return Fate::kDropped;
}

SimNic::Fate SimNic::Keep(SimNicTable::Slot* slot, const SimNicPacketSa::Kept& kept) {
  if (slot->packet->kept().size() >= SimNicPacketSa::kMaxKept) {
    FreeCopy(kept.copy);
    return DropOne(kept.packet, DropReason::kPortFull);
  }
  if (slot->packet->kept().empty()) keeping_.push_back(slot->packet->handle());
  slot->packet->kept().push_back(kept);
  return Fate::kKept;
}

// --- Packets that wait for numbers ---

// After a change of what they wait for.
void SimNic::LookAtKept() { look_at_kept_.store(true, std::memory_order_release); }

void SimNic::FinishGrants() {
  std::erase_if(grants_, [this](const PendingGrant& grant) {
    SimNicTable::Slot* slot = table_.Find(grant.handle);
    if (slot == nullptr || slot->packet == nullptr) return true;
    if (!Passed(grant.given)) return false;
    slot->packet->Grant(grant.block);
    return true;
  });
}

// Moves up to one batch in each direction. Returns the number of packets.
uint32_t SimNic::MoveKept() {
  PacketBatch to_wire;
  PacketBatch up;
  std::vector<SimNicPacketSa::Kept> back;
  {
    const std::lock_guard lock(mutex_);
    look_at_kept_.store(false, std::memory_order_release);
    FinishGrants();
    TakeKept(&to_wire, &back, &up);
    if (to_wire.full() || up.room() < 2 || back.size() >= kMaxBatch || !grants_.empty())
      LookAtKept();
    if (table_.HasEvents()) RingBell();
  }
  const auto moved = static_cast<uint32_t>(to_wire.size() + up.size() + back.size());
  for (const SimNicPacketSa::Kept& kept : back) {
    PacketBatch one;
    kept.packet->offload.status = OffloadStatus::kReturnedClear;
    one.Push(kept.packet);
    HandBack(kept.queue, &one);
  }
  if (!frames_pass_.load(std::memory_order_acquire)) {
    to_wire.DropAll(DropReason::kPortDown, &sink_);
    up.DropAll(DropReason::kPortDown, &sink_);
    return moved;
  }
  if (!to_wire.empty()) ToWire(&to_wire);
  if (!up.empty()) Distribute(&up);
  return moved;
}

void SimNic::TakeKept(PacketBatch* to_wire, std::vector<SimNicPacketSa::Kept>* back,
                      PacketBatch* up) {
  const auto take = [&](const SimNicPacketSa::Kept& kept, bool inbound) {
    if (inbound && up->full()) return false;
    if (!inbound && back->size() >= kMaxBatch) return false;
    inbound ? up->Push(kept.packet) : back->push_back(kept);
    FreeCopy(kept.copy);  // the stack opens nothing that the device has opened
    return true;
  };
  while (!orphans_.empty() && take(orphans_.front(), orphans_.front().seq != 0)) {
    orphans_.pop_front();
  }
  Building building;
  std::erase_if(keeping_, [&](OffloadHandle handle) {
    SimNicTable::Slot* slot = table_.Find(handle);
    if (slot == nullptr) return true;
    std::deque<SimNicPacketSa::Kept>& kept = slot->packet->kept();
    if (slot->stopped) {
      while (!kept.empty() && take(kept.front(), IsInbound(slot->half))) kept.pop_front();
    } else if (offload_up() && IsInbound(slot->half)) {
      TakeKeptInbound(handle, slot, up);
    } else if (offload_up()) {
      TakeKeptOutbound(slot, &building, to_wire);
    }
    return kept.empty();
  });
  SealBuilt(&building, to_wire);
}

void SimNic::TakeKeptOutbound(SimNicTable::Slot* slot, Building* building, PacketBatch* to_wire) {
  SimNicPacketSa& sa = *slot->packet;
  while (!sa.kept().empty() && (sa.has_number() || sa.used_up()) && !to_wire->full()) {
    Packet* packet = sa.kept().front().packet;
    sa.kept().pop_front();
    IpPacketView ip;
    (void)ParseFrame(packet->bytes(), &ip);  // as when it came
    const DropReason reason = BuildOne(slot, ip, packet, building);
    if (reason == DropReason::kNone) {
      to_wire->Push(packet);
    } else {
      (void)DropOne(packet, reason);
    }
  }
  if (!sa.kept().empty()) sa.AskForNumbers();
}

}  // namespace cygnet
