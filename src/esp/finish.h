// Completes an ESP packet after it is sealed.
#pragma once

#include "packet/packet.h"
#include "sa/sa.h"

namespace cygnet::esp {

// Writes the UDP checksum for UDP encapsulation over IPv6 (RFC 3948 section 2.1 allows a zero only
// for IPv4; a Linux peer drops it). It covers the sealed bytes, so it comes last. REQUIRES:
// Encapsulate made `packet` for `sa`, and it is sealed.
void FinishUdpChecksum(const OutboundSa& sa, Packet* packet);

inline bool NeedsUdpChecksum(const OutboundSa& sa) {
  return sa.layout.udp != 0 && sa.family == IpFamily::kV6;
}

}  // namespace cygnet::esp
