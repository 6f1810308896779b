// The ICMPv6 messages without which a link does not work: neighbour discovery (RFC 4861), and
// multicast listener discovery (RFC 2710, RFC 3810), without which a switch that looks on does not
// deliver the former. They are recognised by everything that the standards say of them, so that
// nothing else can look like one.
#pragma once

#include <cstdint>
#include <span>

#include "net/flow_key.h"

namespace cygnet {

// `ip` describes `l3`. Type 133 to 137, code 0, hop limit 255, no extension header, whole; the
// message as long as its type wants, then options that the type may carry, whose lengths make up
// the rest, and nothing behind; redirects and router advertisements from a link-local address; a
// solicitation to its target or the target's group.
bool IsNeighbourDiscovery(const IpPacketView& ip, std::span<const uint8_t> l3);

// A redirect that quotes the packet it is about: that may be one which policy protects.
bool QuotesPacket(const IpPacketView& ip, std::span<const uint8_t> l3);

// Type 130 to 132 or 143, hop limit 1, from a link-local address or none, to a group, behind a
// hop-by-hop header with the router alert for MLD and nothing else; as long as its type and its
// counts say.
bool IsListenerDiscovery(const IpPacketView& ip, std::span<const uint8_t> l3);

}  // namespace cygnet
