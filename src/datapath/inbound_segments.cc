// The part of InboundPipeline that cuts super-packets of the wire. One in clear passes whole to the
// host. Datagrams that may have ESP in them are cut first: each has an SPI and a number of its own.
#include <algorithm>

#include "datapath/inbound_pipeline.h"
#include "device/segment.h"
#include "net/ip_protocol.h"

namespace cygnet {

void InboundPipeline::AdmitArrived(Packet* packet) {
  if (packet->gso_type == GsoType::kUdp && AdmitSegments(packet)) return;
  if (items_.full()) Finish();
  Admit(packet);
}

// False: it need not be cut. Its first datagram alone does not tell what the others are, so its
// port decides.
bool InboundPipeline::AdmitSegments(Packet* packet) {
  IpPacketView ip;
  const Frame frame = ParseFrame(packet->bytes(), &ip);
  if (frame.kind != FrameKind::kIp || ip.fragment || ip.flow.proto != kProtoUdp) return false;
  const auto ports = ctx_->path->encap_ports();
  if (!std::binary_search(ports.begin(), ports.end(), ip.flow.dport)) return false;
  packet->l3_offset = frame.type.l3_offset;
  Segmenter segmenter;
  if (!segmenter.Begin(*packet, ip, Segmenter::Sum::kLeftToHost)) {
    ctx_->sink.Drop(packet, DropReason::kPortBadFrame);
    return true;
  }
  while (!segmenter.Done()) {
    Packet* segment = segmenter.Next(&ctx_->caches, &ip);
    if (segment == nullptr) {
      ctx_->sink.Drop(packet, DropReason::kNoBuffers);
      return true;
    }
    if (items_.full()) Finish();
    Admit(segment);
  }
  ctx_->sink.Recycle(packet);
  return true;
}

}  // namespace cygnet
