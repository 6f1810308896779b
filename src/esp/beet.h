// BEET mode (draft-nikander-esp-beet-mode; in detail as Linux does it): a tunnel between two hosts
// that does not send the inner IP header. Outbound, the outer header takes its place and most of
// its fields; inbound, the inner one is rebuilt from the outer and the addresses of the SA's
// selector. IPv4 options travel in front of the payload, behind a pseudo-header (next header 94):
//
//   next header | length, in units of 8 less one | padding | reserved | padding: NOPs | options
//
// Called by Encapsulate and Decapsulate, whose contracts hold here too.
#pragma once

#include <cstdint>

#include "esp/decapsulate.h"
#include "net/flow_key.h"
#include "packet/drop_reason.h"
#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// kOutModeError: the inner packet is of the other family than the SA's selector, or a fragment of
// IPv4, whose offset would have no place. REQUIRES: headroom of FrontLength, room of RoomBehind.
DropReason EncapsulateBeet(const OutboundSa& sa, const IpPacketView& ip, uint64_t seq,
                           uint32_t path_mtu, Packet* packet);

// `payload_at`: of what ESP protected, from the start of the outer IP header. kInModeMismatch: the
// pseudo-header does not fit what is there, or the packet would be too long for IP; kNoBuffers: no
// headroom for an inner header that is longer than what it replaces.
DropReason DecapsulateBeet(const InboundSa& sa, uint32_t payload_at, const Trailer& trailer,
                           Packet* packet);

}  // namespace cygnet::esp
