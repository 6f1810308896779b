#include "esp/encapsulate.h"

#include <cstring>

#include "base/endian.h"
#include "net/checksum.h"
#include "net/esp_view.h"
#include "net/ethernet.h"
#include "net/ip_protocol.h"

namespace cygnet::esp {
namespace {

constexpr uint32_t kTrailer = 2;  // pad length, next header
constexpr uint8_t kEcnMask = 0x03;
constexpr uint32_t kMinIpv6Mtu = 1280;

uint32_t PadFor(uint32_t payload, uint32_t align) {
  return (align - (payload + kTrailer) % align) % align;
}

// Headers that go in front of the protected payload, the IP header of transport mode not counted.
uint32_t FrontLength(const OutboundSa& sa) {
  return sa.header_length - 4u + kEspHeader + sa.layout.iv;
}

// RFC 4303 section 2.4 – 2.8: pad bytes 1, 2, 3, …, pad length, next header, room for the ICV.
void AppendTrailer(const OutboundSa& sa, uint32_t payload, uint8_t next_header, Packet* packet) {
  const uint32_t pad = PadFor(payload, sa.layout.align);
  uint8_t* out = packet->Append(pad + kTrailer + sa.layout.icv);
  for (uint32_t i = 0; i < pad; ++i) out[i] = static_cast<uint8_t>(i + 1);
  out[pad] = static_cast<uint8_t>(pad);
  out[pad + 1] = next_header;
  std::memset(out + pad + kTrailer, 0, sa.layout.icv);
}

// UDP header if any, then SPI, sequence number, IV. `out` points behind the IP header;
// `esp_length` counts from the SPI to the end of the ICV.
void WriteEspHeader(const OutboundSa& sa, uint64_t seq, uint32_t esp_length, uint8_t* out) {
  const uint8_t* tmpl = sa.header.data() + sa.header_length - 4 - sa.layout.udp;
  std::memcpy(out, tmpl, sa.layout.udp + 4u);
  if (sa.layout.udp != 0) {
    StoreBe32(out, sa.udp_ports.load(std::memory_order_relaxed));
    StoreBe16(out + 4, static_cast<uint16_t>(esp_length + 8));
  }
  uint8_t* esp = out + sa.layout.udp;
  StoreBe32(esp + 4, static_cast<uint32_t>(seq));
  // A counter mode's IV as it is; what a block mode's IV is made from (crypto/algorithm.h).
  if (sa.layout.iv >= 8) {
    StoreBe64(esp + kEspHeader, seq ^ sa.iv_mask);
    std::memset(esp + kEspHeader + 8, 0, sa.layout.iv - 8u);
  }
}

// DSCP and ECN of the outer header (RFC 4301 section 5.1.2, RFC 6040 normal mode).
uint8_t OuterTos(const OutboundSa& sa, uint8_t inner_tos) {
  uint8_t tos = sa.copy_dscp ? inner_tos : static_cast<uint8_t>(inner_tos & kEcnMask);
  if ((sa.flags & kSaFlagNoEcn) != 0) tos = static_cast<uint8_t>(tos & ~kEcnMask);
  return tos;
}

bool OuterDontFragment(const OutboundSa& sa, const IpPacketView& inner) {
  if ((sa.flags & kSaFlagNoPmtuDisc) != 0) return false;
  if (inner.flow.family == IpFamily::kV6) return inner.total_length > kMinIpv6Mtu;
  return inner.dont_fragment;
}

void WriteOuterHeader(const OutboundSa& sa, const IpPacketView& inner, const uint8_t* inner_bytes,
                      uint64_t seq, uint32_t total_length, uint8_t* out) {
  const uint8_t tos = OuterTos(sa, inner.tos);
  if (sa.family == IpFamily::kV4) {
    std::memcpy(out, sa.header.data(), 20);
    out[1] = tos;
    StoreBe16(out + 2, static_cast<uint16_t>(total_length));
    StoreBe16(out + 4, static_cast<uint16_t>(seq));  // fresh for every packet of the SA
    StoreBe16(out + 6, OuterDontFragment(sa, inner) ? 0x4000 : 0);
    WriteIpv4HeaderChecksum(out);
    return;
  }
  std::memcpy(out, sa.header.data(), 40);
  out[0] = static_cast<uint8_t>(0x60 | tos >> 4);
  out[1] = static_cast<uint8_t>(tos << 4);
  if (inner.flow.family == IpFamily::kV6) {  // RFC 6437: the flow label goes with the flow
    out[1] = static_cast<uint8_t>(out[1] | (inner_bytes[1] & 0x0f));
    out[2] = inner_bytes[2];
    out[3] = inner_bytes[3];
  }
  StoreBe16(out + 4, static_cast<uint16_t>(total_length - 40));
}

void WriteEtherType(IpFamily family, Packet* packet) {
  if (packet->l3_offset >= kEthernetHeader) {
    StoreBe16(packet->data() + packet->l3_offset - 2,
              family == IpFamily::kV4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
  }
}

// The frame grows at its front by `n` bytes between byte `keep` and what follows: the first `keep`
// bytes move down.
void OpenGap(uint32_t keep, uint32_t n, Packet* packet) {
  uint8_t* old_front = packet->data();
  std::memmove(packet->Prepend(n), old_front, keep);
}

DropReason EncapsulateTunnel(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                             Packet* packet) {
  const uint32_t front = FrontLength(sa);
  const uint8_t next_header = ip.flow.family == IpFamily::kV4 ? kProtoIpip : kProtoIpv6;
  AppendTrailer(sa, ip.total_length, next_header, packet);
  OpenGap(packet->l3_offset, front, packet);
  uint8_t* outer = packet->data() + packet->l3_offset;
  const uint32_t outer_length = packet->length - packet->l3_offset;
  const uint32_t outer_header = sa.family == IpFamily::kV4 ? 20 : 40;
  WriteOuterHeader(sa, ip, outer + front, seq, outer_length, outer);
  WriteEspHeader(sa, seq, outer_length - outer_header - sa.layout.udp, outer + outer_header);
  packet->offload.esp_offset =
      static_cast<uint16_t>(packet->l3_offset + outer_header + sa.layout.udp);
  WriteEtherType(sa.family, packet);
  return DropReason::kNone;
}

// RFC 4303 section 3.1.1: ESP goes behind the IP header (IPv6: behind the per-hop headers).
DropReason EncapsulateTransport(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                                Packet* packet) {
  if (ip.fragment) return DropReason::kOutModeError;  // transport mode is for whole datagrams
  if (ip.flow.family != sa.family) return DropReason::kOutModeError;
  const bool v4 = sa.family == IpFamily::kV4;
  const uint32_t keep = v4 ? ip.ip_header_length : ip.esp_offset_v6;
  const uint32_t proto_at = v4 ? 9 : ip.esp_nexthdr_offset_v6;
  const uint8_t next_header = packet->l3()[proto_at];
  const uint32_t front = FrontLength(sa);
  AppendTrailer(sa, ip.total_length - keep, next_header, packet);
  OpenGap(packet->l3_offset + keep, front, packet);
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

uint32_t Overhead(const OutboundSa& sa, uint32_t inner_length, uint32_t inner_header) {
  const uint32_t payload = sa.mode == SaMode::kTunnel ? inner_length : inner_length - inner_header;
  return FrontLength(sa) + PadFor(payload, sa.layout.align) + kTrailer + sa.layout.icv;
}

uint32_t InnerMtu(const OutboundSa& sa, uint32_t path_mtu, uint32_t inner_header) {
  const uint32_t outside = sa.mode == SaMode::kTunnel ? 0 : inner_header;
  const uint32_t fixed = outside + FrontLength(sa) + sa.layout.icv;
  if (path_mtu <= fixed + kTrailer) return 0;
  const uint32_t text = (path_mtu - fixed) / sa.layout.align * sa.layout.align;
  return outside + text - kTrailer;
}

DropReason Encapsulate(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                       uint32_t path_mtu, Packet* packet) {
  (void)path_mtu;
  // Ethernet may have padded the frame; what is behind the IP packet is not part of it.
  packet->TrimTo(packet->l3_offset + ip.total_length);
  const uint32_t back = 255 + kTrailer + sa.layout.icv;
  if (packet->headroom() < FrontLength(sa) || packet->tailroom() < back) {
    return DropReason::kOutNoRoom;
  }
  if (packet->length + FrontLength(sa) + back > 0xffff) return DropReason::kOutTooBig;
  packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
  return sa.mode == SaMode::kTunnel ? EncapsulateTunnel(sa, ip, seq, packet)
                                    : EncapsulateTransport(sa, ip, seq, packet);
}

}  // namespace cygnet::esp
