// Outbound half of RFC 4303 without the cryptography: turns an inner packet into an ESP packet
// whose payload is still in clear, the ICV's room behind it. Pure functions of one SA and one
// packet.
#pragma once

#include <cstdint>

#include "net/flow_key.h"
#include "packet/drop_reason.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// Bytes that encapsulation adds to an inner IP packet of `inner_length` bytes (of which, in
// transport mode, `inner_header` stay outside): headers, IV, padding, trailer, ICV.
uint32_t Overhead(const OutboundSa& sa, uint32_t inner_length, uint32_t inner_header);

// Largest inner packet whose ESP packet fits `path_mtu`.
uint32_t InnerMtu(const OutboundSa& sa, uint32_t path_mtu, uint32_t inner_header);

// Builds the ESP packet in place around packet->l3(), which `ip` describes. Sets the packet's
// offload.esp_offset and esn_high. The Ethernet header keeps its addresses; its type follows the
// outer family. `path_mtu` bounds TFC padding. On a reason other than kNone the packet is half
// built and must be dropped.
DropReason Encapsulate(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                       uint32_t path_mtu, Packet* packet);

}  // namespace cygnet::esp
