#include "net/flow_key.h"

#include <cstring>

#include "base/endian.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr int kMaxExtensionHeaders = 8;

bool HasPorts(uint8_t proto) {
  return proto == kProtoTcp || proto == kProtoUdp || proto == kProtoSctp || proto == kProtoDccp ||
         proto == kProtoUdpLite;
}

// Selector ports of the upper-layer header (reference: the kernel's xfrm flow decoding).
void ReadPorts(std::span<const uint8_t> upper, FlowKey* flow) {
  if (HasPorts(flow->proto) && upper.size() >= 4) {
    flow->sport = LoadBe16(upper.data());
    flow->dport = LoadBe16(upper.data() + 2);
  } else if ((flow->proto == kProtoIcmp || flow->proto == kProtoIcmpv6) && upper.size() >= 2) {
    flow->sport = upper[0];
    flow->dport = upper[1];
  } else if (flow->proto == kProtoMobility && upper.size() >= 3) {
    flow->sport = upper[2];
  }
}

std::optional<IpPacketView> ParseV4(std::span<const uint8_t> b) {
  if (b.size() < 20) {
    return std::nullopt;
  }
  IpPacketView v;
  v.ip_header_length = static_cast<uint8_t>((b[0] & 0x0f) * 4);
  v.total_length = LoadBe16(b.data() + 2);
  if (v.ip_header_length < 20 || v.total_length < v.ip_header_length || v.total_length > b.size()) {
    return std::nullopt;
  }
  v.header_length = v.ip_header_length;
  v.tos = b[1];
  v.has_options = v.ip_header_length > 20;
  const uint16_t frag = LoadBe16(b.data() + 6);
  v.dont_fragment = (frag & 0x4000) != 0;
  v.fragment = (frag & 0x3fff) != 0;
  v.later_fragment = (frag & 0x1fff) != 0;
  v.flow.family = IpFamily::kV4;
  v.flow.proto = b[9];
  v.flow.saddr = IpAddress::V4(b.data() + 12);
  v.flow.daddr = IpAddress::V4(b.data() + 16);
  if (!v.later_fragment) {
    ReadPorts(b.subspan(v.header_length, v.total_length - v.header_length), &v.flow);
  }
  return v;
}

std::optional<IpPacketView> ParseV6(std::span<const uint8_t> b) {
  if (b.size() < 40) {
    return std::nullopt;
  }
  IpPacketView v;
  v.ip_header_length = 40;
  v.total_length = 40u + LoadBe16(b.data() + 4);
  if (v.total_length > b.size()) {
    return std::nullopt;
  }
  v.tos = static_cast<uint8_t>((b[0] << 4) | (b[1] >> 4));
  v.dont_fragment = true;
  v.flow.family = IpFamily::kV6;
  v.flow.saddr = IpAddress::V6(b.data() + 8);
  v.flow.daddr = IpAddress::V6(b.data() + 24);

  uint32_t offset = 40;
  uint32_t next_offset = 6;  // where the byte naming the header at `offset` lies
  uint8_t next = b[6];
  bool per_hop = true;  // still among headers that ESP in transport mode leaves outside
  for (int i = 0;; ++i) {
    const bool options = next == kProtoHopByHop || next == kProtoRouting || next == kProtoDestOpts;
    if (!options && next != kProtoFragment) {
      break;
    }
    if (i == kMaxExtensionHeaders || v.total_length - offset < 8) {
      return std::nullopt;
    }
    v.has_options = true;
    if (next == kProtoFragment) {
      const uint16_t frag = LoadBe16(b.data() + offset + 2);
      v.fragment = true;
      v.later_fragment = (frag & 0xfff8) != 0;
      per_hop = false;
      next_offset = offset;
      next = b[offset];
      offset += 8;
      if (v.later_fragment) {
        break;
      }
      continue;
    }
    const uint32_t length = (uint32_t{b[offset + 1]} + 1) * 8;
    if (length > v.total_length - offset) {
      return std::nullopt;
    }
    // Destination options before a routing header travel with it; a last one may stay outside too
    // (RFC 4303, section 3.1.1): hop-by-hop, routing and destination options precede ESP.
    next_offset = offset;
    next = b[offset];
    offset += length;
    if (per_hop) {
      v.esp_offset_v6 = offset;
      v.esp_nexthdr_offset_v6 = next_offset;
    }
  }
  v.flow.proto = next;
  v.header_length = offset;
  if (!v.later_fragment) {
    ReadPorts(b.subspan(offset, v.total_length - offset), &v.flow);
  }
  return v;
}

}  // namespace

uint64_t FlowKey::Hash() const {
  uint64_t w[5];
  static_assert(sizeof(w) == sizeof(FlowKey));
  std::memcpy(w, this, sizeof(w));
  uint64_t h = 0x9E3779B97F4A7C15u;
  for (const uint64_t word : w) {
    h = (h ^ word) * 0xC2B2AE3D27D4EB4Fu;
    h ^= h >> 32;
  }
  return h;
}

std::optional<IpPacketView> ParseIpPacket(std::span<const uint8_t> bytes) {
  if (bytes.empty()) {
    return std::nullopt;
  }
  switch (bytes[0] >> 4) {
    case 4:
      return ParseV4(bytes);
    case 6:
      return ParseV6(bytes);
    default:
      return std::nullopt;
  }
}

}  // namespace cygnet
