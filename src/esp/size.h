// Lengths of ESP packets, before they are built: what is added, what fits. All in bytes of IP
// packet, the Ethernet header not counted. Pure functions; any thread.
#pragma once

#include <cstdint>

#include "net/esp_view.h"
#include "net/flow_key.h"
#include "sa/sa.h"

namespace cygnet::esp {

inline constexpr uint32_t kTrailer = 2;        // pad length, next header
inline constexpr uint32_t kIpv4Header = 20;    // without options
inline constexpr uint32_t kIpv6Header = 40;    // without extension headers
inline constexpr uint32_t kBeetPhReserve = 8;  // what Linux sets aside for the pseudo-header
inline constexpr uint32_t kMaxIpv4Options = 40;

inline uint32_t IpHeaderOf(IpFamily family) {
  return family == IpFamily::kV4 ? kIpv4Header : kIpv6Header;
}

// Pad bytes behind `payload` so that payload, padding and trailer are a multiple of `align`
// (RFC 4303, section 2.4). REQUIRES: `align` is a power of two, as that of every EspLayout is.
inline uint32_t PadFor(uint32_t payload, uint32_t align) {
  return (0u - (payload + kTrailer)) & (align - 1);
}

// BEET: bytes of the pseudo-header in front of `options` bytes of IPv4 options: 4, and 4 of padding
// where that makes both together a multiple of 8. None without options.
inline uint32_t BeetPseudoHeader(uint32_t options) { return options == 0 ? 0 : 8 - (options & 4); }

// Headers in front of what ESP protects: outer IP header (tunnel and BEET), UDP header, ESP header,
// IV. In transport mode the packet's own IP header is not counted.
inline uint32_t FrontLength(const OutboundSa& sa) {
  return sa.header_length - 4u + kEspHeader + sa.layout.iv;  // the template ends with the SPI
}

// Bytes of the packet that ESP protects and lifetimes count: the inner packet of a tunnel; in
// transport mode what follows the headers that stay outside; BEET: what follows the inner IP
// header, IPv4 options and their pseudo-header included. TFC padding is not counted.
inline uint32_t ProtectedLength(const OutboundSa& sa, const IpPacketView& ip) {
  if (sa.mode == SaMode::kTunnel) return ip.total_length;
  const bool v4 = ip.flow.family == IpFamily::kV4;
  if (sa.mode == SaMode::kBeet) {
    const uint32_t options = v4 ? ip.ip_header_length - kIpv4Header : 0;
    return ip.total_length - IpHeaderOf(ip.flow.family) + BeetPseudoHeader(options);
  }
  return ip.total_length - (v4 ? ip.ip_header_length : ip.esp_offset_v6);
}

// TFC padding (RFC 4303, section 2.7) behind an inner packet of a tunnel: up to the SA's tfc_pad,
// but not beyond what fits `path_mtu`. 0 in other modes.
uint32_t TfcPadding(const OutboundSa& sa, uint32_t inner_length, uint32_t path_mtu);

// Room that Encapsulate asks for behind an IP packet of this length: for the longest padding there
// may be.
inline uint32_t RoomBehind(const OutboundSa& sa, uint32_t inner_length, uint32_t path_mtu) {
  const uint32_t tfc = sa.tfc_pad == 0 ? 0 : TfcPadding(sa, inner_length, path_mtu);
  return tfc + (sa.layout.align - 1u) + kTrailer + sa.layout.icv;
}

// Length of the ESP packet that carries an inner packet of `inner_length` bytes, without TFC
// padding. `inner_header`: transport mode, the bytes that stay outside; BEET, the inner IP header
// with its IPv4 options; else not looked at.
uint32_t WireLength(const OutboundSa& sa, uint32_t inner_length, uint32_t inner_header);

// WireLength less `inner_length`. Modulo 2^32: BEET may make a packet smaller (6-in-4).
uint32_t Overhead(const OutboundSa& sa, uint32_t inner_length, uint32_t inner_header);

// Largest inner packet whose ESP packet fits `path_mtu`; 0 when nothing does. In tunnel mode, and
// in transport mode when `inner_header` is that of a packet without options, this is the number
// that Linux works out for the SA (xfrm_state_mtu). In BEET mode with IPv4 inside it is Linux's
// number, too: that leaves a little unused, since it sets the options' pseudo-header aside whether
// there are options or not, and 4-in-6 it may be up to 4 bytes too much for the path, so that the
// outer packet is cut. 4-in-4 it is never more than fits.
uint32_t InnerMtu(const OutboundSa& sa, uint32_t path_mtu, uint32_t inner_header);

}  // namespace cygnet::esp
