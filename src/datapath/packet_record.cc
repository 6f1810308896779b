#include "datapath/packet_record.h"

#include "datapath/path_ops.h"

namespace cygnet {
namespace {

CaptureLink LinkTo(const Sa& sa, uint64_t seq) {
  const SaSpec& spec = sa.spec();
  return {.spi = spec.spi.value, .seq = seq, .daddr = spec.daddr, .family = spec.family};
}

CapturePlace PlaceOf(OffloadStatus requested) {
  switch (requested) {
    case OffloadStatus::kSealRequested:
      return CapturePlace::kDevice;
    case OffloadStatus::kProtectRequested:
      return CapturePlace::kPacketDevice;
    default:
      return CapturePlace::kEngine;
  }
}

// A dropped packet may not have been opened at all.
CapturePlace PlaceOf(OffloadStatus status, DropReason verdict) {
  if (verdict != DropReason::kNone) return CapturePlace::kUnknown;
  if (status == OffloadStatus::kDecapsulated) return CapturePlace::kPacketDevice;
  return status == OffloadStatus::kOpened ? CapturePlace::kDevice : CapturePlace::kEngine;
}

}  // namespace

void PacketRecord::BeginRun(std::span<const OutboundItem> run) {
  if (kept_.size() < run.size()) kept_.resize(run.size());
  for (std::size_t i = 0; i < run.size(); ++i) {
    const auto bytes = run[i].packet->bytes();
    kept_[i].bytes.assign(bytes.begin(), bytes.end());
    kept_[i].interface = run[i].packet->interface;
  }
}

void PacketRecord::EndRun(const OutboundSa& sa, uint64_t first_seq,
                          std::span<const OutboundItem> run) {
  for (std::size_t i = 0; i < run.size(); ++i) {
    if (run[i].verdict != DropReason::kNone) continue;
    const CapturePlace place = PlaceOf(run[i].packet->offload.status);
    Offer(kept_[i].interface, kept_[i].bytes,
          {.direction = CaptureDirection::kOutbound,
           .place = place,
           .device = path_.interfaces[run[i].egress].wire->name(),
           .link = LinkTo(*sa.sa, place == CapturePlace::kPacketDevice ? 0 : first_seq + i)});
  }
}

void PacketRecord::Opened(const InboundSa& sa, OffloadStatus status, const InboundItem& item) {
  Offer(item.packet->interface, item.packet->bytes(),
        {.direction = CaptureDirection::kInbound,
         .reason = item.verdict,
         .place = PlaceOf(status, item.verdict),
         .device = path_.interfaces[item.packet->interface].wire->name(),
         // Before the first number of an ESN there is none; then the low word is all that is known.
         .link = LinkTo(*sa.sa, item.seq != 0 ? item.seq : item.esp.seq_low)});
}

void PacketRecord::Completed(const InboundSa& sa, OffloadStatus status, InboundItem* item) {
  if (item->packet == nullptr) return;  // it waits for other fragments
  const bool passes = item->verdict == DropReason::kNone;
  if (passes && item->joined) return;
  Opened(sa, status, *item);
  item->recorded = !passes;
}

void PacketRecord::Clear(const Packet& packet, CaptureDirection direction) {
  if (packet.protection == Protection::kControl) return;  // the host did not send it
  Offer(packet.interface, packet.bytes(), {.direction = direction, .place = CapturePlace::kClear});
}

void PacketRecord::See(const Packet& packet, DropReason reason) {
  Offer(packet.interface, packet.bytes(),
        {.direction = DirectionOf(packet, reason), .reason = reason});
}

void PacketRecord::Offer(uint8_t interface, std::span<const uint8_t> bytes,
                         const CaptureFacts& facts) const {
  if (interface >= path_.interfaces.size()) return;
  CapturePoints* points = path_.interfaces[interface].capture;
  if (points == nullptr) return;
  if (points->inner.readers().load(std::memory_order_relaxed) == 0) return;
  points->inner.OfferKnown(bytes, facts);
}

}  // namespace cygnet
