// FlowKey: the fields of a packet that policy depends on: addresses, protocol, ports, built from
// outside bytes, and the tunnel interface that it belongs to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "base/endian.h"
#include "base/hash_seed.h"
#include "net/address.h"
#include "net/ip_protocol.h"

namespace cygnet {

struct FlowKey {
  IpAddress saddr;
  IpAddress daddr;
  uint16_t sport = 0;  // host order; ICMP: the type; GRE: key, upper half; later fragments: 0
  uint16_t dport = 0;  // host order; ICMP: the code; GRE: key, lower half
  IpFamily family = IpFamily::kUnspec;
  uint8_t proto = 0;
  uint8_t zero = 0;  // no padding, so that the object can be compared as words
  // Of the tunnel interface that the packet left or came in by; 0: none. A parser leaves both 0.
  uint32_t if_id = 0;
  uint32_t mark = 0;

  // For IPv4; addresses in wire order. It stores whole words, because hashing and comparing read
  // whole words: a wide load would stall on narrower stores before it.
  void SetV4(uint32_t saddr_raw, uint32_t daddr_raw, uint8_t proto_number, uint16_t source_port,
             uint16_t dest_port) {
    SetWord(0, saddr_raw);
    SetWord(1, 0);
    SetWord(2, daddr_raw);
    SetWord(3, 0);
    SetWord(4, uint64_t{source_port} | uint64_t{dest_port} << 16 |
                   uint64_t{static_cast<uint16_t>(IpFamily::kV4)} << 32 |
                   uint64_t{proto_number} << 48);
    SetWord(5, 0);
  }
  // As a whole word, for the same reason.
  void SetTunnel(uint32_t id, uint32_t tunnel_mark) {
    SetWord(5, uint64_t{id} | uint64_t{tunnel_mark} << 32);
  }

  bool of_tunnel() const { return Word(5) != 0; }
  bool operator==(const FlowKey& other) const {
    return ((Word(0) ^ other.Word(0)) | (Word(1) ^ other.Word(1)) | (Word(2) ^ other.Word(2)) |
            (Word(3) ^ other.Word(3)) | (Word(4) ^ other.Word(4)) | (Word(5) ^ other.Word(5))) == 0;
  }
  uint64_t Hash() const {
    const auto& seed = kHashSeed.words;
    const uint64_t addresses = FoldedMultiply(Word(0) ^ seed[0], Word(2) ^ seed[1]) ^
                               FoldedMultiply(Word(1) ^ seed[2], Word(3) ^ seed[3]);
    return FoldedMultiply(addresses ^ Word(4), seed[4] ^ Word(0) ^ Word(5));
  }
  FlowKey Reversed() const {
    FlowKey r = *this;
    r.saddr = daddr;
    r.daddr = saddr;
    r.sport = dport;
    r.dport = sport;
    return r;
  }

 private:
  uint64_t Word(std::size_t i) const {
    uint64_t w;
    std::memcpy(&w, reinterpret_cast<const uint8_t*>(this) + i * 8, 8);
    return w;
  }
  void SetWord(std::size_t i, uint64_t w) {
    std::memcpy(reinterpret_cast<uint8_t*>(this) + i * 8, &w, 8);
  }
};
static_assert(sizeof(FlowKey) == 48 && offsetof(FlowKey, if_id) == 40 &&
              offsetof(FlowKey, sport) == 32 && offsetof(FlowKey, family) == 36 &&
              offsetof(FlowKey, proto) == 38);

// An IP packet whose headers were checked against the bytes present.
struct IpPacketView {
  FlowKey flow;
  uint32_t header_length = 0;  // to the first byte after the IP header and its extension headers
  uint32_t total_length = 0;   // from the header; ≤ the bytes present (Ethernet may pad)
  // IPv6 transport mode, outbound: where ESP is inserted, and the offset of the next-header byte in
  // front of it (RFC 4303, section 3.1.1; ParseIpPacket says which headers stay outside).
  uint32_t esp_offset_v6 = 40;
  uint32_t esp_nexthdr_offset_v6 = 6;
  uint32_t proto_offset = 9;     // of the byte that holds flow.proto
  uint8_t ip_header_length = 0;  // IPv4: ihl·4; IPv6: 40
  uint8_t tos = 0;               // IPv4 TOS, IPv6 traffic class
  bool has_options = false;      // IPv4 options or IPv6 extension headers
  bool fragment = false;         // any fragment of a larger packet
  bool later_fragment = false;   // a fragment without the upper-layer header
  bool dont_fragment = false;    // IPv4 DF; always true for IPv6
};

// Parses the IPv4 or IPv6 packet that starts at bytes[0] (the version nibble decides). nullopt if a
// length does not fit, the version is unknown, or an IPv6 header chain is malformed or too long
// (more than 8 headers, or hop-by-hop options that are not first: RFC 8200, section 4.1).
//
// As in Linux (ip6_find_1stfragopt), these headers stay outside ESP: hop-by-hop options, routing
// headers, and destination options that precede every routing header or hold a home address (RFC
// 6275, section 6.3: they concern the route, not the destination). Other destination options after
// a routing header are for the final destination only and travel inside.
std::optional<IpPacketView> ParseIpPacket(std::span<const uint8_t> bytes);

// Same, for loops over many packets: fills `view`, which is valid only if true is returned.
inline bool ParseIpPacket(std::span<const uint8_t> bytes, IpPacketView* view);

// Length of the IPv4 packet without options that starts at bytes[0] and is not a fragment, at least
// 24; 0 if there is anything else or not all of it.
inline uint32_t PlainV4Length(std::span<const uint8_t> bytes) {
  const uint8_t* b = bytes.data();
  if (bytes.size() < 24 || b[0] != 0x45 || (LoadBe16(b + 6) & 0x3fff) != 0) return 0;
  const uint32_t total = LoadBe16(b + 2);
  return total < 24 || total > bytes.size() ? 0 : total;
}

// What tells the flows of such packets apart, as it lies in the packet. Cheaper to read and to
// compare than a FlowKey.
struct PlainFlow {
  uint64_t addresses = 0;
  uint32_t ports = 0;
  uint8_t proto = 0;

  PlainFlow() = default;
  // `ip`: of TCP or UDP, PlainV4Length is not 0.
  explicit PlainFlow(const uint8_t* ip) : proto(ip[9]) {
    std::memcpy(&addresses, ip + 12, sizeof(addresses));
    std::memcpy(&ports, ip + 20, sizeof(ports));
  }
  bool operator==(const PlainFlow& other) const {
    return ((addresses ^ other.addresses) | (ports ^ other.ports) |
            static_cast<uint32_t>(proto ^ other.proto)) == 0;
  }
  // As ParseIpPacket returns it.
  void WriteTo(FlowKey* key) const {
    key->SetV4(static_cast<uint32_t>(addresses), static_cast<uint32_t>(addresses >> 32), proto,
               ByteSwap(static_cast<uint16_t>(ports)),
               ByteSwap(static_cast<uint16_t>(ports >> 16)));
  }
  FlowKey Key() const {
    FlowKey key;
    WriteTo(&key);
    return key;
  }
};

// --- Implementation ---

// General parser, for any packet.
bool ParseIpPacketSlowly(std::span<const uint8_t> bytes, IpPacketView* view);

inline bool ParseIpPacket(std::span<const uint8_t> bytes, IpPacketView* view) {
  // Fast path: of a protocol that needs no closer look. This is almost all traffic.
  const uint8_t* b = bytes.data();
  const uint32_t total = PlainV4Length(bytes);
  const bool plain = total != 0 && (b[9] == kProtoTcp || b[9] == kProtoUdp || b[9] == kProtoEsp);
  if (!plain) return ParseIpPacketSlowly(bytes, view);
  // Field by field: copying a view made elsewhere would stall on its stores.
  view->header_length = 20;
  view->total_length = total;
  view->esp_offset_v6 = 40;
  view->esp_nexthdr_offset_v6 = 6;
  view->proto_offset = 9;
  view->ip_header_length = 20;
  view->tos = b[1];
  view->has_options = false;
  view->fragment = false;
  view->later_fragment = false;
  view->dont_fragment = (b[6] & 0x40) != 0;
  uint32_t saddr;
  uint32_t daddr;
  std::memcpy(&saddr, b + 12, 4);
  std::memcpy(&daddr, b + 16, 4);
  const bool ports = b[9] != kProtoEsp;
  view->flow.SetV4(saddr, daddr, b[9], ports ? LoadBe16(b + 20) : uint16_t{0},
                   ports ? LoadBe16(b + 22) : uint16_t{0});
  return true;
}

}  // namespace cygnet
