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

// The key of a GRE header; 0: it has none, or it is of a kind that the kernel does not look into
// (__skb_flow_dissect_gre: routing, versions above 1, a version 1 that is not PPTP's, RFC 2637).
uint32_t GreKey(std::span<const uint8_t> gre) {
  constexpr uint16_t kChecksum = 0x8000, kRouting = 0x4000, kKey = 0x2000, kVersion = 0x7;
  constexpr uint16_t kPpp = 0x880b;
  if (gre.size() < 4) return 0;
  const uint16_t flags = LoadBe16(gre.data());
  const uint16_t version = flags & kVersion;
  const std::size_t at = (flags & kChecksum) != 0 ? 8 : 4;
  if ((flags & kKey) == 0 || (flags & kRouting) != 0 || gre.size() < at + 4) return 0;
  if (version > 1 || (version == 1 && LoadBe16(gre.data() + 2) != kPpp)) return 0;
  const uint32_t key = LoadBe32(gre.data() + at);
  return version == 0 ? key : key & 0xffff;  // PPTP: above it is the length
}

// Selector ports of the upper-layer header (same rules as the kernel's xfrm flow decoding).
void ReadPorts(std::span<const uint8_t> upper, FlowKey* flow) {
  if (HasPorts(flow->proto) && upper.size() >= 4) {
    flow->sport = LoadBe16(upper.data());
    flow->dport = LoadBe16(upper.data() + 2);
  } else if ((flow->proto == kProtoIcmp || flow->proto == kProtoIcmpv6) && upper.size() >= 2) {
    flow->sport = upper[0];
    flow->dport = upper[1];
  } else if (flow->proto == kProtoMobility && upper.size() >= 3) {
    flow->sport = upper[2];
  } else if (flow->proto == kProtoGre) {
    const uint32_t key = GreKey(upper);
    flow->sport = static_cast<uint16_t>(key >> 16);
    flow->dport = static_cast<uint16_t>(key);
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

// True if the destination options hold a home address (RFC 6275, section 6.3). `options` is the
// whole header; the search ends at an option that does not fit.
bool HasHomeAddress(std::span<const uint8_t> options) {
  constexpr uint8_t kPad1 = 0;
  constexpr uint8_t kHomeAddress = 201;
  for (std::size_t at = 2; at < options.size();) {
    if (options[at] == kHomeAddress) return true;
    if (options[at] == kPad1) {
      ++at;
    } else if (at + 1 < options.size()) {
      at += 2u + options[at + 1];
    } else {
      return false;
    }
  }
  return false;
}

// State of the walk over an IPv6 header chain.
struct ChainWalk {
  std::span<const uint8_t> packet;
  uint32_t offset = 40;  // of the header of type `next`
  uint8_t next = 0;
  bool outside = true;  // still among the headers that transport mode leaves outside ESP
  bool routing_seen = false;
};

// Steps over the fragment header at the walk's offset. REQUIRES: its 8 bytes are there.
void StepFragment(ChainWalk* walk, IpPacketView* v) {
  const uint8_t* header = walk->packet.data() + walk->offset;
  v->fragment = true;
  v->later_fragment = (LoadBe16(header + 2) & 0xfff8) != 0;
  v->proto_offset = walk->offset;
  walk->outside = false;
  walk->next = header[0];
  walk->offset += 8;
}

// Steps over hop-by-hop options, a routing header or destination options. False if the header is
// longer than the packet.
bool StepOptions(ChainWalk* walk, IpPacketView* v) {
  const std::span<const uint8_t> rest = walk->packet.subspan(walk->offset);
  const uint32_t length = (uint32_t{rest[1]} + 1) * 8;
  if (length > rest.size()) return false;
  if (walk->next == kProtoRouting) walk->routing_seen = true;
  if (walk->outside && walk->next == kProtoDestOpts && walk->routing_seen &&
      !HasHomeAddress(rest.first(length))) {
    walk->outside = false;
  }
  v->proto_offset = walk->offset;
  walk->next = rest[0];
  walk->offset += length;
  if (walk->outside) {
    v->esp_offset_v6 = walk->offset;
    v->esp_nexthdr_offset_v6 = v->proto_offset;
  }
  return true;
}

// Fills in `v` from the IPv6 header chain; false if the chain is malformed.
bool WalkV6Chain(std::span<const uint8_t> packet, IpPacketView* v) {
  ChainWalk walk{.packet = packet, .next = packet[6]};
  v->proto_offset = 6;
  for (int i = 0; !v->later_fragment; ++i) {
    const bool options =
        walk.next == kProtoHopByHop || walk.next == kProtoRouting || walk.next == kProtoDestOpts;
    if (!options && walk.next != kProtoFragment) break;
    if (i == kMaxExtensionHeaders || packet.size() - walk.offset < 8) return false;
    if (walk.next == kProtoHopByHop && i > 0) return false;
    v->has_options = true;
    if (walk.next == kProtoFragment) {
      StepFragment(&walk, v);
    } else if (!StepOptions(&walk, v)) {
      return false;
    }
  }
  v->flow.proto = walk.next;
  v->header_length = walk.offset;
  return true;
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

  if (!WalkV6Chain(b.first(v.total_length), &v)) {
    return std::nullopt;
  }
  if (!v.later_fragment) {
    ReadPorts(b.subspan(v.header_length, v.total_length - v.header_length), &v.flow);
  }
  return v;
}

}  // namespace

bool ParseIpPacketSlowly(std::span<const uint8_t> bytes, IpPacketView* view) {
  const auto parsed = ParseIpPacket(bytes);
  if (parsed) *view = *parsed;
  return parsed.has_value();
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
