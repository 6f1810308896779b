// Lengths of ESP packets before they are built: overhead and what fits. All in bytes of IP packet,
// without the Ethernet header. Pure functions; any thread.
#pragma once

#include <cstdint>

#include "net/esp_view.h"
#include "net/flow_key.h"
#include "sa/sa.h"

namespace cygnet::esp {

inline constexpr uint32_t kTrailer = 2;        // pad length, next header
inline constexpr uint32_t kIpv4Header = 20;    // without options
inline constexpr uint32_t kIpv6Header = 40;    // without extension headers
inline constexpr uint32_t kBeetPhReserve = 8;  // what Linux reserves for the pseudo-header
inline constexpr uint32_t kMaxIpv4Options = 40;

inline uint32_t IpHeaderOf(IpFamily family) {
  return family == IpFamily::kV4 ? kIpv4Header : kIpv6Header;
}

// Pad bytes after `payload` that make payload, padding and trailer a multiple of `align` (RFC 4303,
// section 2.4). REQUIRES: `align` is a power of two; every EspLayout's is.
inline uint32_t PadFor(uint32_t payload, uint32_t align) {
  return (0u - (payload + kTrailer)) & (align - 1);
}

// BEET: length of the pseudo-header in front of `options` bytes of IPv4 options: 4, plus 4 of
// padding if that makes the total a multiple of 8. 0 without options.
inline uint32_t BeetPseudoHeader(uint32_t options) { return options == 0 ? 0 : 8 - (options & 4); }

// Length of the headers before the protected bytes: outer IP header (tunnel and BEET), UDP header,
// ESP header, IV. In transport mode the packet's own IP header is not included.
inline uint32_t FrontLength(const OutboundSa& sa) {
  return sa.header_length - 4u + kEspHeader + sa.layout.iv;  // the template ends with the SPI
}

// Bytes that ESP protects and that lifetimes count. Tunnel: the inner packet. Transport: everything
// after the headers that stay outside. BEET: everything after the inner IP header, including IPv4
// options and their pseudo-header. TFC padding is not included.
inline uint32_t ProtectedLength(const OutboundSa& sa, const IpPacketView& ip) {
  if (sa.mode == SaMode::kTunnel) return ip.total_length;
  const bool v4 = ip.flow.family == IpFamily::kV4;
  if (sa.mode == SaMode::kBeet) {
    const uint32_t options = v4 ? ip.ip_header_length - kIpv4Header : 0;
    return ip.total_length - IpHeaderOf(ip.flow.family) + BeetPseudoHeader(options);
  }
  return ip.total_length - (v4 ? ip.ip_header_length : ip.esp_offset_v6);
}

// TFC padding (RFC 4303, section 2.7) after the inner packet of a tunnel: up to the SA's tfc_pad,
// limited to what fits `path_mtu`. 0 in other modes.
uint32_t TfcPadding(const OutboundSa& sa, uint32_t inner_length, uint32_t path_mtu);

// Tailroom that Encapsulate requires for an IP packet of this length, with the longest possible
// padding.
inline uint32_t RoomBehind(const OutboundSa& sa, uint32_t inner_length, uint32_t path_mtu) {
  const uint32_t tfc = sa.tfc_pad == 0 ? 0 : TfcPadding(sa, inner_length, path_mtu);
  return tfc + (sa.layout.align - 1u) + kTrailer + sa.layout.icv;
}

// Length of the ESP packet for an inner packet of `inner_length` bytes, without TFC padding.
// `inner_header`: in transport mode the bytes that stay outside; in BEET mode the inner IP header
// with its IPv4 options; otherwise ignored.
uint32_t WireLength(const OutboundSa& sa, uint32_t inner_length, uint32_t inner_header);

// WireLength minus `inner_length`, modulo 2^32: BEET may shrink a packet (6-in-4).
uint32_t Overhead(const OutboundSa& sa, uint32_t inner_length, uint32_t inner_header);

// Largest inner packet whose ESP packet fits `path_mtu`; 0 if none does. In tunnel mode, and in
// transport mode if `inner_header` has no options, this equals Linux's value for the SA
// (xfrm_state_mtu). BEET mode with IPv4 inside uses Linux's value, too. It wastes a little space,
// because Linux always reserves the options' pseudo-header. 4-in-6 it may exceed the path by up to
// 4 bytes, and then the outer packet is fragmented; 4-in-4 it never exceeds what fits.
inline uint32_t InnerMtu(const OutboundSa& sa, uint32_t path_mtu, uint32_t inner_header);

// --- Implementation ---

// The largest payload that fits `space` bytes in whole blocks together with the trailer; 0 if none
// does. Blocks are powers of two (PadFor), so that no division is needed: each run asks.
inline uint32_t LargestPayload(const OutboundSa& sa, uint32_t space) {
  const uint32_t text = space & ~(sa.layout.align - 1u);
  return text > kTrailer ? text - kTrailer : 0;
}

// InnerMtu in BEET mode.
uint32_t BeetInnerMtu(const OutboundSa& sa, uint32_t path_mtu, uint32_t inner_header);

inline uint32_t InnerMtu(const OutboundSa& sa, uint32_t path_mtu, uint32_t inner_header) {
  if (sa.mode == SaMode::kBeet) return BeetInnerMtu(sa, path_mtu, inner_header);
  const uint32_t outside = sa.mode == SaMode::kTunnel ? 0 : inner_header;
  const uint32_t fixed = outside + FrontLength(sa) + sa.layout.icv;
  const uint32_t payload = LargestPayload(sa, path_mtu > fixed ? path_mtu - fixed : 0);
  return payload == 0 ? 0 : outside + payload;
}

}  // namespace cygnet::esp
