// What policy says about a flow (RFC 4301 sections 5.1 and 5.2; rules of the kernel's xfrm_lookup
// and
// __xfrm_policy_check). The slow answer behind the FlowCache.
#pragma once

#include "datapath/data_path.h"
#include "datapath/flow_cache.h"

namespace cygnet {

// What FlowDecision::stamp of a decision made now would be.
uint64_t DecisionStamp(const DataPath& path);

// Outbound: pass, protect by a chain of SAs, or drop.
FlowDecision DecideOutbound(const DataPath& path, const IpPacketView& ip, int32_t ifindex);

// The same once the policies are looked up. `stamp`: taken before that.
FlowDecision DecideOutbound(const DataPath& path, const IpPacketView& ip, int32_t ifindex,
                            const PolicyMatch& match, uint64_t stamp);
// What of the SAD that looks for first; nullopt: nothing.
std::optional<Sad::OutboundQuery> FirstOutboundQuery(const PolicyMatch& match, const FlowKey& flow);

// True when a fragment's fate cannot be told from it alone, so that the datagram must be put
// together first: a policy asks for ports, or the first transform is for whole datagrams (transport
// mode and BEET). The same answer for every fragment of a datagram.
bool NeedsWholeDatagram(const DataPath& path, const IpPacketView& ip, int32_t ifindex);

// Inbound, after decapsulation (`secpath`: the SAs it came by, outermost first) or for a packet
// that came in clear (none): kBypass = deliver, or kDrop. Never kProtect.
FlowDecision DecideInbound(const DataPath& path, const FlowKey& flow, int32_t ifindex,
                           std::span<const Sa* const> secpath);

}  // namespace cygnet
