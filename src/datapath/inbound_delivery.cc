// The part of InboundPipeline that hands packets to the host: by the interface in front of the
// wire, or by a tunnel interface.
#include "datapath/inbound_pipeline.h"
#include "net/ip_protocol.h"

namespace cygnet {

// The packet comes in by the tunnel interface of the innermost SA that has one (kernel: xfrm_input
// calls xfrmi_rcv_cb for each SA).
DropReason InboundPipeline::EnterTunnel(InboundItem* item) {
  uint16_t number = 0;
  for (const Sa* sa : item->path.all()) {
    const uint16_t of_sa = sa->tunnel.load(std::memory_order_relaxed);
    if (of_sa != 0) number = of_sa;
  }
  if (number == 0) return DropReason::kNone;
  const Tunnel* tunnel = ctx_->path->tunnels.at(number);
  if (tunnel == nullptr) return DropReason::kInNoTunnel;
  item->packet->SetTunnel(number);
  item->view.flow.SetTunnel(tunnel->identity.if_id, tunnel->identity.mark);
  return DropReason::kNone;
}

// Drops the packets that a step refused. The others leave by their interface, in order.
void InboundPipeline::Deliver() {
  const bool recorded = ctx_->record.on();
  bool tunnels = false;
  for (InboundItem& item : items_.all()) {
    if (item.packet == nullptr) continue;
    if (item.verdict != DropReason::kNone) {
      item.recorded ? ctx_->sink.DropSeen(item.packet, item.verdict)
                    : ctx_->sink.Drop(item.packet, item.verdict);
      item.packet = nullptr;
      continue;
    }
    tunnels = tunnels || item.packet->tunnel != 0;
    if (recorded && item.path.size == 0) {
      ctx_->record.Clear(*item.packet, CaptureDirection::kInbound);
    }
  }
  if (tunnels) DeliverToTunnels();
  for (std::size_t to = 0; to < ctx_->path->interfaces.size() && !items_.empty(); ++to) {
    DeliverTo(ctx_->path->interfaces[to].host,
              [to](const Packet& packet) { return packet.interface == to; });
  }
  items_.Clear();
}

void InboundPipeline::DeliverToTunnels() {
  for (InboundItem& item : items_.all()) {
    if (item.packet == nullptr || item.packet->tunnel == 0) continue;
    const auto number = static_cast<uint16_t>(item.packet->tunnel);
    Tunnel* tunnel = ctx_->path->tunnels.at(number);
    if (tunnel == nullptr) {
      ctx_->sink.Drop(item.packet, DropReason::kInNoTunnel);
      item.packet = nullptr;
      continue;
    }
    DeliverTo(tunnel->port.get(),
              [number](const Packet& packet) { return packet.tunnel == number; });
  }
}

template <typename Belongs>
void InboundPipeline::DeliverTo(Port* host, Belongs belongs) {
  PacketBatch batch;
  uint32_t tcp = 0;
  for (InboundItem& item : items_.all()) {
    if (item.packet == nullptr || !belongs(*item.packet)) continue;
    if (IsPassingBy(item)) {
      DeliverInPieces(item, host, &batch);
    } else {
      if (batch.full()) host->Transmit(ctx_->number, &batch, &ctx_->sink);
      batch.Push(item.packet);
      tcp += item.view.flow.proto == kProtoTcp;
    }
    item.packet = nullptr;  // it has left the batch
  }
  if (batch.empty()) return;
  if (tcp > 1) coalescer_.Run(&batch, &ctx_->sink);
  host->Transmit(ctx_->number, &batch, &ctx_->sink);
}

}  // namespace cygnet
