#include "datapath/further_way.h"

#include "datapath/flow_decision.h"
#include "net/ip_options.h"

namespace cygnet {

bool PassesFurther(const DataPath& path, const IpPacketView& ip, std::span<const uint8_t> l3,
                   int32_t ifindex, const FlowDecision& direct) {
  if (!ip.has_options || path.PolicyIdle()) return true;
  const FurtherWay way = FurtherWayOf(ip, l3);
  if (!way.left) return true;
  if (!way.final_one.has_value()) return false;  // it may be one that policy protects
  IpPacketView there = ip;
  there.flow.daddr = *way.final_one;
  const FlowDecision last = DecideOutbound(path, there, ifindex);
  const bool same_policy = last.policy != nullptr && last.policy == direct.policy;
  return last.action == FlowAction::kBypass ||
         (same_policy && last.action == FlowAction::kProtect && direct.action == last.action);
}

}  // namespace cygnet
