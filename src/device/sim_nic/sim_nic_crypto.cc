// The software NIC: sealing and opening.
#include "device/sim_nic/sim_nic.h"
#include "net/esp_view.h"
#include "net/frame.h"
#include "net/ip_protocol.h"
#include "sa/replay_window.h"

namespace cygnet {
namespace {

void Add(std::atomic<uint64_t>* counter, uint64_t n) {
  counter->fetch_add(n, std::memory_order_relaxed);
}

}  // namespace

void SimNic::CountSealed(const Packet& packet) {
  counts_.Add(CardCount::kTxPackets);
  counts_.Add(CardCount::kTxBytes, packet.length);
}

void SimNic::CountOpened(uint64_t frame_bytes) {
  Add(&opened_, 1);
  counts_.Add(CardCount::kRxPackets);
  counts_.Add(CardCount::kRxBytes, frame_bytes);
}

// Seals the packets that request it. A packet that cannot be sealed is marked for return, or
// dropped if it should never have come here. No such packet leaves unsealed.
void SimNic::Seal(uint32_t queue, PacketBatch* batch) {
  const std::lock_guard lock(mutex_);
  SealLocked(queue, batch);
}

void SimNic::SealLocked(uint32_t queue, PacketBatch* batch) {
  Swallow(batch);
  PacketBatch protect;
  batch->Partition(
      [](const Packet* packet) {
        return packet->offload.status == OffloadStatus::kProtectRequested;
      },
      &protect);
  uint32_t jobs = 0;
  batch->Filter([&](Packet* packet, uint32_t) { return PrepareSeal(packet, &jobs); }, drops_to_);
  RunSealJobs(jobs);
  uint32_t next = 0;
  uint64_t sealed = 0;
  batch->Filter(
      [&](Packet* packet, uint32_t) {
        if (packet->offload.status != OffloadStatus::kSealRequested) return DropReason::kNone;
        if (jobs_[next++].status != CryptoStatus::kOk) return DropReason::kOutDeviceError;
        packet->offload.status = OffloadStatus::kSealed;
        CountSealed(*packet);
        ++sealed;
        return DropReason::kNone;
      },
      drops_to_);
  Add(&sealed_, sealed);
  if (!protect.empty()) Protect(queue, &protect, batch);
}

// Afterwards the packet has a job, requests none, or is returned.
DropReason SimNic::PrepareSeal(Packet* packet, uint32_t* jobs) {
  OffloadMeta& meta = packet->offload;
  if (meta.status != OffloadStatus::kSealRequested) return DropReason::kNone;
  const SimNicTable::Slot* slot = table_.Find(meta.handle);
  if (!offload_up() || (slot == nullptr && table_.WasWiped(meta.handle))) {
    meta.status = OffloadStatus::kReturned;
    return DropReason::kNone;
  }
  const std::size_t esp_length =
      packet->length > meta.esp_offset ? packet->length - meta.esp_offset : 0u;
  const bool known = slot != nullptr && slot->held && !IsInbound(slot->half);
  if (!known || !esp::HasRoomForJob(slot->params.layout, esp_length)) {
    Add(&dropped_stale_, 1);
    counts_.Add(known ? CardCount::kTxTooShort : CardCount::kTxNoSa);
    return DropReason::kOutDeviceError;
  }
  switch (faults_.NextSeal()) {
    case SealFault::kFailSeal:
      meta.status = OffloadStatus::kReturned;
      return DropReason::kNone;
    case SealFault::kSkipSeal:
      PretendToSeal(packet, *slot, false);
      return DropReason::kNone;
    case SealFault::kSkipIcv:
      PretendToSeal(packet, *slot, true);
      return DropReason::kNone;
    case SealFault::kNone:
      break;
  }
  AddSealJob(*slot, packet->bytes().subspan(meta.esp_offset), meta.esn_high, (*jobs)++);
  return DropReason::kNone;
}

// Simulates a device that reports unsealed packets as sealed: the plaintext leaves unchanged, with
// a plausible ICV if `with_icv`.
void SimNic::PretendToSeal(Packet* packet, const SimNicTable::Slot& slot, bool with_icv) {
  const uint32_t icv = with_icv ? slot.params.layout.icv : 0u;
  for (uint8_t& byte : packet->bytes().last(icv)) {
    false_icv_ = false_icv_ * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(false_icv_ >> 56);
  }
  packet->offload.status = OffloadStatus::kSealed;
  Add(&sealed_, 1);
  CountSealed(*packet);
}

// Sets `arrival` for an ESP packet of an SA in the table. False: the packet passes as it came.
bool SimNic::FindSa(Packet* packet, Arrival* arrival) {
  // Only a frame with an IP EtherType is parsed as IP.
  IpPacketView& ip = arrival->ip;
  const Frame frame = ParseFrame(packet->bytes(), &ip);
  if (!frame.IsIp() || packet->csum_partial) return false;
  packet->l3_offset = frame.type.l3_offset;
  if (frame.kind == FrameKind::kBadIp || ip.fragment) return false;
  arrival->esp = ClassifyWirePacket(ip, packet->l3(), table_.encap_ports());
  if (arrival->esp.kind != WireKind::kEsp) return false;
  arrival->slot =
      table_.FindInbound(arrival->esp.spi, ip.flow.daddr, ip.flow.family, &arrival->handle);
  if (arrival->slot == nullptr) {
    Add(&passed_unknown_, 1);
    return false;
  }
  const SimNicPacketSa* whole = arrival->slot->packet.get();
  return arrival->esp.udp_encapsulated == (whole != nullptr && whole->in_udp());
}

// Crypto offload: lengths and headers stay.
void SimNic::OpenInPlace(const Arrival& arrival, Packet* packet) {
  SimNicTable::Slot* slot = arrival.slot;
  const esp::JobParams& params = slot->params;
  const std::size_t length = arrival.ip.total_length - arrival.esp.esp_offset;
  if (!esp::HasRoomForJob(params.layout, length)) return;
  const uint32_t low = arrival.esp.seq_low;
  const uint64_t seq = params.esn ? InferEsn(low, slot->highest, slot->window) : low;
  packet->offload.handle = arrival.handle;
  packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
  switch (OpenEsp(slot, packet->l3().subspan(arrival.esp.esp_offset, length),
                  packet->offload.esn_high)) {
    case CryptoStatus::kOk:
      packet->offload.status = OffloadStatus::kOpened;
      slot->highest = seq > slot->highest ? seq : slot->highest;
      CountOpened(packet->length);
      break;
    case CryptoStatus::kAuthFailed:
      packet->offload.status = OffloadStatus::kAuthFailed;
      Add(&auth_failed_, 1);
      counts_.Add(CardCount::kRxWrongIcv);
      break;
    default:
      packet->offload.status = OffloadStatus::kError;
  }
}

// Opens packets of its SAs in place. One packet at a time: an ESN is inferred from the numbers
// authenticated before it. Returns how many packets go up.
uint32_t SimNic::Open(PacketBatch* batch, Up* up) {
  const std::lock_guard lock(mutex_);
  return OpenLocked(batch, up);
}

uint32_t SimNic::OpenLocked(PacketBatch* batch, Up* up) {
  uint32_t n = 0;
  if (!offload_up()) {
    for (Packet* packet : batch->packets()) (*up)[n++] = packet;
    batch->ReleaseAll();
    return n;
  }
  for (Packet* packet : batch->packets()) {
    Arrival arrival;
    Fate fate = Fate::kPass;
    Packet* copy = nullptr;
    if (FindSa(packet, &arrival)) {
      if (faults_.NextSwallows(FaultWay::kIn)) {
        caches_.Give(packet);
        fate = Fate::kDropped;
      } else if (arrival.slot->packet != nullptr) {
        fate = Decapsulate(arrival, packet, &copy);
      } else {
        OpenInPlace(arrival, packet);
      }
    }
    if (copy != nullptr && fate == Fate::kPass &&
        packet->offload.status == OffloadStatus::kDecapsulated) {
      MarkCopy(*packet, copy);
      (*up)[n++] = copy;
    } else {
      FreeCopy(copy);
    }
    if (fate == Fate::kPass) (*up)[n++] = packet;
  }
  batch->ReleaseAll();
  if (table_.HasEvents()) RingBell();
  return n;
}

}  // namespace cygnet
