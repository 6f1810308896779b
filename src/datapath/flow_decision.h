// Policy decisions for a flow (RFC 4301 sections 5.1 and 5.2; rules of the kernel's xfrm_lookup and
// __xfrm_policy_check). FlowDecider calls these on a FlowCache miss.
#pragma once

#include "datapath/data_path.h"
#include "datapath/flow_cache.h"

namespace cygnet {

// The value of FlowDecision::stamp for a decision made now.
uint64_t DecisionStamp(const DataPath& path);

// Outbound: pass, protect by a chain of SAs, or drop. `cpu`: that the packet is on; nullopt: an SA
// for one CPU alone does not count.
FlowDecision DecideOutbound(const DataPath& path, const IpPacketView& ip, int32_t ifindex,
                            std::optional<uint32_t> cpu = std::nullopt);

// The same with the result of the policy look-up. `stamp`: DecisionStamp() from before that
// look-up.
FlowDecision DecideOutbound(const DataPath& path, const IpPacketView& ip, int32_t ifindex,
                            std::optional<uint32_t> cpu, const PolicyMatch& match, uint64_t stamp);
// True if every flow of its policy gets this decision, as long as nothing changes and no socket has
// a policy: the addresses of its SAs, and the flows that they admit, do not depend on the flow.
bool HoldsForPolicy(const DataPath& path, const FlowDecision& decision);
// The first SAD query that DecideOutbound will make; nullopt if it makes none.
std::optional<Sad::OutboundQuery> FirstOutboundQuery(const PolicyMatch& match, const FlowKey& flow);

// True if a fragment cannot be decided alone, so that its datagram must be reassembled first: a
// policy selects by ports, or the first transform needs whole datagrams (transport mode and BEET).
// The answer is the same for every fragment of a datagram.
bool NeedsWholeDatagram(const DataPath& path, const IpPacketView& ip, int32_t ifindex);

// Inbound, after decapsulation (`secpath`: the SAs that opened the packet, outermost first) or for
// a packet that came in clear (`secpath` empty). Returns kBypass (deliver) or kDrop, never
// kProtect.
FlowDecision DecideInbound(const DataPath& path, const FlowKey& flow, int32_t ifindex,
                           std::span<const Sa* const> secpath);

}  // namespace cygnet
