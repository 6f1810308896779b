#include "esp/decapsulate.h"

#include "base/endian.h"
#include "esp/beet.h"
#include "esp/framing.h"
#include "net/checksum.h"
#include "net/esp_view.h"
#include "net/ip_protocol.h"

namespace cygnet::esp {
namespace {

constexpr uint8_t kEcnMask = 0x03;
constexpr uint8_t kEcnCe = 0x03;

uint8_t InnerTos(uint8_t* ip) {
  return ip[0] >> 4 == 4 ? ip[1] : static_cast<uint8_t>(ip[0] << 4 | ip[1] >> 4);
}

void SetTos(uint8_t tos, uint8_t* ip) {
  if (ip[0] >> 4 == 4) {
    ip[1] = tos;
    WriteIpv4HeaderChecksum(ip);
  } else {
    ip[0] = static_cast<uint8_t>(0x60 | tos >> 4);
    ip[1] = static_cast<uint8_t>(tos << 4 | (ip[1] & 0x0f));
  }
}

DropReason DecapsulateTunnel(const InboundSa& sa, const IpPacketView& outer, uint32_t payload_at,
                             const Trailer& trailer, Packet* packet) {
  const bool v4 = trailer.next_header == kProtoIpip;
  if (!v4 && trailer.next_header != kProtoIpv6) return DropReason::kInModeMismatch;
  uint8_t* inner = packet->data() + packet->l3_offset + payload_at;
  const uint32_t minimum = v4 ? 20 : 40;
  if (trailer.payload_length < minimum || inner[0] >> 4 != (v4 ? 4 : 6)) {
    return DropReason::kInModeMismatch;
  }
  if (v4 && ((inner[0] & 0x0f) < 5 || (inner[0] & 0x0fu) * 4u > trailer.payload_length)) {
    return DropReason::kInModeMismatch;
  }
  // Bytes after the inner packet are TFC padding (RFC 4303, section 2.7); the inner length decides.
  const uint32_t length = v4 ? LoadBe16(inner + 2) : 40u + LoadBe16(inner + 4);
  if (length > trailer.payload_length || length < minimum) return DropReason::kInModeMismatch;
  StripTunnel(sa, outer.tos, payload_at, length, v4 ? IpFamily::kV4 : IpFamily::kV6, packet);
  return DropReason::kNone;
}

DropReason DecapsulateTransport(const InboundSa& sa, const IpPacketView& outer, uint32_t esp_offset,
                                uint32_t payload_at, const Trailer& trailer, Packet* packet) {
  const uint32_t keep = esp_offset - sa.layout.udp;  // IP header and headers that stay outside
  packet->TrimTo(packet->l3_offset + payload_at + trailer.payload_length);
  MoveFront(packet->l3_offset + keep, static_cast<int32_t>(keep) - static_cast<int32_t>(payload_at),
            packet);
  uint8_t* ip = packet->data() + packet->l3_offset;
  const uint32_t total = packet->length - packet->l3_offset;
  ip[outer.proto_offset] = trailer.next_header;  // the byte that named ESP or UDP
  if (outer.flow.family == IpFamily::kV4) {
    StoreBe16(ip + 2, static_cast<uint16_t>(total));
    WriteIpv4HeaderChecksum(ip);
  } else {
    StoreBe16(ip + 4, static_cast<uint16_t>(total - 40));
  }
  return DropReason::kNone;
}

}  // namespace

// DSCP is copied only if requested. Congestion experienced on the path is passed to an ECN-capable
// inner packet. (RFC 6040 section 4.2 would drop CE outside of not-ECT. The kernel delivers it, and
// so does this function: a silent loss would be the worse surprise.)
void PropagateTos(const InboundSa& sa, uint8_t outer_tos, uint8_t* inner) {
  const uint8_t before = InnerTos(inner);
  uint8_t tos = before;
  if ((sa.flags & kSaFlagDecapDscp) != 0) {
    tos = static_cast<uint8_t>((outer_tos & ~kEcnMask) | (tos & kEcnMask));
  }
  if ((sa.flags & kSaFlagNoEcn) == 0 && (outer_tos & kEcnMask) == kEcnCe) {
    if ((tos & kEcnMask) != 0) tos = static_cast<uint8_t>(tos | kEcnCe);
  }
  if (tos != before) SetTos(tos, inner);
}

DropReason Decapsulate(const InboundSa& sa, const IpPacketView& outer, uint32_t esp_offset,
                       const Trailer& trailer, Packet* packet) {
  const uint32_t payload_at = esp_offset + kEspHeader + sa.layout.iv;
  switch (sa.mode) {
    case SaMode::kTunnel:
      return DecapsulateTunnel(sa, outer, payload_at, trailer, packet);
    case SaMode::kBeet:
      return DecapsulateBeet(sa, payload_at, trailer, packet);
    default:
      return DecapsulateTransport(sa, outer, esp_offset, payload_at, trailer, packet);
  }
}

}  // namespace cygnet::esp
