// "Packet too big" to the sender of a packet that does not fit after encapsulation: ICMP type 3
// code 4 (RFC 1191) and ICMPv6 type 2 (RFC 4443).
#pragma once

#include "net/flow_key.h"
#include "packet/packet_batch.h"

namespace cygnet {

// A frame for the host that tells it `mtu`, quoting `packet`; nullptr when the pool is empty or the
// packet is one that no error may answer.
Packet* MakePacketTooBig(const Packet& packet, const IpPacketView& ip, uint32_t mtu,
                         PacketCache* cache);

}  // namespace cygnet
