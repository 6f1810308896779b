// The part of OutboundAdmission about where packets came from: those of inside interfaces enter
// here (datapath/inside.h), and errors go back to the senders of packets.
#include "datapath/icmp_error.h"
#include "datapath/outbound_admission.h"
#include "datapath/outbound_steps.h"
#include "net/checksum.h"

namespace cygnet {

// What a router checks in a packet, and the host's route: it goes by the device, or into a tunnel.
DropReason OutboundAdmission::EnterFromInside(Packet* packet, const IpPacketView& ip) {
  const std::span<const uint8_t> l3 = packet->l3();
  if (ip.fragment || ip.has_options || HopLimit(l3.data()) <= 1) return DropReason::kOutBadPacket;
  if (ip.flow.family == IpFamily::kV4 && Checksum(l3.first(ip.ip_header_length)) != 0) {
    return DropReason::kOutBadPacket;
  }
  DataPath& path = *ctx_->path;
  uint16_t number = 0;
  const DropReason reason = RouteFromInside(path, packet->inside, ip.flow, &number);
  if (reason == DropReason::kOutInsideSource) return reason;
  const bool again = packet->tunnel != 0;  // it has waited
  packet->SetTunnel(0);
  packet->interface = path.inside.at(packet->inside)->device;
  if (reason != DropReason::kNone || number == 0) return reason;
  Tunnel* const tunnel = path.tunnels.at(number);
  if (tunnel == nullptr) return DropReason::kPortDown;
  packet->SetTunnel(tunnel->number);
  packet->interface = tunnel->identity.device;
  if (!again) tunnel->from_inside.Count(ip.total_length);
  return DropReason::kNone;
}

// A host whose packets the kernel forwards to here may be behind an inside interface.
void OutboundAdmission::NoteSource(const Packet& packet, const IpPacketView& ip,
                                   const SaChain& chain) {
  DataPath& path = *ctx_->path;
  if (path.inside.empty() || packet.inside != 0 || chain.size == 0) return;
  if (!IsUnknownSource(path, ScopeOf(path, packet), ip.flow)) return;
  ctx_->ReportInsideMiss(ip.flow, ip.flow.saddr, packet);
}

// The answer of the kernel's tunnel interfaces to every packet that is not protected (xfrmi_xmit2,
// vti_xmit: dst_link_failure).
void OutboundAdmission::AnswerUnreachable(const Packet& packet, const IpPacketView& ip) {
  if (to_host_.full() || !MayAnswerWithError(packet, ip)) return;
  if (!icmp_limiter_.Allow(ctx_->now_ms)) return;
  const IpAddress own = OwnAddress(packet, ip);
  Packet* answer = MakeUnreachable(packet, ip, &ctx_->caches.small, own.IsAny() ? nullptr : &own);
  if (answer != nullptr) to_host_.Push(answer);
}

void OutboundAdmission::NotifySender(const Packet& packet, const IpPacketView& ip, uint32_t mtu) {
  if (to_host_.full() || !MayAnswerWithError(packet, ip)) return;
  if (!icmp_limiter_.Allow(ctx_->now_ms)) return;
  const IpAddress own = OwnAddress(packet, ip);
  Packet* answer =
      MakePacketTooBig(packet, ip, mtu, &ctx_->caches.small, own.IsAny() ? nullptr : &own);
  if (answer != nullptr) to_host_.Push(answer);
}

// To a host behind an inside interface an error comes from that interface, as from any router.
IpAddress OutboundAdmission::OwnAddress(const Packet& packet, const IpPacketView& ip) const {
  const InsideInterface* inside = ctx_->path->inside.at(packet.inside);
  return inside != nullptr ? inside->Address(ip.flow.family) : IpAddress{};
}

void OutboundAdmission::AnswerToHost() {
  if (to_host_.empty()) return;
  const Packet& first = *to_host_[0];
  if (InsideInterface* inside = ctx_->path->inside.at(first.inside)) {
    for (Packet* packet : to_host_.packets()) AddVlan(*inside, packet);
    inside->port->Transmit(ctx_->number, &to_host_, &ctx_->sink);
  } else if (first.tunnel == 0) {
    ctx_->path->interfaces[first.interface].host->Transmit(ctx_->number, &to_host_, &ctx_->sink);
  } else if (Tunnel* tunnel = ctx_->path->tunnels.at(static_cast<uint16_t>(first.tunnel))) {
    tunnel->port->Transmit(ctx_->number, &to_host_, &ctx_->sink);
  } else {
    for (Packet* packet : to_host_.packets()) ctx_->sink.Recycle(packet);
    to_host_.ReleaseAll();
  }
}

}  // namespace cygnet
