// BEET mode (draft-nikander-esp-beet-mode; details as in Linux): a tunnel between two hosts that
// does not send the inner IP header. Outbound, the outer header replaces it and takes over most of
// its fields. Inbound, the inner header is rebuilt from the outer one and the addresses of the SA's
// selector. IPv4 options travel in front of the payload, after a pseudo-header (next header 94):
//
//   next header | length, in units of 8 less one | padding | reserved | padding: NOPs | options
//
// Encapsulate and Decapsulate call these functions; their contracts hold here too.
#pragma once

#include <cstdint>

#include "esp/decapsulate.h"
#include "net/flow_key.h"
#include "packet/drop_reason.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// kOutModeError: the inner packet is of another family than the SA's selector, or an IPv4 fragment,
// whose offset cannot be sent. REQUIRES: headroom of FrontLength, room of RoomBehind.
DropReason EncapsulateBeet(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                           uint32_t path_mtu, Packet* packet);

// `payload_at`: start of the bytes that ESP protected, from the start of the outer IP header.
// kInModeMismatch: the pseudo-header does not fit the payload, or the packet would be too long for
// IP. kNoBuffers: no headroom for an inner header that is longer than the headers it replaces.
DropReason DecapsulateBeet(const InboundSa& sa, uint32_t payload_at, const Trailer& trailer,
                           Packet* packet);

}  // namespace cygnet::esp
