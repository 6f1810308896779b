// ACQUIRE: traffic wants an SA that is not there (kernel: xfrm_state_find and km_query).
#include "base/log.h"
#include "control/control_plane.h"
#include "control/template_query.h"

namespace cygnet {

void ControlPlane::OnAcquire(const DataPathEvent& event) {
  if (params_.listener == nullptr || !params_.listener->WantsAcquire()) return;
  const std::shared_ptr<Policy> policy = path_.spd.FindByNumber(event.policy_number);
  if (policy == nullptr) return;
  const std::vector<Sad::OutboundQuery> queries = QueriesFor(policy->spec, event.flow);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    if (path_.sad.ResolveOutbound(queries[i], event.flow) != nullptr) continue;
    AskForSa(*policy, i, queries[i], event);
    // The next one is asked for when this one is there.
    if (!policy->spec.templates[i].optional) return;
  }
}

void ControlPlane::AskForSa(const Policy& policy, std::size_t template_index,
                            const Sad::OutboundQuery& query, const DataPathEvent& event) {
  SaSpec wanted;
  wanted.family = query.family;
  wanted.daddr = query.daddr;
  wanted.saddr = query.saddr.IsAny() ? LocalEndTo(query.daddr, query.family) : query.saddr;
  wanted.proto = query.proto;
  wanted.mode = query.mode;
  wanted.reqid = query.reqid;
  wanted.if_id = policy.spec.if_id;
  if (FindLarval(wanted) != nullptr) return;  // asked already; one ACQUIRE per tuple
  wanted.acquire_seq = ++acquire_sequence_;
  wanted.direction = SaDirection::kOut;
  wanted.limits.hard_add_seconds = params_.larval_seconds();
  const uint32_t seq = wanted.acquire_seq;
  const IpAddress saddr = wanted.saddr;
  InsertLarval(std::move(wanted));
  const PolicyView view = ViewOf(policy);
  Tell(Acquire{.flow = event.flow,
               .ifindex = params_.devices[event.interface].ifindex,
               .policy = view,
               .template_index = template_index,
               .saddr = saddr,
               .daddr = query.daddr,
               .seq = seq});
}

IpAddress ControlPlane::LocalEndTo(const IpAddress& daddr, IpFamily family) const {
  if (params_.network == nullptr) return {};
  const auto route = params_.network->LookupRoute(daddr, family);
  return route.has_value() ? route->source : IpAddress{};
}

}  // namespace cygnet
