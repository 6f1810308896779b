// Outbound half of RFC 4303 without the cryptography: turns an inner packet into an ESP packet
// whose payload is still in clear, the ICV's room behind it. Pure functions of one SA and one
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
// offload.esp_offset and esn_high. The Ethernet header keeps its addresses; its type follows the
// outer family. `path_mtu` bounds TFC padding. On a reason other than kNone the packet is half
// built and must be dropped: kOutModeError (the packet does not fit the SA's mode), kOutNoRoom (the
// buffer lacks FrontLength before or RoomBehind behind), kOutTooBig (beyond what IP can say).
DropReason Encapsulate(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                       uint32_t path_mtu, Packet* packet);

}  // namespace cygnet::esp
