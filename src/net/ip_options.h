// IP options that a host refuses: source routes, which override the routing table, and malformed
// options; and where a source route leads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "net/flow_key.h"

namespace cygnet {

// Whom the packet is addressed to. A router does not process IPv6 options for the destination.
enum class Addressee : uint8_t { kHost, kOther };

// Follows Linux's defaults (accept_source_route, seg6_enabled and rpl_seg_enabled off). `ip`
// describes `l3`. Refused for IPv4: loose and strict source routes, options whose lengths do not
// fit. Refused for IPv6: hop-by-hop options (for kHost destination options, too) whose lengths do
// not fit, routing headers with segments left, and every segment or RPL routing header.
bool HasRefusedOptions(const IpPacketView& ip, std::span<const uint8_t> l3, Addressee addressee);

// Where a packet goes after its destination address: what a source route of IPv4, or a routing
// header of IPv6 with segments left, names last.
struct FurtherWay {
  bool left = false;                     // false: nowhere, the destination address is the last
  std::optional<IpAddress> final_one{};  // nullopt: it does not show
};
// `ip` describes `l3`.
FurtherWay FurtherWayOf(const IpPacketView& ip, std::span<const uint8_t> l3);

}  // namespace cygnet
