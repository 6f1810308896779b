#include "datapath/outbound_pipeline.h"

namespace cygnet {

void OutboundPipeline::Run(uint8_t interface, PacketBatch* in) {
  if (warm_up_.due()) {
    warm_up_.Outbound(*ctx_, interface, in->packets(), admission_.decider());
  }
  admission_.BeginBatch();
  straight_.Begin(interface, in->size());
  for (Packet* packet : in->packets()) {
    packet->interface = interface;
    if (straight_.Take(packet)) continue;
    GoStraight();
    admission_.Admit(packet);
  }
  in->ReleaseAll();
  GoStraight();
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
    straight_.GiveBack([this](Packet* packet) { admission_.Admit(packet); });
  }
}

void OutboundPipeline::RunTunnel(const Tunnel& tunnel, PacketBatch* in) {
  for (Packet* packet : in->packets()) packet->SetTunnel(tunnel.number);
  Run(tunnel.identity.device, in);
}

void OutboundPipeline::RunInside(const Port* port, PacketBatch* in) {
  admission_.BeginBatch();
  for (Packet* packet : in->packets()) {
    InsideInterface* from = ctx_->path->inside.Of(port, TakeVlan(packet));
    if (from == nullptr) {
      ctx_->sink.Drop(packet, DropReason::kOutInsideSource);
      continue;
    }
    packet->interface = from->device;
    packet->SetInside(from->number);
    from->counters.in_packets.fetch_add(1, std::memory_order_relaxed);
    from->counters.in_bytes.fetch_add(packet->length, std::memory_order_relaxed);
    admission_.AdmitNext(packet);
  }
  in->ReleaseAll();
  admission_.EndBatch();
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
