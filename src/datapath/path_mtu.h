// Path MTU of an SA: reads the ICMP errors that routers send about our outer packets, and remembers
// the MTU they tell (RFC 1191, RFC 8201; RFC 4301 sections 6 and 8.2).
//
// An ICMP error is not authenticated, so it is believed as little as works (RFC 4301 section
// 6.1.1). Only "packet too big" is acted upon, and only when it quotes the addresses and the SPI of
// an outbound SA of ours: who is not on the path has to guess the 32 bits of the SPI. Of ESP in UDP
// a router that quotes eight bytes does not reach the SPI: addresses and ports have to do, ten
// times a second at most. The harm of one that is believed is bounded: an MTU only ever shrinks,
// not below the family's floor, and returns to the wire's after ten minutes. Other errors
// (unreachable, …) change nothing. In either case the ICMP packet itself goes on as a packet in
// clear does: policy decides whether the host sees it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "net/flow_key.h"
#include "sa/sa.h"

namespace cygnet {

// The least IPv4 path MTU that is believed, bytes of IP packet: Linux's min_pmtu (RFC 1191 allows
// 68, which would suit a forger). Less counts as this. The least of IPv6 is kMinIpv6Mtu; less is
// ignored (RFC 8201 section 4).
inline constexpr uint32_t kMinPathMtuV4 = 552;
// How long a learnt MTU holds (RFC 1191 section 6.3, RFC 8201 section 5.3).
inline constexpr uint64_t kPathMtuSeconds = 600;

// An ICMP error that quotes a packet of ESP, bare or in UDP.
struct OuterError {
  enum class Kind : uint8_t { kPacketTooBig, kUnreachable };
  Kind kind = Kind::kUnreachable;
  uint8_t code = 0;  // of the ICMP message
  IpFamily family = IpFamily::kUnspec;
  IpAddress saddr;  // of the quoted packet: ours
  IpAddress daddr;
  std::optional<uint32_t> spi;  // host order; nullopt when the quotation ends before it
  bool udp_encapsulated = false;
  uint16_t sport = 0;  // host order, with UDP encapsulation
  uint16_t dport = 0;
  uint32_t mtu = 0;  // kPacketTooBig: as told, or from the plateaus of RFC 1191 by a router that is
                     // too old to tell; not checked against any bound
};

// `ip` describes `l3`, which came in clear from the wire. nullopt for everything but ICMPv4 type 3
// and ICMPv6 types 1 and 2 with a right checksum that quote protocol 50, or UDP that may be ESP
// (quoted far enough: not the non-ESP marker). Fragments of ICMP are nothing.
std::optional<OuterError> ParseOuterIcmp(const IpPacketView& ip, std::span<const uint8_t> l3);

// Is the quoted packet one of this SA's: addresses, SPI, and with UDP encapsulation the ports? An
// error that does not quote the SPI is about all SAs of its addresses and ports. Any thread.
bool IsAbout(const OuterError& error, const OutboundSa& sa);

// Remembers `mtu` until now + kPathMtuSeconds. `wire_mtu`: what the wire carries; `now`: wall-clock
// seconds. True when the SA's path MTU shrank. REQUIRES: the error IsAbout() this SA. Any worker;
// when two learn at once, one of the two values stays.
bool LearnPathMtu(OutboundSa* sa, uint32_t mtu, uint32_t wire_mtu, uint64_t now);

// What the way to the peer carries, bytes of IP packet: what was learnt while it holds, and never
// more than `wire_mtu`.
uint32_t EffectivePathMtu(const OutboundSa& sa, uint32_t wire_mtu, uint64_t now);

// What was learnt and still holds; 0 = nothing. For people.
inline uint32_t LearntPathMtu(const OutboundSa& sa, uint64_t now) {
  constexpr uint32_t kAny = ~uint32_t{0};
  const uint32_t mtu = EffectivePathMtu(sa, kAny, now);
  return mtu == kAny ? 0 : mtu;
}

}  // namespace cygnet
