// The part of InboundPipeline where the straight and the general way part, and where the general
// way takes over.
#include "datapath/inbound_pipeline.h"

namespace cygnet {

// What the straight way has taken goes on, after all that came before it, or goes the general way
// if it is too little. The same for each part of it once it is open.
void InboundPipeline::GoStraight() {
  if (straight_.size() == 0) return;
  const uint32_t least = ctx_->path->straight_from;
  if (straight_.size() < least) {
    straight_.GiveBack([this](Packet* packet) { AdmitArrived(packet); });
    return;
  }
  Finish();
  straight_.Open();
  for (uint32_t at = 0; at < straight_.size();) {
    const InboundStraight::Part part = straight_.PartFrom(at);
    if (part.straight && part.end - part.begin >= least) {
      PacketBatch to_host;
      PacketBatch inside;
      const uint32_t tcp = straight_.Complete(part, &to_host, &inside);
      Transmit(ctx_->path->interfaces[straight_.interface()].host, tcp, &to_host);
      SendAllInside(&inside);
    } else {
      TakeOver(part);
    }
    at = part.end;
  }
  straight_.Clear();
}

// One batch for each inside interface.
void InboundPipeline::SendAllInside(PacketBatch* batch) {
  while (!batch->empty()) {
    const uint8_t number = (*batch)[0]->inside;
    PacketBatch same;
    batch->Partition([number](const Packet* packet) { return packet->inside == number; }, &same);
    SendInside(ctx_, ctx_->path->inside.at(number), &same);
  }
}

// Goes on where OpenRound is after the cryptography. REQUIRES: the batch is empty.
void InboundPipeline::TakeOver(const InboundStraight::Part& part) {
  for (uint32_t i = part.begin; i < part.end; ++i) {
    const InboundStraight::Opened opened = straight_.At(i);
    InboundItem* item = items_.Claim();
    item->Begin(opened.packet);
    CYGNET_CHECK(ParseIpPacket(opened.packet->l3(), &item->view));  // it was parsed before
    item->esp = ClassifyWirePacket(item->view, opened.packet->l3(), ctx_->path->encap_ports());
    item->sa = opened.sa;
    item->binding = opened.binding;
    item->seq = opened.seq;
    item->verdict = opened.verdict;
    items_.Commit();
  }
  ForEachRun(
      items_.all(), [](const InboundItem* item) { return item->sa; },
      [this](uint16_t, std::span<InboundItem> run) { HoldOver(run); });
  CompleteRound();
  Finish();
}

}  // namespace cygnet
