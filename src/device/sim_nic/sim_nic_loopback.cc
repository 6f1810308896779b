// The software NIC: packets that never touch the wire (Loopback). Control. The code that works on
// them is that of the thread (sim_nic_crypto.cc, sim_nic_protect.cc, sim_nic_decapsulate.cc).
#include <algorithm>
#include <utility>

#include "device/sim_nic/sim_nic.h"

namespace cygnet {

// For the time of one call: drops go to the caller, and what counters and one-shot faults were
// before is restored at the end. The thread changes none of them without the lock.
class SimNic::LoopScope final : public DropKeeper {
 public:
  LoopScope(SimNic* nic, std::span<Packet* const> packets, std::span<DropReason> drops)
      : nic_(*nic), packets_(packets), drops_(drops), sink_(this) {
    for (std::size_t i = 0; i < kCounters.size(); ++i) {
      counts_[i] = (nic_.*kCounters[i]).load(std::memory_order_relaxed);
    }
    std::fill(drops_.begin(), drops_.end(), DropReason::kNone);
    card_counts_ = nic_.counts_;
    faults_ = std::exchange(nic_.faults_, nic_.faults_.OnlyLies());
    mirror_ = nic_.mirror_.exchange(0, std::memory_order_relaxed);
    nic_.drops_to_ = &sink_;
  }
  LoopScope(const LoopScope&) = delete;
  LoopScope& operator=(const LoopScope&) = delete;
  ~LoopScope() {
    for (std::size_t i = 0; i < kCounters.size(); ++i) {
      (nic_.*kCounters[i]).store(counts_[i], std::memory_order_relaxed);
    }
    nic_.counts_ = card_counts_;
    nic_.faults_ = faults_;
    nic_.mirror_.store(mirror_, std::memory_order_relaxed);
    nic_.drops_to_ = &nic_.sink_;
  }

  void OnDrop(Packet* packet, DropReason reason) override {
    const auto at = std::find(packets_.begin(), packets_.end(), packet);
    drops_[static_cast<std::size_t>(at - packets_.begin())] = reason;
  }

 private:
  static constexpr std::array kCounters = {&SimNic::sealed_, &SimNic::opened_,
                                           &SimNic::auth_failed_, &SimNic::passed_unknown_,
                                           &SimNic::dropped_stale_};
  SimNic& nic_;
  const std::span<Packet* const> packets_;
  const std::span<DropReason> drops_;
  DropSink sink_;
  std::array<uint64_t, kCounters.size()> counts_{};
  CardCounts card_counts_;
  PendingFaults faults_;
  uint32_t mirror_ = 0;
};

Status SimNic::Loop(const OffloadSa& sa, std::span<Packet* const> packets,
                    std::span<DropReason> drops) {
  CYGNET_CHECK(packets.size() == drops.size());
  const std::lock_guard lock(mutex_);
  if (!offload_up()) {
    return MakeError(Errc::kNetworkDown, "offload unit is " + std::string(Name(state())));
  }
  CardRequest request = RequestFor(sa.spec, sa.half, sa.mode);
  request.slot_free = true;
  request.address_free = true;
  const auto refused = [](const DeviceRefusal& refusal) {
    return MakeError(Errc::kNotSupported, refusal.text);
  };
  if (const auto refusal = CardRefusal(request)) return refused(*refusal);
  OffloadHandle handle;
  const LoopScope scope(this, packets, drops);
  if (const auto refusal = table_.AddForLoop(sa, &handle)) return refused(*refusal);
  table_.Find(handle)->request = request;
  const CardLie* lie = cards_[active_]->LieAbout(request);
  const bool used = lie == nullptr || lie->gap != ClaimGap::kNotUsed;
  for (Packet* packet : packets) {
    if (!IsInbound(sa.half)) packet->offload.handle = handle;
  }
  for (std::size_t i = 0; used && i < packets.size(); i += kMaxBatch) {
    LoopBatch(sa, packets.subspan(i, std::min<std::size_t>(kMaxBatch, packets.size() - i)));
  }
  TakeLoopKept(table_.Find(handle));
  std::erase(keeping_, handle);
  table_.EndLoop(handle);
  return {};
}

void SimNic::LoopBatch(const OffloadSa& sa, std::span<Packet* const> packets) {
  PacketBatch batch;
  for (Packet* packet : packets) batch.Push(packet);
  if (IsInbound(sa.half)) {
    Up up;
    (void)OpenLocked(&batch, &up);
  } else {
    SealLocked(0, &batch);
  }
  batch.ReleaseAll();  // they are the caller's
}

// Packets that wait for numbers go where they would go after StopSa.
void SimNic::TakeLoopKept(SimNicTable::Slot* slot) {
  if (slot->packet == nullptr) return;
  for (const SimNicPacketSa::Kept& kept : std::exchange(slot->packet->kept(), {})) {
    if (!IsInbound(slot->half)) kept.packet->offload.status = OffloadStatus::kReturnedClear;
  }
}

}  // namespace cygnet
