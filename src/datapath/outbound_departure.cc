#include "datapath/outbound_departure.h"

#include <algorithm>

#include "datapath/fragment.h"
#include "datapath/outbound_steps.h"

namespace cygnet {

// Even without items, other workers may wait for numbers of packets that were parked.
void OutboundDeparture::SendAll(std::span<const OutboundItem> items) {
  if (items.empty() && order_.empty()) return;
  const std::size_t interfaces = ctx_->path->interfaces.size();
  recorded_ = ctx_->record.on();
  for (std::size_t out = 0; out < interfaces; ++out) SendBy(static_cast<uint8_t>(out), items);
  order_.Clear();
}

void OutboundDeparture::SendBy(uint8_t egress, std::span<const OutboundItem> items) {
  PacketBatch batch;
  const auto send = [&] { Transmit(egress, &batch); };
  const uint32_t wire_mtu = ctx_->path->interfaces[egress].wire->mtu();
  order_.Begin(egress);
  for (const OutboundItem& item : items) {
    if (item.egress != egress) continue;
    if (batch.full()) send();
    order_.Reach(item.departure_run, send);
    const DropReason reason = Verdict(item);
    if (reason == DropReason::kNone) {
      if (recorded_ && item.chain.size == 0) {
        ctx_->record.Clear(*item.packet, CaptureDirection::kOutbound);
      }
      Send(item, wire_mtu, &batch);
    } else {
      Refuse(item, reason);
    }
  }
  order_.End(send);
}

// A packet of a protected flow leaves only if every transform has sealed it, except that the egress
// device may do the last one. This check trusts the status from earlier steps; the seal guard at
// the wire (step 10) checks the bytes.
DropReason OutboundDeparture::Verdict(const OutboundItem& item) const {
  if (item.verdict != DropReason::kNone) return item.verdict;
  if (item.chain.size == 0) {
    return item.packet->enclosed() ? DropReason::kOutGuard : DropReason::kNone;
  }
  const OffloadStatus status = item.packet->offload.status;
  const bool by_device =
      (status == OffloadStatus::kSealRequested || status == OffloadStatus::kProtectRequested) &&
      ctx_->path->interfaces[item.egress].offload != nullptr;
  const bool sealed = status == OffloadStatus::kSealed;
  return item.round == item.chain.size && (sealed || by_device) ? DropReason::kNone
                                                                : DropReason::kOutGuard;
}

void OutboundDeparture::Refuse(const OutboundItem& item, DropReason reason) {
  const OutboundSa* sa = nullptr;
  if (item.chain.size > 0) {
    const uint32_t last = item.chain.size - 1u;
    sa = item.chain.sas[item.round < last ? item.round : last];
  }
  RefuseOutbound(ctx_, item.egress, sa, reason, item.packet);
}

// Sends one packet: whole, or in fragments if it exceeds the path MTU and its DF bit allows it (RFC
// 4303 section 3.3.4).
void OutboundDeparture::Send(const OutboundItem& item, uint32_t wire_mtu, PacketBatch* batch) {
  Packet* packet = item.packet;
  const uint32_t mtu = std::min(wire_mtu, item.path_mtu);
  const uint32_t length = packet->length - packet->l3_offset;
  if (length <= mtu) {
    batch->Push(packet);
    return;
  }
  const auto view = ParseIpPacket(packet->l3());
  // A packet with DF, or an IPv6 fragment in clear, is left for the port or a router to refuse.
  const bool cut = view.has_value() && packet->gso_type == GsoType::kNone &&
                   (view->flow.family == IpFamily::kV6 ? item.chain.size > 0 || !view->fragment
                                                       : !view->dont_fragment);
  if (!cut) {
    batch->Push(packet);
    return;
  }
  const auto emit = [&](Packet* fragment) {
    if (batch->full()) Transmit(item.egress, batch);
    batch->Push(fragment);
  };
  (void)FragmentPacket(packet, *view, mtu, fragment_id_++, &ctx_->sink, emit);  // counted there
}

void OutboundDeparture::Transmit(uint8_t egress, PacketBatch* batch) {
  if (batch->empty()) return;
  ctx_->path->interfaces[egress].wire->Transmit(ctx_->number, batch, &ctx_->sink);
}

}  // namespace cygnet
