// Outbound half of RFC 4303 without the cryptography: turns an inner packet into an ESP packet
// whose payload is still in clear, followed by room for the ICV. Pure functions of one SA and one
// packet.
#pragma once

#include <cstdint>

#include "esp/size.h"
#include "net/flow_key.h"
#include "packet/drop_reason.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// Builds the ESP packet in place around packet->l3(), which `ip` describes. Sets the packet's
// offload.esp_offset and esn_high. The Ethernet header keeps its addresses; its type becomes that
// of the outer family. `path_mtu` bounds TFC padding. On any reason other than kNone the packet is
// half built and must be dropped: kOutModeError (the packet does not fit the SA's mode), kOutNoRoom
// (the buffer lacks FrontLength in front or RoomBehind at the end), kOutTooBig (exceeds IP's length
// field).
DropReason Encapsulate(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                       uint32_t path_mtu, Packet* packet);

}  // namespace cygnet::esp
