// Options of the IP header that a host does not take: source routes, which say where the packet is
// to go next whatever the routes say, and what is malformed.
#pragma once

#include <cstdint>
#include <span>

#include "net/flow_key.h"

namespace cygnet {

// To whom the packet is addressed: an IPv6 router does not look at what is for the destination.
enum class Addressee : uint8_t { kHost, kOther };

// As Linux judges with its defaults (accept_source_route, seg6_enabled and rpl_seg_enabled off).
// `ip` describes `l3`. IPv4: loose and strict source routes, options whose lengths do not fit.
// IPv6: hop-by-hop options, and for the host destination options, whose lengths do not fit, routing
// headers with somewhere left to go, and of segment or RPL routing any.
bool HasRefusedOptions(const IpPacketView& ip, std::span<const uint8_t> l3, Addressee addressee);

}  // namespace cygnet
