#include "datapath/outbound_pipeline.h"

namespace cygnet {

void OutboundPipeline::Run(uint8_t interface, PacketBatch* in) {
  RunFrom(interface, 0, in->packets());
  in->ReleaseAll();
}

// `inside`: the inside interface that all packets are from; 0: from the host.
void OutboundPipeline::RunFrom(uint8_t interface, uint8_t inside,
                               std::span<Packet* const> packets) {
  if (warm_up_.due()) {
    warm_up_.Outbound(*ctx_, interface, packets, admission_.decider(), straight_.flows());
  }
  admission_.BeginBatch();
  straight_.Begin(interface, inside, static_cast<uint32_t>(packets.size()));
  for (Packet* packet : packets) packet->interface = interface;
  for (std::span<Packet* const> left = packets; !left.empty();) {
    left = left.subspan(straight_.Take(left));
    GoStraight();
    if (left.empty()) break;
    admission_.AdmitNext(left.front());
    left = left.subspan(1);
  }
  admission_.EndBatch();
  warm_up_.EndBatch(*ctx_->path);
}

// The one place where the two ways part: what the straight way has taken goes on, after all that
// came before it, or goes the general way if it is too little.
void OutboundPipeline::GoStraight() {
  if (straight_.size() == 0) return;
  if (straight_.size() >= ctx_->path->straight_from) {
    transform_.Flush();
    straight_.Send();
  } else {
    straight_.GiveBack([this](Packet* packet) { admission_.AdmitNext(packet); });
  }
}

void OutboundPipeline::RunTunnel(const Tunnel& tunnel, PacketBatch* in) {
  for (Packet* packet : in->packets()) packet->SetTunnel(tunnel.number);
  Run(tunnel.identity.device, in);
}

void OutboundPipeline::RunInside(const Port* port, PacketBatch* in) {
  PacketBatch known;  // frames of VLANs that have an interface
  for (Packet* packet : in->packets()) {
    const InsideInterface* from = ctx_->path->inside.Of(port, TakeVlan(packet));
    if (from == nullptr) {
      ctx_->sink.Drop(packet, DropReason::kOutInsideSource);
      continue;
    }
    packet->SetInside(from->number);
    known.Push(packet);
  }
  in->ReleaseAll();
  for (std::span<Packet* const> left = known.packets(); !left.empty();) {
    InsideInterface* from = ctx_->path->inside.at(left[0]->inside);
    std::size_t n = 0;
    uint64_t bytes = 0;
    for (; n < left.size() && left[n]->inside == from->number; ++n) bytes += left[n]->length;
    from->counters.in_packets.fetch_add(n, std::memory_order_relaxed);
    from->counters.in_bytes.fetch_add(bytes, std::memory_order_relaxed);
    RunFrom(from->device, from->number, left.first(n));
    left = left.subspan(n);
  }
  known.ReleaseAll();
}

void OutboundPipeline::RunInjected(PacketBatch* in) {
  for (Packet* packet : in->packets()) {
    packet->protection = Protection::kControl;
    transform_.Add(packet, IpPacketView{}, SaChain{});
  }
  in->ReleaseAll();
  transform_.Flush();
}

void OutboundPipeline::RunReturned(uint8_t interface, PacketBatch* in) {
  PacketBatch returned;
  in->Partition(
      [](const Packet* packet) {
        return packet->offload.status == OffloadStatus::kReturned ||
               packet->offload.status == OffloadStatus::kReturnedClear;
      },
      &returned);
  if (returned.empty()) return;
  PacketBatch clear;
  returned.Partition(
      [](const Packet* packet) { return packet->offload.status == OffloadStatus::kReturnedClear; },
      &clear);
  if (!returned.empty()) transform_.SealReturned(interface, &returned);
  if (!clear.empty()) admission_.AdmitAgain(interface, &clear);
}

}  // namespace cygnet
