#include "policy/socket_policies.h"

#include <utility>

namespace cygnet {
namespace {

// Whether `a` takes precedence if both match.
bool Precedes(const SocketPolicy& a, const SocketPolicy& b) {
  if (a.ends.local.IsAny() != b.ends.local.IsAny()) return b.ends.local.IsAny();
  return a.policy->spec.blocks() && !b.policy->spec.blocks();
}

}  // namespace

bool SocketEnds::Has(PolicyDirection direction, const FlowKey& flow, int32_t flow_ifindex) const {
  const bool out = direction == PolicyDirection::kOut;
  if (proto != flow.proto || local_port != (out ? flow.sport : flow.dport)) return false;
  if (flow.family != family && !(both_families && flow.family == IpFamily::kV4)) return false;
  if (ifindex != 0 && ifindex != flow_ifindex) return false;
  if (!local.IsAny() && local != (out ? flow.saddr : flow.daddr)) return false;
  return out || remote_port == 0 || (remote_port == flow.sport && remote == flow.saddr);
}

Policy* SocketPolicies::Find(PolicyDirection direction, const FlowKey& flow,
                             int32_t ifindex) const {
  const auto index = static_cast<std::size_t>(direction);
  if (Empty() || index >= tables_.size()) return nullptr;
  const uint16_t own_port = direction == PolicyDirection::kOut ? flow.sport : flow.dport;
  const SocketPolicy* best = nullptr;
  tables_[index].Find(Hash(flow.proto, own_port), [&](const SocketPolicy* entry) {
    if (entry->ends.Has(direction, flow, ifindex) &&
        entry->policy->spec.selector.Matches(flow, ifindex) &&
        (best == nullptr || Precedes(*entry, *best))) {
      best = entry;
    }
    return false;  // continue to the end of the chain
  });
  return best == nullptr ? nullptr : best->policy.get();
}

void SocketPolicies::Insert(const SocketPolicy* policy) {
  tables_[static_cast<std::size_t>(policy->policy->spec.direction)].Insert(policy);
  of_proto_[policy->ends.proto].fetch_add(1, std::memory_order_acq_rel);
  size_.fetch_add(1, std::memory_order_acq_rel);
}

void SocketPolicies::Remove(std::shared_ptr<const SocketPolicy> policy) {
  tables_[static_cast<std::size_t>(policy->policy->spec.direction)].Erase(policy.get());
  of_proto_[policy->ends.proto].fetch_sub(1, std::memory_order_acq_rel);
  size_.fetch_sub(1, std::memory_order_acq_rel);
  quiescence_->Retire([gone = std::move(policy)] {});
}

}  // namespace cygnet
