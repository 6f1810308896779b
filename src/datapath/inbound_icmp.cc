// The part of InboundPipeline that learns from the wire: path MTUs from ICMP errors about this
// host's outer packets, and mappings of NATs.
#include "datapath/inbound_pipeline.h"
#include "net/ip_protocol.h"

namespace cygnet {

// path_mtu.h says how far ICMP errors are trusted.
void InboundPipeline::LearnFromIcmp(const InboundItem& item) {
  const auto error = ParseOuterIcmp(item.view, item.packet->l3());
  if (!error || error->kind != OuterError::Kind::kPacketTooBig) return;
  if (!error->spi.has_value()) return ReportShortQuote(item, *error);
  const Sa* found =
      ctx_->path->sad.LookupInbound(Spi(*error->spi), error->daddr, error->family, kProtoEsp);
  OutboundSa* sa = found == nullptr ? nullptr : found->outbound();
  if (sa == nullptr || !IsAbout(*error, *sa)) return;
  const uint32_t wire_mtu = ctx_->path->interfaces[item.packet->interface].wire->mtu();
  (void)LearnPathMtu(sa, error->mtu, wire_mtu, ctx_->now);  // nothing depends on the result
}

// RFC 792 lets a router quote only eight bytes; for ESP in UDP those are the UDP header, without
// the SPI. Control finds the SAs that use those ports.
void InboundPipeline::ReportShortQuote(const InboundItem& item, const OuterError& error) {
  constexpr uint64_t kPauseMs = 100;
  if (!error.udp_encapsulated || ctx_->now_ms < next_short_quote_ms_) return;
  next_short_quote_ms_ = ctx_->now_ms + kPauseMs;
  FlowKey quoted;
  quoted.saddr = error.saddr;
  quoted.daddr = error.daddr;
  quoted.sport = error.sport;
  quoted.dport = error.dport;
  quoted.family = error.family;
  quoted.proto = kProtoUdp;
  ctx_->Report({.kind = DataPathEvent::Kind::kShortQuote,
                .interface = item.packet->interface,
                .flow = quoted,
                .mtu = error.mtu});
}

// The peer's NAT may have assigned it a new address or port. Key management decides what to do (RFC
// 3947, RFC 4555). The packet itself is valid.
void InboundPipeline::ReportMapping(const InboundSa& sa, const InboundItem& item) {
  const FlowKey& flow = item.view.flow;
  const uint16_t port = sa.peer_port.load(std::memory_order_relaxed);
  if ((port == 0 || port == flow.sport) && flow.saddr == sa.sa->spec().saddr) return;
  ctx_->Report({.kind = DataPathEvent::Kind::kMapping,
                .interface = item.packet->interface,
                .sa_number = sa.sa->number,
                .flow = flow});
}

}  // namespace cygnet
