#include "esp/encapsulate.h"

#include <cstring>

#include "base/endian.h"
#include "esp/beet.h"
#include "esp/framing.h"
#include "esp/outer_ipv4.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet::esp {
namespace {

void WriteOuterHeader(const OutboundSa& sa, const IpPacketView& inner, const uint8_t* inner_bytes,
                      uint64_t seq, uint32_t total_length, uint8_t* out) {
  if (sa.family == IpFamily::kV4) {
    OuterIpv4(sa).Write(inner.tos, MustNotBeCut(inner), seq, total_length, out);
    return;
  }
  const uint8_t tos = OuterTos(sa).Of(inner.tos);
  std::memcpy(out, sa.header.data(), 40);
  out[0] = static_cast<uint8_t>(0x60 | tos >> 4);
  out[1] = static_cast<uint8_t>(tos << 4);
  if (inner.flow.family == IpFamily::kV6) {  // RFC 6437: the flow label stays with the flow
    out[1] = static_cast<uint8_t>(out[1] | (inner_bytes[1] & 0x0f));
    out[2] = inner_bytes[2];
    out[3] = inner_bytes[3];
  }
  StoreBe16(out + 4, static_cast<uint16_t>(total_length - 40));
}

DropReason EncapsulateTunnel(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                             uint32_t path_mtu, uint32_t front, Packet* packet) {
  const uint32_t tfc = sa.tfc_pad == 0 ? 0 : TfcPadding(sa, ip.total_length, path_mtu);
  const uint8_t next_header = ip.flow.family == IpFamily::kV4 ? kProtoIpip : kProtoIpv6;
  AppendTrailer(sa, ip.total_length, tfc, next_header, packet);
  MoveFront(packet->l3_offset, static_cast<int32_t>(front), packet);
  uint8_t* outer = packet->data() + packet->l3_offset;
  const uint32_t outer_length = packet->length - packet->l3_offset;
  const uint32_t outer_header = IpHeaderOf(sa.family);
  WriteOuterHeader(sa, ip, outer + front, seq, outer_length, outer);
  WriteEspHeader(sa, seq, outer_length - outer_header - sa.layout.udp, outer + outer_header);
  packet->offload.esp_offset =
      static_cast<uint16_t>(packet->l3_offset + outer_header + sa.layout.udp);
  WriteEtherType(sa.family, packet);
  return DropReason::kNone;
}

// RFC 4303 section 3.1.1: ESP follows the IP header and its IPv4 options; with IPv6, the headers
// that concern the route (ParseIpPacket).
DropReason EncapsulateTransport(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                                Packet* packet) {
  if (ip.fragment) return DropReason::kOutModeError;  // transport mode carries whole datagrams only
  if (ip.flow.family != sa.family) return DropReason::kOutModeError;
  const bool v4 = sa.family == IpFamily::kV4;
  const uint32_t keep = v4 ? ip.ip_header_length : ip.esp_offset_v6;
  const uint32_t proto_at = v4 ? 9 : ip.esp_nexthdr_offset_v6;
  const uint8_t next_header = packet->l3()[proto_at];
  const uint32_t front = FrontLength(sa);
  AppendTrailer(sa, ip.total_length - keep, 0, next_header, packet);
  MoveFront(packet->l3_offset + keep, static_cast<int32_t>(front), packet);
  uint8_t* header = packet->data() + packet->l3_offset;
  const uint32_t total = packet->length - packet->l3_offset;
  header[proto_at] = sa.layout.udp != 0 ? kProtoUdp : kProtoEsp;
  if (v4) {
    StoreBe16(header + 2, static_cast<uint16_t>(total));
    WriteIpv4HeaderChecksum(header);
  } else {
    StoreBe16(header + 4, static_cast<uint16_t>(total - 40));
  }
  WriteEspHeader(sa, seq, total - keep - sa.layout.udp, header + keep);
  packet->offload.esp_offset = static_cast<uint16_t>(packet->l3_offset + keep + sa.layout.udp);
  return DropReason::kNone;
}

}  // namespace

DropReason Encapsulate(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                       uint32_t path_mtu, Packet* packet) {
  // Ethernet may have padded the frame: cut what follows the IP packet.
  packet->TrimTo(packet->l3_offset + ip.total_length);
  const uint32_t back = RoomBehind(sa, ip.total_length, path_mtu);
  const uint32_t front = FrontLength(sa);
  if (packet->headroom() < front || packet->tailroom() < back) return DropReason::kOutNoRoom;
  if (packet->length + front + back > 0xffff) return DropReason::kOutTooBig;
  packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
  switch (sa.mode) {
    case SaMode::kTunnel:
      return EncapsulateTunnel(sa, ip, seq, path_mtu, front, packet);
    case SaMode::kBeet:
      return EncapsulateBeet(sa, ip, seq, path_mtu, packet);
    default:
      return EncapsulateTransport(sa, ip, seq, packet);
  }
}

}  // namespace cygnet::esp
