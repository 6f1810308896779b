// What an ESP packet still needs once it is sealed.
#pragma once

#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// UDP encapsulation over IPv6: the checksum (RFC 3948 section 2.1 lets only IPv4 do without; a
// Linux peer drops a zero). It covers the sealed bytes, so it comes last. REQUIRES: `packet` is
// what Encapsulate made for `sa`, and sealed.
void FinishUdpChecksum(const OutboundSa& sa, Packet* packet);

inline bool NeedsUdpChecksum(const OutboundSa& sa) {
  return sa.layout.udp != 0 && sa.family == IpFamily::kV6;
}

}  // namespace cygnet::esp
