// FlowKey: what of a packet decides its policy: addresses, protocol, ports. Built from outside
// bytes.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>

#include "net/address.h"

namespace cygnet {

struct FlowKey {
  IpAddress saddr;
  IpAddress daddr;
  uint16_t sport = 0;  // host order; ICMP: the type; later fragments: 0
  uint16_t dport = 0;  // host order; ICMP: the code
  IpFamily family = IpFamily::kUnspec;
  uint8_t proto = 0;
  uint8_t zero = 0;  // keeps the object free of padding, so that it can be compared as words

  bool operator==(const FlowKey&) const = default;
  uint64_t Hash() const;
  FlowKey Reversed() const {
    FlowKey r = *this;
    r.saddr = daddr;
    r.daddr = saddr;
    r.sport = dport;
    r.dport = sport;
    return r;
  }
};
static_assert(sizeof(FlowKey) == 40);

// An IP packet whose headers were checked against the bytes that are there.
struct IpPacketView {
  FlowKey flow;
  uint32_t header_length = 0;  // to the first byte after the IP header and its extension headers
  uint32_t total_length = 0;   // as the header says; ≤ the bytes there (Ethernet may pad)
  // IPv6 transport mode, outbound: where ESP goes, and the offset of the byte that names what
  // follows there (RFC 4303, section 3.1.1; which headers stay outside: ParseIpPacket).
  uint32_t esp_offset_v6 = 40;
  uint32_t esp_nexthdr_offset_v6 = 6;
  uint32_t proto_offset = 9;     // of the byte that names flow.proto
  uint8_t ip_header_length = 0;  // IPv4: ihl·4; IPv6: 40
  uint8_t tos = 0;               // IPv4 TOS, IPv6 traffic class
  bool has_options = false;      // IPv4 options or IPv6 extension headers
  bool fragment = false;         // any fragment of a larger packet
  bool later_fragment = false;   // a fragment that does not hold the upper-layer header
  bool dont_fragment = false;    // IPv4 DF; always true for IPv6
};

// Parses the IPv4 or IPv6 packet that starts at bytes[0] (version nibble decides). nullopt when a
// length does not fit, the version is unknown or an IPv6 header chain is malformed or too long
// (more than 8 headers, or hop-by-hop options that are not the first: RFC 8200, section 4.1).
//
// Outside of ESP stay, as in Linux (ip6_find_1stfragopt): hop-by-hop options, routing headers, and
// destination options that no routing header precedes, or that hold a home address (RFC 6275,
// section 6.3: they concern the way, not the end). Destination options behind a routing header are
// for the last destination alone and travel inside.
std::optional<IpPacketView> ParseIpPacket(std::span<const uint8_t> bytes);

}  // namespace cygnet
