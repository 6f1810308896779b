#include "esp/beet.h"

#include <cstring>

#include "base/endian.h"
#include "esp/framing.h"
#include "esp/size.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet::esp {
namespace {

constexpr uint32_t kPseudoHeader = 4;  // the fixed part
constexpr uint8_t kOptionNop = 1;
constexpr uint16_t kDontFragment = 0x4000;

// The fields that one IP header passes to the other, whatever their families.
struct Fields {
  uint8_t protocol = 0;  // of what follows the header
  uint8_t tos = 0;
  uint8_t ttl = 0;
  uint16_t id = 0;          // 0 from IPv6
  uint16_t fragment = 0;    // DF or nothing; DF from IPv6
  uint32_t flow_label = 0;  // 0 from IPv4
};

Fields ReadFields(const uint8_t* ip) {
  if (ip[0] >> 4 == 4) {
    return {.protocol = ip[9],
            .tos = ip[1],
            .ttl = ip[8],
            .id = LoadBe16(ip + 4),
            .fragment = static_cast<uint16_t>(LoadBe16(ip + 6) & kDontFragment)};
  }
  const uint32_t first = LoadBe32(ip);
  return {.protocol = ip[6],
          .tos = static_cast<uint8_t>(first >> 20),
          .ttl = ip[7],
          .fragment = kDontFragment,
          .flow_label = first & 0xfffff};
}

// Writes a header without addresses. `options`: bytes of IPv4 options already in place after it.
void WriteFields(const Fields& f, IpFamily family, uint32_t total, uint32_t options, uint8_t* ip) {
  if (family == IpFamily::kV4) {
    ip[0] = static_cast<uint8_t>(0x45 + options / 4);
    ip[1] = f.tos;
    StoreBe16(ip + 2, static_cast<uint16_t>(total));
    StoreBe16(ip + 4, f.id);
    StoreBe16(ip + 6, f.fragment);
    ip[8] = f.ttl;
    ip[9] = f.protocol;
    return;
  }
  StoreBe32(ip, 0x60000000u | uint32_t{f.tos} << 20 | f.flow_label);
  StoreBe16(ip + 4, static_cast<uint16_t>(total - kIpv6Header));
  ip[6] = f.protocol;
  ip[7] = f.ttl;
}

// Copies the addresses from the SA's header template.
void WriteOuterAddresses(const OutboundSa& sa, uint8_t* ip) {
  const uint32_t at = sa.family == IpFamily::kV4 ? 12 : 8;
  const uint32_t bytes = sa.family == IpFamily::kV4 ? 8 : 32;
  std::memcpy(ip + at, sa.header.data() + at, bytes);
  if (sa.family == IpFamily::kV4) WriteIpv4HeaderChecksum(ip);
}

void WriteInnerAddresses(const BeetInner& inner, uint8_t* ip) {
  if (inner.family == IpFamily::kV4) {
    std::memcpy(ip + 12, inner.saddr.bytes.data(), 4);
    std::memcpy(ip + 16, inner.daddr.bytes.data(), 4);
    WriteIpv4HeaderChecksum(ip);
    return;
  }
  std::memcpy(ip + 8, inner.saddr.bytes.data(), 16);
  std::memcpy(ip + 24, inner.daddr.bytes.data(), 16);
}

// Writes the pseudo-header in front of the options, which stay in place.
void WritePseudoHeader(uint8_t protocol, uint32_t options, uint8_t* out) {
  const uint32_t padding = BeetPseudoHeader(options) - kPseudoHeader;
  out[0] = protocol;
  out[1] = static_cast<uint8_t>(options / 8);
  out[2] = static_cast<uint8_t>(padding);
  out[3] = 0;
  std::memset(out + kPseudoHeader, kOptionNop, padding);
}

struct PseudoHeader {
  uint8_t protocol = 0;
  uint32_t skip = 0;     // bytes before the options
  uint32_t options = 0;  // bytes of options
};

// False if the lengths do not fit each other, the payload, or an IPv4 header.
bool ReadPseudoHeader(std::span<const uint8_t> payload, PseudoHeader* out) {
  if (payload.size() < kPseudoHeader) return false;
  const uint32_t length = (payload[1] + 1u) * 8;
  out->protocol = payload[0];
  out->skip = kPseudoHeader + payload[2];
  if (length > payload.size() || out->skip > length) return false;
  out->options = length - out->skip;
  return out->options % 4 == 0 && out->options <= kMaxIpv4Options;
}

}  // namespace

DropReason EncapsulateBeet(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                           uint32_t path_mtu, Packet* packet) {
  const bool v4 = ip.flow.family == IpFamily::kV4;
  if (ip.flow.family != sa.inner_family || (v4 && ip.fragment)) return DropReason::kOutModeError;
  const uint32_t inner_header = IpHeaderOf(ip.flow.family);
  const uint32_t outer_header = IpHeaderOf(sa.family);
  const uint32_t options = v4 ? ip.ip_header_length - kIpv4Header : 0;
  const uint32_t front = FrontLength(sa) + BeetPseudoHeader(options);
  Fields fields = ReadFields(packet->l3().data());
  const uint8_t protocol = fields.protocol;
  AppendTrailer(sa, ProtectedLength(sa, ip), 0, options > 0 ? kProtoBeetPh : protocol, packet);
  MoveFront(packet->l3_offset, static_cast<int32_t>(front) - static_cast<int32_t>(inner_header),
            packet);
  uint8_t* outer = packet->data() + packet->l3_offset;
  const uint32_t total = packet->length - packet->l3_offset;
  // The sender has already fragmented it or cannot make it smaller. Fragments need an
  // identification.
  const bool may_be_cut = !ip.dont_fragment || (!MustNotBeCut(ip) && total > path_mtu);
  if (!v4 && may_be_cut) {
    fields.fragment = 0;
    fields.id = FreshId(sa, seq);
  }
  if (options > 0) WritePseudoHeader(protocol, options, outer + FrontLength(sa));
  fields.protocol = sa.layout.udp != 0 ? kProtoUdp : kProtoEsp;
  WriteFields(fields, sa.family, total, 0, outer);
  WriteOuterAddresses(sa, outer);
  WriteEspHeader(sa, seq, total - outer_header - sa.layout.udp, outer + outer_header);
  packet->offload.esp_offset =
      static_cast<uint16_t>(packet->l3_offset + outer_header + sa.layout.udp);
  WriteEtherType(sa.family, packet);
  return DropReason::kNone;
}

DropReason DecapsulateBeet(const InboundSa& sa, uint32_t payload_at, const Trailer& trailer,
                           Packet* packet) {
  const IpFamily family = sa.beet->family;
  Fields fields = ReadFields(packet->l3().data());
  PseudoHeader pseudo{.protocol = trailer.next_header};
  if (family == IpFamily::kV4 && trailer.next_header == kProtoBeetPh &&
      !ReadPseudoHeader(packet->l3().subspan(payload_at, trailer.payload_length), &pseudo)) {
    return DropReason::kInModeMismatch;
  }
  fields.protocol = pseudo.protocol;
  const uint32_t header = IpHeaderOf(family);
  const uint32_t total = header + trailer.payload_length - pseudo.skip;
  if (total > 0xffff) return DropReason::kInModeMismatch;
  const int32_t growth =
      static_cast<int32_t>(header) - static_cast<int32_t>(payload_at + pseudo.skip);
  if (growth > 0 && packet->headroom() < static_cast<uint32_t>(growth)) {
    return DropReason::kNoBuffers;
  }
  packet->TrimTo(packet->l3_offset + payload_at + trailer.payload_length);
  MoveFront(packet->l3_offset, growth, packet);
  uint8_t* ip = packet->data() + packet->l3_offset;
  WriteFields(fields, family, total, pseudo.options, ip);
  WriteInnerAddresses(*sa.beet, ip);
  WriteEtherType(family, packet);
  return DropReason::kNone;
}

}  // namespace cygnet::esp
