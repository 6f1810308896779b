#include "datapath/inside_exit.h"

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

void InsideExit::Look(const DataPath& path, const Packet& packet, const FlowKey& flow) {
  way_ = Way::kHost;
  const InsideScope scope = ScopeOf(path, packet);
  if (scope == kNoInsideScope) return;
  host_ = path.inside.FindHost({scope, {flow.daddr, flow.family}});
  if (host_ == nullptr) {
    if (path.host_addresses().Contains(flow.daddr, flow.family)) return;
    way_ = Way::kUnknown;
    flow_ = flow;
    return;
  }
  to_ = path.inside.at(host_->inside);
  const bool of_device = packet.tunnel != 0 || to_->device == packet.interface;
  const bool open = of_device && to_->port->link_up() && IsRoutedSource(flow) &&
                    !path.host_addresses().Contains(flow.saddr, flow.family);
  way_ = open ? Way::kOpen : Way::kBarred;
}

bool InsideExit::Leave(WorkerContext* ctx, uint32_t length, bool plain, Packet* packet) const {
  if (way_ == Way::kHost) return false;
  DataPath& path = *ctx->path;
  if (way_ == Way::kUnknown) {
    ctx->ReportInsideMiss(flow_, flow_.daddr, *packet);
    return false;
  }
  const bool leaves = way_ == Way::kOpen && plain && HopLimit(packet->l3().data()) > 1 &&
                      length <= host_->mtu && length <= to_->port->mtu() &&
                      length <= to_->mtu.load(std::memory_order_relaxed);
  if (!leaves) {
    path.inside.CountMiss();
    return false;
  }
  host_->use.Touch();
  packet->SetInside(to_->number);
  if (Tunnel* tunnel = path.tunnels.at(static_cast<uint16_t>(packet->tunnel))) {
    tunnel->to_inside.Count(length);
  }
  packet->TrimTo(packet->l3_offset + length);
  WriteInsideFrame(*to_, host_->next_hop, packet);
  return true;
}

void SendInside(WorkerContext* ctx, InsideInterface* to, PacketBatch* batch) {
  uint64_t bytes = 0;
  for (const Packet* packet : batch->packets()) bytes += packet->length;
  to->counters.out_packets.fetch_add(batch->size(), std::memory_order_relaxed);
  to->counters.out_bytes.fetch_add(bytes, std::memory_order_relaxed);
  to->port->Transmit(ctx->number, batch, &ctx->sink);
}

}  // namespace cygnet
