#include "device/drivers/sim_nic_table.h"

namespace cygnet {
namespace {

// A handle is slot + 1 in the low bits and the slot's generation above, so that a handle of an
// earlier tenant finds nothing.
constexpr uint32_t kSlotBits = 20;
constexpr uint32_t kSlotMask = (1u << kSlotBits) - 1;

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

SimNicTable::SimNicTable(uint32_t limit) : engine_(MakeEngine()), slots_(std::size_t{limit} * 2) {
  CYGNET_CHECK(limit < kSlotMask / 2);
  for (uint32_t i = limit; i-- > 0;) {
    free_[0].push_back(i);
    free_[1].push_back(limit + i);
  }
}

std::optional<DeviceRefusal> SimNicTable::Add(const OffloadSa& sa, OffloadHandle* handle) {
  const SaSpec& spec = sa.spec;
  const bool inbound = sa.inbound;
  std::vector<uint32_t>& free = free_[inbound ? 1 : 0];
  if (free.empty()) {
    return DeviceRefusal{AddSaError::kTableFull, Errc::kNotSupported,
                         std::to_string(limit()) + " of " + std::to_string(limit()) +
                             (inbound ? " inbound" : " outbound") + " SA slots in use"};
  }
  const uint32_t index = free.back();
  Slot& slot = slots_[index];
  slot.key = spec.encryption().key.Clone();
  slot.auth_key = spec.auth.key.Clone();
  SessionParams params =
      esp::SessionFor(spec, inbound ? CryptoDirection::kOpen : CryptoDirection::kSeal, 1);
  params.key = slot.key.bytes();  // its own copies, not the stack's
  params.auth_key = params.auth == nullptr ? params.auth_key : slot.auth_key.bytes();
  auto session = engine_->CreateSession(params);
  if (!session) {
    slot.key.Wipe();
    slot.auth_key.Wipe();
    return DeviceRefusal{AddSaError::kRefused, session.error().code, session.error().message};
  }
  free.pop_back();
  slot.session = *std::move(session);
  slot.used = true;
  slot.stopped = false;
  slot.inbound = inbound;
  slot.id = {.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family};
  slot.window = spec.replay_window();
  slot.highest = sa.highest;
  slot.params.layout = LayoutOf(spec);
  slot.params.salt = SaltOf(spec);
  slot.params.esn = spec.esn();
  slot.params.direction = params.direction;
  slot.params.session = slot.session.get();
  *handle = MakeHandle(index, slot.generation);
  ++used_[inbound ? 1 : 0];
  high_water_ = used() > high_water_ ? used() : high_water_;
  return std::nullopt;
}

void SimNicTable::Start(OffloadHandle handle) {
  const Slot* slot = Find(handle);
  if (slot == nullptr || !slot->inbound || slot->stopped) return;
  inbound_[{slot->id.daddr, slot->id.spi.value, slot->id.family}] =
      static_cast<uint32_t>(slot - slots_.data());
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
  if (slot->inbound) {
    const auto it = inbound_.find({slot->id.daddr, slot->id.spi.value, slot->id.family});
    if (it != inbound_.end() && &slots_[it->second] == slot) inbound_.erase(it);
  }
}

void SimNicTable::Release(OffloadHandle handle) {
  Slot* slot = Find(handle);
  if (slot == nullptr) return;
  Stop(handle);
  slot->session.reset();
  slot->key.Wipe();
  slot->auth_key.Wipe();
  slot->params = {};
  slot->used = false;
  slot->generation = (slot->generation + 1) & ((1u << (32 - kSlotBits)) - 1);
  free_[slot->inbound ? 1 : 0].push_back((handle.value & kSlotMask) - 1);
  --used_[slot->inbound ? 1 : 0];
  erased_.push_back(handle);
}

std::vector<SaId> SimNicTable::Held() const {
  std::vector<SaId> held;
  for (const Slot& slot : slots_) {
    if (slot.used) held.push_back(slot.id);
  }
  return held;
}

}  // namespace cygnet
