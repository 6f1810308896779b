// The part of InboundPipeline that hands packets on: to the host, by the interface in front of the
// wire or by a tunnel interface, or to a host behind an inside interface.
#include "datapath/inbound_pipeline.h"
#include "net/ip_protocol.h"

namespace cygnet {
// The packet comes in by the tunnel interface of the innermost SA that has one (kernel: xfrm_input
// calls xfrmi_rcv_cb for each SA).
// REQUIRES: one has.
DropReason InboundPipeline::EnterTunnel(InboundItem* item) {
  uint16_t number = 0;
  for (const Sa* sa : item->path.all()) {
    const uint16_t of_sa = sa->tunnel.load(std::memory_order_relaxed);
    if (of_sa != 0) number = of_sa;
  }
  const Tunnel* tunnel = ctx_->path->tunnels.at(number);
  if (tunnel == nullptr) return DropReason::kInNoTunnel;
  item->packet->SetTunnel(number);
  item->view.flow.SetTunnel(tunnel->identity.if_id, tunnel->identity.mark_in);
  return DropReason::kNone;
}

// In order, by the interface in front of the wire that each came by; packets of tunnels last.
void InboundPipeline::Deliver() {
  const bool recorded = ctx_->record.on();
  const bool inside = !ctx_->path->inside.empty();
  bool tunnels = false;  // or inside interfaces
  for (std::size_t to = 0; to < ctx_->path->interfaces.size() && !items_.empty(); ++to) {
    Port* host = ctx_->path->interfaces[to].host;
    PacketBatch batch;
    uint32_t tcp = 0;
    for (InboundItem& item : items_.all()) {
      if (item.packet == nullptr || item.packet->interface != to) continue;
      if (item.verdict != DropReason::kNone) {
        DropRefused(&item);
      } else if ((inside && LeavesInside(item)) || item.packet->tunnel != 0) {
        tunnels = true;
      } else {
        if (recorded && item.path.size == 0) {
          ctx_->record.Clear(*item.packet, CaptureDirection::kInbound);
        }
        DeliverOne(item, host, &batch, &tcp);
        item.packet = nullptr;  // it has left the batch
      }
    }
    Transmit(host, tcp, &batch);
  }
  if (tunnels) DeliverToTunnels();
  items_.Clear();
}

void InboundPipeline::DropRefused(InboundItem* item) {
  if (item->recorded) {
    ctx_->sink.DropSeen(item->packet, item->verdict);
  } else {
    ctx_->sink.Drop(item->packet, item->verdict);
  }
  item->packet = nullptr;
}

inline void InboundPipeline::DeliverOne(const InboundItem& item, Port* host, PacketBatch* batch,
                                        uint32_t* tcp) {
  if (IsPassingBy(item)) {
    DeliverInPieces(item, host, batch);
    return;
  }
  if (batch->full()) host->Transmit(ctx_->number, batch, &ctx_->sink);
  batch->Push(item.packet);
  *tcp += item.view.flow.proto == kProtoTcp;
}

void InboundPipeline::Transmit(Port* host, uint32_t tcp, PacketBatch* batch) {
  if (batch->empty()) return;
  if (tcp > 1) coalescer_.Run(batch, &ctx_->sink);
  host->Transmit(ctx_->number, batch, &ctx_->sink);
}

// Prepares a packet for a host behind an inside interface. False: it goes by the host. REQUIRES:
// policy let it pass.
bool InboundPipeline::LeavesInside(const InboundItem& item) {
  if (item.path.size == 0) return false;  // it came in clear
  const IpPacketView& ip = item.view;
  InsideExit exit;
  exit.Look(*ctx_->path, *item.packet, ip.flow);
  const bool plain = !ip.fragment && !ip.has_options && !item.joined;
  return exit.Leave(ctx_, ip.total_length, plain, item.packet);
}

// Sends the packets that LeavesInside has prepared for this interface.
void InboundPipeline::DeliverInside(InsideInterface* to, std::span<InboundItem> items) {
  PacketBatch batch;
  for (InboundItem& item : items) {
    if (item.packet == nullptr || item.packet->inside != to->number) continue;
    batch.Push(item.packet);
    item.packet = nullptr;  // it has left the batch
  }
  SendInside(ctx_, to, &batch);
}

// One batch for each tunnel or inside interface.
void InboundPipeline::DeliverToTunnels() {
  for (InboundItem& first : items_.all()) {
    if (first.packet == nullptr || !first.packet->enclosed()) continue;
    const auto number = static_cast<uint16_t>(first.packet->tunnel);
    if (InsideInterface* to = ctx_->path->inside.at(first.packet->inside)) {
      DeliverInside(to, items_.all());
      continue;
    }
    Tunnel* tunnel = ctx_->path->tunnels.at(number);
    PacketBatch batch;
    uint32_t tcp = 0;
    for (InboundItem& item : items_.all()) {
      if (item.packet == nullptr || item.packet->tunnel != number) continue;
      if (item.packet->inside != 0) continue;  // its turn comes
      if (tunnel != nullptr) {
        DeliverOne(item, tunnel->port.get(), &batch, &tcp);
      } else {
        ctx_->sink.Drop(item.packet, DropReason::kInNoTunnel);
      }
      item.packet = nullptr;  // it has left the batch
    }
    if (tunnel != nullptr) Transmit(tunnel->port.get(), tcp, &batch);
  }
}

}  // namespace cygnet
