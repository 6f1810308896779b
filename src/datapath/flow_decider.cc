#include "datapath/flow_decider.h"

#include "datapath/always_passes.h"
#include "datapath/flow_decision.h"
#include "datapath/further_way.h"

namespace cygnet {

const FlowDecision& FlowDecider::Outbound(uint8_t interface, const IpPacketView& ip,
                                          std::span<const uint8_t> l3) {
  const int32_t ifindex = path_->interfaces[interface].ifindex;
  // Checked before the cache, because the answer depends on more than the flow: ESP in UDP and IKE
  // share a flow.
  // Nothing passes a tunnel in clear.
  if (!ip.flow.of_tunnel() && AlwaysPasses(*path_, PolicyDirection::kOut, ifindex, ip, l3)) {
    fresh_ = {.action = FlowAction::kBypass};
    return fresh_;
  }
  const FlowDecision& decision = OutboundFlow(interface, ip);
  if (PassesFurther(*path_, ip, l3, ifindex, decision)) return decision;
  fresh_ = {.action = FlowAction::kDrop, .reason = DropReason::kOutPolicyBlock};
  return fresh_;
}

const FlowDecision& FlowDecider::OutboundFlow(uint8_t interface, const IpPacketView& ip) {
  const int32_t ifindex = path_->interfaces[interface].ifindex;
  const uint64_t generation = path_->generation();
  const uint64_t tag = OutboundTag(interface, ip);
  if (const FlowDecision* known = cache_.Find(ip.flow, tag, generation)) return *known;
  const uint64_t stamp = DecisionStamp(*path_);
  PolicyMatch match;
  if (!path_->PolicyIdle()) match = path_->spd.Lookup(PolicyDirection::kOut, ip.flow, ifindex);
  if (!ip.later_fragment) {
    if (const FlowDecision* usual = Usual(match, generation)) {
      return cache_.Store(ip.flow, tag, generation, *usual);
    }
  }
  const Fresh fresh = DecideNew(ip, generation, ifindex, match, stamp);
  return fresh.holds ? cache_.Store(ip.flow, tag, generation, fresh.decision) : fresh.decision;
}

FlowDecider::Fresh FlowDecider::DecideNew(const IpPacketView& ip, uint64_t generation,
                                          int32_t ifindex, const PolicyMatch& match,
                                          uint64_t stamp) {
  fresh_ = DecideOutbound(*path_, ip, ifindex, cpu_, match, stamp);
  // Each packet asks key management for an SA, not only the first.
  if (fresh_.acquire) return {fresh_, false};
  warm_up_->CountNewFlow();
  const bool alone =
      match.second == nullptr && !ip.later_fragment && path_->socket_policies.Empty();
  if (alone && HoldsForPolicy(*path_, fresh_)) of_policies_.Store(fresh_, generation);
  return {fresh_, true};
}

const FlowDecision* FlowDecider::Usual(const PolicyMatch& match, uint64_t generation) {
  // Policies of sockets decide before the SPD does.
  if (match.second != nullptr || !match.any() || !path_->socket_policies.Empty()) return nullptr;
  const FlowDecision* usual = of_policies_.Find(match.first, generation);
  if (usual != nullptr) warm_up_->CountNewFlow();
  return usual;
}

// With more SAs than cache entries and few policies, a policy look-up costs less than a cache
// look-up that mostly misses.
void FlowDecider::BeginInboundBatch() {
  constexpr std::size_t kFewPolicies = 64;
  bypass_flow_cache_ = path_->sad.reachable() > path_->flow_entries &&
                       path_->spd.size(PolicyDirection::kIn) < kFewPolicies;
}

const FlowDecision& FlowDecider::DecideFresh(uint8_t interface, const FlowKey& flow,
                                             std::span<const Sa* const> secpath) {
  fresh_ = DecideInbound(*path_, flow, path_->interfaces[interface].ifindex, secpath);
  return fresh_;
}

}  // namespace cygnet
