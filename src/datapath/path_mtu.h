// Path MTU of an SA: parses the ICMP errors that routers send about our outer packets, and stores
// the MTU that they report (RFC 1191, RFC 8201; RFC 4301 sections 6 and 8.2).
//
// ICMP errors are not authenticated, so they are trusted as little as possible (RFC 4301 section
// 6.1.1). Only "packet too big" has an effect, and only if it quotes the addresses and the SPI of
// one of our outbound SAs: an attacker off the path has to guess the 32 bits of the SPI. A router
// that quotes only eight bytes of ESP in UDP does not include the SPI. Then addresses and ports
// suffice, at most ten times a second. A forged error does limited harm: the MTU only shrinks,
// stays at or above the family's floor, and returns to the wire's after ten minutes. Other errors
// (unreachable, …) change nothing. The ICMP packet itself is always handled as a packet in clear:
// policy decides whether the host receives it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "net/flow_key.h"
#include "sa/sa.h"

namespace cygnet {

// Smallest IPv4 path MTU, in bytes of IP packet: Linux's min_pmtu (RFC 1191 allows 68, which would
// help a forger). A smaller reported MTU counts as this value. For IPv6 the smallest is
// kMinIpv6Mtu; a smaller reported MTU is ignored (RFC 8201 section 4).
inline constexpr uint32_t kMinPathMtuV4 = 552;
// How long a learnt MTU is valid (RFC 1191 section 6.3, RFC 8201 section 5.3).
inline constexpr uint64_t kPathMtuSeconds = 600;

// An ICMP error that quotes a packet of ESP, bare or in UDP.
struct OuterError {
  enum class Kind : uint8_t { kPacketTooBig, kUnreachable };
  Kind kind = Kind::kUnreachable;
  uint8_t code = 0;  // of the ICMP message
  IpFamily family = IpFamily::kUnspec;
  IpAddress saddr;  // of the quoted packet: ours
  IpAddress daddr;
  std::optional<uint32_t> spi;  // host order; nullopt if the quotation ends before it
  bool udp_encapsulated = false;
  uint16_t sport = 0;  // host order, with UDP encapsulation
  uint16_t dport = 0;
  // kPacketTooBig: the reported MTU; from a router too old to report one, the RFC 1191 plateau. Not
  // checked against any bound.
  uint32_t mtu = 0;
};

// `ip` describes `l3`, which came in clear from the wire. Returns a value only for ICMPv4 type 3
// and ICMPv6 types 1 and 2 with a correct checksum that quote protocol 50 or UDP that may carry ESP
// (without the non-ESP marker, if the quotation reaches that far). Returns nullopt for fragments of
// ICMP.
std::optional<OuterError> ParseOuterIcmp(const IpPacketView& ip, std::span<const uint8_t> l3);

// Returns whether the quoted packet belongs to this SA: same addresses, SPI, and with UDP
// encapsulation the same ports. An error that does not quote the SPI is about all SAs with its
// addresses and ports. Any thread.
bool IsAbout(const OuterError& error, const OutboundSa& sa);

// Stores `mtu` until now + kPathMtuSeconds. `wire_mtu`: the MTU of the wire; `now`: wall-clock
// seconds. Returns true if the SA's path MTU shrank. REQUIRES: the error IsAbout() this SA. Any
// worker; if two call it at once, one of the two values is kept.
bool LearnPathMtu(OutboundSa* sa, uint32_t mtu, uint32_t wire_mtu, uint64_t now);

// The MTU of the path to the peer, in bytes of IP packet: the learnt MTU while it is valid, and
// never more than `wire_mtu`.
inline uint32_t EffectivePathMtu(const OutboundSa& sa, uint32_t wire_mtu, uint64_t now) {
  const uint32_t learnt = sa.path_mtu.load(std::memory_order_relaxed);
  if (learnt == 0 || learnt >= wire_mtu) return wire_mtu;
  const uint64_t until = sa.path_mtu_until.load(std::memory_order_relaxed);
  // An end further ahead than kPathMtuSeconds means that the wall clock was set back.
  const bool holds = now < until && until - now <= kPathMtuSeconds;
  return holds ? learnt : wire_mtu;
}

// The learnt MTU while it is valid, else 0. For reports.
inline uint32_t LearntPathMtu(const OutboundSa& sa, uint64_t now) {
  constexpr uint32_t kAny = ~uint32_t{0};
  const uint32_t mtu = EffectivePathMtu(sa, kAny, now);
  return mtu == kAny ? 0 : mtu;
}

}  // namespace cygnet
