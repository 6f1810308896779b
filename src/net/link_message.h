// The ICMPv6 messages without which a link does not work: neighbour discovery (RFC 4861), and
// multicast listener discovery (RFC 2710, RFC 3810), which a snooping switch needs to deliver the
// former. Recognition checks everything that the standards require, so that no other packet can
// pass as one.
#pragma once

#include <cstdint>
#include <span>

#include "net/flow_key.h"

namespace cygnet {

// `ip` describes `l3`. True for type 133 to 137, code 0, hop limit 255, no extension header, not a
// fragment. The message has the length of its type, followed only by options that the type may
// carry, whose lengths add up exactly. Redirects and router advertisements come from a link-local
// address; a solicitation goes to its target or the target's group.
bool IsNeighbourDiscovery(const IpPacketView& ip, std::span<const uint8_t> l3);

// True for a redirect that quotes the packet it is about, because policy may protect that packet.
bool QuotesPacket(const IpPacketView& ip, std::span<const uint8_t> l3);

// True for type 130 to 132 or 143, hop limit 1, from a link-local or unspecified address, to a
// multicast group. The hop-by-hop header holds the router alert for MLD and nothing else, and the
// length is that of the type and its counts.
bool IsListenerDiscovery(const IpPacketView& ip, std::span<const uint8_t> l3);

}  // namespace cygnet
