// The part of InboundPipeline that hands packets on: to the host, by the interface in front of the
// wire or by a tunnel interface, or to a host behind an inside interface.
#include "datapath/inbound_pipeline.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// A router passes on no packet whose source has no meaning behind it.
bool IsRoutedSource(const FlowKey& flow) {
  const auto& bytes = flow.saddr.bytes;
  const bool link_local =
      flow.family == IpFamily::kV6 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
  return IsOneHost(flow.saddr, flow.family) && !link_local;
}

}  // namespace

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

// Looks for the host that a packet is for behind the inside interfaces of its device, and names the
// interface in the packet. What needs more than a router's usual work goes by the host: the kernel
// cuts it, or tells its sender why it cannot. REQUIRES: policy let it pass.
bool InboundPipeline::LeavesInside(const InboundItem& item) {
  if (item.path.size == 0) return false;  // it came in clear
  Packet* packet = item.packet;
  const IpPacketView& ip = item.view;
  const FlowKey& flow = ip.flow;
  const InsideScope scope = ScopeOf(*ctx_->path, *packet);
  if (scope == kNoInsideScope) return false;
  InsideHost* host = ctx_->path->inside.FindHost({scope, {flow.daddr, flow.family}});
  if (host == nullptr) {
    if (!ctx_->path->host_addresses().Contains(flow.daddr, flow.family)) {
      ctx_->ReportInsideMiss(flow, flow.daddr, *packet);
    }
    return false;
  }
  const InsideInterface* to = ctx_->path->inside.at(host->inside);
  const bool plain = !ip.fragment && !ip.has_options && !item.joined &&
                     HopLimit(packet->l3().data()) > 1 && IsRoutedSource(flow) &&
                     !ctx_->path->host_addresses().Contains(flow.saddr, flow.family);
  const bool fits = ip.total_length <= host->mtu && ip.total_length <= to->port->mtu() &&
                    ip.total_length <= to->mtu.load(std::memory_order_relaxed);
  const bool of_device = packet->tunnel != 0 || to->device == packet->interface;
  if (!plain || !fits || !of_device || !to->port->link_up()) {
    ctx_->path->inside.CountMiss();
    return false;
  }
  host->use.Touch();
  packet->SetInside(to->number);
  if (Tunnel* tunnel = ctx_->path->tunnels.at(static_cast<uint16_t>(packet->tunnel))) {
    tunnel->to_inside.Count(ip.total_length);
  }
  packet->TrimTo(packet->l3_offset + ip.total_length);
  WriteInsideFrame(*to, host->next_hop, packet);
  return true;
}

// Sends the packets that LeavesInside has prepared for this interface.
void InboundPipeline::DeliverInside(InsideInterface* to, std::span<InboundItem> items) {
  PacketBatch batch;
  uint64_t bytes = 0;
  for (InboundItem& item : items) {
    if (item.packet == nullptr || item.packet->inside != to->number) continue;
    bytes += item.packet->length;
    batch.Push(item.packet);
    item.packet = nullptr;  // it has left the batch
  }
  to->counters.out_packets.fetch_add(batch.size(), std::memory_order_relaxed);
  to->counters.out_bytes.fetch_add(bytes, std::memory_order_relaxed);
  to->port->Transmit(ctx_->number, &batch, &ctx_->sink);
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
