// The part of InboundPipeline that reassembles fragments, and cuts them again for other hosts.
#include "datapath/came_by.h"
#include "datapath/fragment.h"
#include "datapath/inbound_pipeline.h"
#include "net/ip_protocol.h"

namespace cygnet {

// Reassembly comes before ESP (RFC 4303 section 3.4.1) and before policy (RFC 4301 section 7): a
// later fragment shows no ports, and policy must check what the host will receive. Fragments that
// came in clear wait in reassembler_. Opened fragments wait in DataPath::opened_fragments, so that
// the two kinds are never joined.
InboundPipeline::Outcome InboundPipeline::Reassemble(InboundItem* item) {
  const FlowKey& flow = item->view.flow;
  const bool esp =
      flow.proto == kProtoEsp && ctx_->path->host_addresses().Contains(flow.daddr, flow.family);
  if (!esp && ctx_->path->PolicyIdle()) return Outcome::kKept;
  if (!esp && item->packet->offload.status != OffloadStatus::kNone) {
    return Drop(*item, DropReason::kInDeviceStale);  // no device opens those
  }
  // Pieces of an ESP packet may come over several wires, because its ICV proves that they belong
  // together. Only with IPv4: a later IPv6 fragment does not name ESP.
  const bool any_wire = esp && flow.family == IpFamily::kV4;
  Packet* whole = reassembler_.Add(item->packet, item->view, ctx_->now_ms,
                                   any_wire ? 0 : CameBy(item->packet->interface, {}));
  return TakeJoined(whole, reassembler_.last_cut(), item);
}

// An opened fragment is joined only with fragments that the same SAs opened.
InboundPipeline::Outcome InboundPipeline::ReassembleOpened(InboundItem* item) {
  Packet* packet = item->packet;
  Reassembler::Cut cut;
  Packet* whole =
      ctx_->path->opened_fragments.Add(&ctx_->sink, packet, item->view, ctx_->now_ms,
                                       CameBy(packet->interface, item->path.all()), &cut);
  return TakeJoined(whole, cut, item);
}

// `whole`: from the reassembler; nullptr if it kept or dropped the fragment.
InboundPipeline::Outcome InboundPipeline::TakeJoined(Packet* whole, const Reassembler::Cut& cut,
                                                     InboundItem* item) {
  if (whole == nullptr) return Outcome::kWaits;
  item->packet = whole;
  CYGNET_CHECK(ParseIpPacket(whole->l3(), &item->view));  // guaranteed by the reassembler
  item->joined = true;
  item->cut = cut;
  return Outcome::kKept;
}

// True for a packet that was reassembled only for policy and is for another host.
bool InboundPipeline::IsPassingBy(const InboundItem& item) const {
  return item.cut.largest != 0 && item.view.total_length > item.cut.largest &&
         !ctx_->path->host_addresses().Contains(item.view.flow.daddr, item.view.flow.family);
}

// Cuts the packet to its former fragment size, because an IPv6 router may not cut it again and a
// bridge cannot.
void InboundPipeline::DeliverInPieces(const InboundItem& item, Port* host, PacketBatch* batch) {
  const auto emit = [&](Packet* fragment) {
    if (batch->full()) host->Transmit(ctx_->number, batch, &ctx_->sink);
    batch->Push(fragment);
  };
  (void)FragmentPacket(item.packet, item.view, item.cut.largest, item.cut.id, &ctx_->sink, emit);
}

}  // namespace cygnet
