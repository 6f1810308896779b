// What policy says about a flow (RFC 4301 sections 5.1 and 5.2; rules of the kernel's xfrm_lookup
// and __xfrm_policy_check). FlowDecider asks this when its FlowCache does not know.
#pragma once

#include "datapath/data_path.h"
#include "datapath/flow_cache.h"

namespace cygnet {

// FlowDecision::stamp of a decision that is made now.
uint64_t DecisionStamp(const DataPath& path);

// Outbound: pass, protect by a chain of SAs, or drop.
FlowDecision DecideOutbound(const DataPath& path, const IpPacketView& ip, int32_t ifindex);

// The same once the policies are looked up. `stamp`: taken before that.
FlowDecision DecideOutbound(const DataPath& path, const IpPacketView& ip, int32_t ifindex,
                            const PolicyMatch& match, uint64_t stamp);
// The first query of the SAD that DecideOutbound will make; nullopt: none.
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
