// The software NIC: packet offload, inbound. The thread, under the lock.
#include "device/sim_nic/sim_nic.h"

namespace cygnet {

// In the order of the stack's inbound pipeline: replay check, ICV, trailer, replay commit,
// lifetime, decapsulation. The stack checks policy.
SimNic::Fate SimNic::Decapsulate(const Arrival& arrival, Packet* packet, Packet** copy) {
  SimNicTable::Slot* slot = arrival.slot;
  SimNicPacketSa& sa = *slot->packet;
  const uint32_t low = arrival.esp.seq_low;
  const uint64_t seq = sa.Infer(low);
  const SimNicPacketSa::Place place = sa.PlaceOf(seq);
  if (place == SimNicPacketSa::Place::kBelow) return Fate::kPass;
  using Check = SimNicPacketSa::ReplayCheck;
  const DropReason replay = sa.CheckReplay(seq);
  const Check check = ReplayCheckOf(*slot, replay);
  if (replay != DropReason::kNone && check == Check::kFull) {
    sa.CountReplayed();
    return DropOne(packet, replay);
  }
  if (!DrawCopy(*packet, copy)) return DropOne(packet, DropReason::kNoBuffers);
  const std::size_t length = arrival.ip.total_length - arrival.esp.esp_offset;
  if (!esp::HasRoomForJob(slot->params.layout, length)) {
    return DropOne(packet, DropReason::kInTruncated);
  }
  const CryptoStatus opened = OpenEsp(slot, packet->l3().subspan(arrival.esp.esp_offset, length),
                                      static_cast<uint32_t>(seq >> 32));
  if (opened != CryptoStatus::kOk) {
    auth_failed_.fetch_add(1, std::memory_order_relaxed);
    counts_.Add(CardCount::kRxWrongIcv);
    const bool icv = opened == CryptoStatus::kAuthFailed;
    return DropOne(packet, icv ? sa.RefuseIcv(low, seq) : DropReason::kInDeviceError);
  }
  sa.NoteAuthentic(seq);
  packet->offload.handle = arrival.handle;
  packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
  packet->offload.status = OffloadStatus::kOpened;
  packet->SetSaNumber(sa.number());
  if (place == SimNicPacketSa::Place::kAbove || sa.kept_go_first()) {
    if (place == SimNicPacketSa::Place::kAbove) sa.AskForNumbers();
    return Keep(slot, {.packet = packet,
                       .seq = seq,
                       .esp_offset = arrival.esp.esp_offset,
                       .copy = std::exchange(*copy, nullptr)});
  }
  const uint64_t frame_bytes = packet->length;
  const DropReason reason =
      sa.Accept(seq, arrival.ip, arrival.esp.esp_offset, clock_->WallSeconds(), check, packet);
  if (reason != DropReason::kNone) return DropOne(packet, reason);
  packet->offload.status = OffloadStatus::kDecapsulated;
  CountOpened(frame_bytes);
  return Fate::kPass;
}

// Packets whose numbers are in the block by now. Each may have a copy.
void SimNic::TakeKeptInbound(OffloadHandle handle, SimNicTable::Slot* slot, PacketBatch* up) {
  SimNicPacketSa& sa = *slot->packet;
  std::deque<SimNicPacketSa::Kept> later;
  while (!sa.kept().empty() && up->room() >= 2) {
    const SimNicPacketSa::Kept kept = sa.kept().front();
    sa.kept().pop_front();
    if (sa.PlaceOf(kept.seq) != SimNicPacketSa::Place::kInBlock) {
      later.push_back(kept);
      continue;
    }
    IpPacketView outer;
    CYGNET_CHECK(ParseIpPacket(kept.packet->l3(), &outer));  // as when it came
    const uint64_t frame_bytes = kept.packet->length;
    const DropReason reason =
        sa.Accept(kept.seq, outer, kept.esp_offset, clock_->WallSeconds(),
                  sa.habits().no_replay_check ? SimNicPacketSa::ReplayCheck::kNone
                                              : SimNicPacketSa::ReplayCheck::kFull,
                  kept.packet);
    if (reason != DropReason::kNone) {
      FreeCopy(kept.copy);
      (void)DropOne(kept.packet, reason);
      continue;
    }
    kept.packet->offload.handle = handle;
    kept.packet->offload.status = OffloadStatus::kDecapsulated;
    CountOpened(frame_bytes);
    if (kept.copy != nullptr) {
      MarkCopy(*kept.packet, kept.copy);
      up->Push(kept.copy);
    }
    up->Push(kept.packet);
  }
  if (sa.kept().empty()) sa.KeptWereLookedAt();
  sa.kept().insert(sa.kept().begin(), later.begin(), later.end());
  if (!sa.kept().empty() && up->room() >= 2) sa.AskForNumbers();
}

}  // namespace cygnet
