#include "device/sim_nic/sim_nic_table.h"

#include <algorithm>
#include <string>

namespace cygnet {
namespace {

// A handle is slot + 1 in the low bits and the slot's generation above, so that a handle of an
// earlier SA of the slot finds nothing.
constexpr uint32_t kSlotBits = 20;
constexpr uint32_t kSlotMask = (1u << kSlotBits) - 1;
constexpr uint32_t kGenerationMask = (1u << (32 - kSlotBits)) - 1;

OffloadHandle MakeHandle(uint32_t slot, uint32_t generation) {
  return OffloadHandle(generation << kSlotBits | (slot + 1));
}

std::unique_ptr<CryptoEngine> MakeEngine() {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "openssl") return info->create({});
  }
  return nullptr;
}

}  // namespace

SimNicTable::SimNicTable(uint32_t limit, uint32_t address_limit, PendingFaults* faults)
    : engine_(MakeEngine()),
      address_limit_(address_limit),
      faults_(faults),
      slots_(std::size_t{limit} * 2 + 1) {
  CYGNET_CHECK(limit < kSlotMask / 2);
  for (uint32_t i = limit; i-- > 0;) {
    free_[0].push_back(i);
    free_[1].push_back(limit + i);
  }
}

std::optional<DeviceRefusal> SimNicTable::Add(const OffloadSa& sa, uint64_t now,
                                              OffloadHandle* handle) {
  std::vector<uint32_t>& free = free_[IndexOf(sa.half)];
  auto refusal = CheckRoom(sa);
  if (!refusal) refusal = LoadKey(sa, &slots_[free.back()]);
  if (refusal) {
    NoteRefused(sa, now);
    return refusal;
  }
  const uint32_t index = free.back();
  free.pop_back();
  Slot& slot = slots_[index];
  *handle = HandleOf(index);
  Fill(sa, *handle, &slot);
  slot.log_number = log_.Offer(sa, true, now);
  CountAdded(slot);
  return std::nullopt;
}

// Everything but the key.
void SimNicTable::Fill(const OffloadSa& sa, OffloadHandle handle, Slot* slot) {
  const SaSpec& spec = sa.spec;
  slot->used = true;
  slot->stopped = false;
  slot->half = sa.half;
  slot->id = {.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family};
  slot->window = spec.replay_window();
  slot->highest = sa.highest;
  slot->held = true;
  slot->matches = true;
  if (sa.mode != OffloadMode::kPacket) return;
  slot->packet = std::make_unique<SimNicPacketSa>(sa, &events_, faults_);
  slot->packet->set_handle(handle);
  if (slot->packet->in_udp()) CountEncapPort(slot->packet->encap_port(), 1);
}

std::optional<DeviceRefusal> SimNicTable::AddForLoop(const OffloadSa& sa, OffloadHandle* handle) {
  const auto index = static_cast<uint32_t>(slots_.size() - 1);
  Slot& slot = slots_[index];
  CYGNET_CHECK(!slot.used);
  if (auto refusal = LoadKey(sa, &slot)) return refusal;
  *handle = HandleOf(index);
  Fill(sa, *handle, &slot);
  slot.in_loop = true;
  if (!IsInbound(sa.half)) return std::nullopt;
  const auto [at, added] =
      inbound_.try_emplace({slot.id.daddr, slot.id.spi.value, slot.id.family}, index);
  if (!added) beside_ = std::exchange(at->second, index);
  return std::nullopt;
}

void SimNicTable::EndLoop(OffloadHandle handle) {
  Slot* slot = Find(handle);
  CYGNET_CHECK(slot != nullptr && slot->in_loop);
  Unmatch(*slot);
  if (const auto beside = std::exchange(beside_, std::nullopt)) {
    inbound_[{slot->id.daddr, slot->id.spi.value, slot->id.family}] = *beside;
  }
  std::erase_if(events_, [handle](const PacketOffloadEvent& e) { return e.handle == handle; });
  Clear(slot);
}

std::optional<DeviceRefusal> SimNicTable::CheckRoom(const OffloadSa& sa) const {
  const auto full = [](InstallError kind, uint32_t count, const char* what) {
    const std::string n = std::to_string(count);
    return DeviceRefusal{kind, Errc::kNotSupported, n + " of " + n + what + " in use"};
  };
  if (!HasSlot(sa.half)) {
    return full(InstallError::kTableFull, limit(),
                IsInbound(sa.half) ? " inbound SA slots" : " outbound SA slots");
  }
  if (!HasAddress(sa.spec, sa.half)) {
    return full(InstallError::kAddressTableFull, address_limit_, " receive addresses");
  }
  return std::nullopt;
}

bool SimNicTable::HasAddress(const SaSpec& spec, Half half) const {
  return !IsInbound(half) || address_limit_ == 0 || addresses_.size() < address_limit_ ||
         addresses_.contains({spec.daddr, spec.family});
}

std::optional<DeviceRefusal> SimNicTable::LoadKey(const OffloadSa& sa, Slot* slot) {
  const SaSpec& spec = sa.spec;
  slot->key = spec.encryption().key.Clone();
  slot->auth_key = spec.pair->auth.key.Clone();
  SessionParams params = esp::SessionFor(spec, DirectionOf(sa.half), 1);
  params.key = slot->key.bytes();  // the slot's own copies, not the stack's
  params.auth_key = params.auth == nullptr ? params.auth_key : slot->auth_key.bytes();
  auto session = engine_->CreateSession(params);
  if (!session) {
    slot->key.Wipe();
    slot->auth_key.Wipe();
    return DeviceRefusal{InstallError::kRefused, session.error().code, session.error().message};
  }
  slot->session = *std::move(session);
  slot->params = {.layout = LayoutOf(spec),
                  .salt = SaltOf(spec),
                  .esn = spec.esn(),
                  .direction = params.direction,
                  .session = slot->session.get()};
  return std::nullopt;
}

std::unique_ptr<CryptoSession> SimNicTable::MakeIcvSession(const Slot& slot) {
  SessionParams params = {.cipher = slot.request.encryption,
                          .key = slot.key.bytes(),
                          .icv_bytes = slot.params.layout.icv,
                          .direction = CryptoDirection::kSeal};
  if (!slot.request.aead) {
    params.cipher = FindAlgorithm(AlgorithmKind::kCipher, "ecb(cipher_null)");
    params.key = {};
    params.auth = slot.request.authentication;
    params.auth_key = slot.auth_key.bytes();
  }
  auto session = engine_->CreateSession(params);
  return session ? *std::move(session) : nullptr;
}

void SimNicTable::CountAdded(const Slot& slot) {
  ++used_[IndexOf(slot.half)];
  high_water_ = std::max(high_water_, used());
  if (IsInbound(slot.half)) ++addresses_[{slot.id.daddr, slot.id.family}];
  addresses_high_water_ = std::max(addresses_high_water_, addresses_used());
}

void SimNicTable::CountReleased(const Slot& slot) {
  --used_[IndexOf(slot.half)];
  if (!IsInbound(slot.half)) return;
  const auto address = addresses_.find({slot.id.daddr, slot.id.family});
  if (--address->second == 0) addresses_.erase(address);
}

void SimNicTable::Start(OffloadHandle handle) {
  const Slot* slot = Find(handle);
  if (slot == nullptr || !IsInbound(slot->half) || slot->stopped || !slot->matches) return;
  inbound_[{slot->id.daddr, slot->id.spi.value, slot->id.family}] =
      static_cast<uint32_t>(slot - slots_.data());
}

OffloadHandle SimNicTable::HandleOf(uint32_t index) const {
  return MakeHandle(index, slots_[index].generation);
}

void SimNicTable::CountEncapPort(uint16_t port, int delta) {
  const auto uses = encap_port_uses_.try_emplace(port, 0).first;
  const bool listed = uses->second != 0;
  uses->second += delta;
  if ((uses->second != 0) == listed) return;
  if (uses->second == 0) encap_port_uses_.erase(uses);
  encap_ports_.clear();
  for (const auto& [used, n] : encap_port_uses_) encap_ports_.push_back(used);
}

SimNicTable::Slot* SimNicTable::Find(OffloadHandle handle) {
  const uint32_t slot_plus_one = handle.value & kSlotMask;
  if (slot_plus_one == 0 || slot_plus_one > slots_.size()) return nullptr;
  Slot& slot = slots_[slot_plus_one - 1];
  const bool same = slot.used && MakeHandle(slot_plus_one - 1, slot.generation) == handle;
  return same ? &slot : nullptr;
}

SimNicTable::Slot* SimNicTable::FindInbound(uint32_t spi, const IpAddress& daddr, IpFamily family,
                                            OffloadHandle* handle) {
  const auto it = inbound_.find({daddr, spi, family});
  if (it == inbound_.end()) return nullptr;
  Slot& slot = slots_[it->second];
  *handle = MakeHandle(it->second, slot.generation);
  return &slot;
}

void SimNicTable::Stop(OffloadHandle handle) {
  Slot* slot = Find(handle);
  if (slot == nullptr) return;
  slot->stopped = true;
  Unmatch(*slot);
}

void SimNicTable::Unmatch(const Slot& slot) {
  if (!IsInbound(slot.half)) return;
  const auto it = inbound_.find({slot.id.daddr, slot.id.spi.value, slot.id.family});
  if (it != inbound_.end() && &slots_[it->second] == &slot) inbound_.erase(it);
}

void SimNicTable::Lose(OffloadHandle handle) {
  Slot* slot = Find(handle);
  if (slot == nullptr) return;
  slot->held = false;
  slot->matches = false;
  Unmatch(*slot);
}

void SimNicTable::ForEach(
    const std::function<void(OffloadHandle, uint32_t, const Slot&)>& visit) const {
  for (uint32_t index = 0; index < slots_.size(); ++index) {
    const Slot& slot = slots_[index];
    if (slot.used) visit(MakeHandle(index, slot.generation), index % limit(), slot);
  }
}

void SimNicTable::Release(OffloadHandle handle) {
  Slot* slot = Find(handle);
  if (slot == nullptr) return;
  Stop(handle);
  Clear(slot);
  free_[IndexOf(slot->half)].push_back((handle.value & kSlotMask) - 1);
  CountReleased(*slot);
  log_.MarkErased(slot->log_number);
  erased_.push_back(handle);
}

// Erases the key. The slot has another handle from now on.
void SimNicTable::Clear(Slot* slot) {
  slot->session.reset();
  slot->key.Wipe();
  slot->auth_key.Wipe();
  slot->params = {};
  if (slot->packet != nullptr && slot->packet->in_udp()) {
    CountEncapPort(slot->packet->encap_port(), -1);
  }
  slot->packet.reset();
  slot->used = false;
  slot->generation = (slot->generation + 1) & kGenerationMask;
}

void SimNicTable::Wipe() {
  for (uint32_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = slots_[index];
    if (!slot.used) continue;
    slot.wiped = slot.generation;
    Release(MakeHandle(index, slot.generation));
  }
}

bool SimNicTable::WasWiped(OffloadHandle handle) const {
  const uint32_t slot_plus_one = handle.value & kSlotMask;
  if (slot_plus_one == 0 || slot_plus_one > slots_.size()) return false;
  const Slot& slot = slots_[slot_plus_one - 1];
  if (!slot.wiped.has_value()) return false;
  // SAs that were released in the ordinary way left no packet behind, so a generation as old as the
  // last wipe, or older, was lost in a wipe. Generations wrap.
  const uint32_t age = (*slot.wiped - (handle.value >> kSlotBits)) & kGenerationMask;
  return age <= kGenerationMask / 2;
}

std::vector<SaId> SimNicTable::Held() const {
  std::vector<SaId> held;
  for (const Slot& slot : slots_) {
    if (slot.used && slot.held) held.push_back(slot.id);
  }
  return held;
}

}  // namespace cygnet
