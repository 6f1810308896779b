// ACQUIRE: traffic needs an SA that does not exist (kernel: xfrm_state_find and km_query).
#include "base/log.h"
#include "control/control_plane.h"
#include "control/policy_view.h"
#include "control/template_query.h"

namespace cygnet {

void ControlPlane::OnAcquire(const DataPathEvent& event) {
  if (!announcer_.WantsAcquire()) return;
  const std::shared_ptr<Policy> policy = path_.spd.FindByNumber(event.policy_number);
  if (policy == nullptr) return;
  if (!AskForSas(*policy, event) || policy->spec.type != PolicyType::kSub) return;
  // Policies of both types apply: MAIN is handled once SUB lacks no SA.
  const auto main = path_.spd.FindFirst(PolicyDirection::kOut, PolicyType::kMain, event.flow,
                                        devices()[event.interface].ifindex);
  if (main != nullptr) (void)AskForSas(*main, event);
}

// False: a missing SA must exist before the next one can be requested.
bool ControlPlane::AskForSas(const Policy& policy, const DataPathEvent& event) {
  const std::vector<Sad::OutboundQuery> queries =
      QueriesFor(policy.spec, event.flow, devices()[event.interface].ifindex);
  for (std::size_t i = 0; i < queries.size(); ++i) {
    if (path_.sad.ResolveOutbound(queries[i], event.flow) != nullptr) continue;
    AskForSa(policy, i, queries[i], event);
    if (!policy.spec.templates[i].optional) return false;
  }
  return true;
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
  if (AcquireInProgress(wanted)) return;
  if (!acquires_.Admit(policy.number)) return;
  wanted.acquire_seq = ++acquire_sequence_;
  wanted.direction = SaDirection::kOut;
  wanted.limits.hard_add_seconds = params_.larval_seconds();
  const uint32_t seq = wanted.acquire_seq;
  const IpAddress saddr = wanted.saddr;
  wanted.selector = FlowSelector(event.flow, devices()[event.interface].ifindex);
  acquires_.Add(InsertLarval(std::move(wanted), Now())->number, policy.number);
  const PolicyView view = ViewOf(policy);
  announcer_.Notify(Acquire{.flow = event.flow,
                            .ifindex = devices()[event.interface].ifindex,
                            .policy = view,
                            .template_index = template_index,
                            .saddr = saddr,
                            .daddr = query.daddr,
                            .seq = seq});
}

// Makes no larval state, unlike traffic (kernel: xfrm_add_acquire).
void ControlPlane::RequestAcquire(AcquireRequest request) {
  for (std::size_t i = 0; i < request.policy.templates.size(); ++i) {
    Template& wanted = request.policy.templates[i];
    wanted.aalgos = request.aalgos;
    wanted.ealgos = request.ealgos;
    wanted.calgos = request.calgos;
    announcer_.Notify(
        AcquireRequested{.request = request, .template_index = i, .seq = ++acquire_sequence_});
  }
}

IpAddress ControlPlane::LocalEndTo(const IpAddress& daddr, IpFamily family) const {
  if (params_.network == nullptr) return {};
  const auto route = params_.network->LookupRoute(daddr, family);
  return route.has_value() ? route->source : IpAddress{};
}

}  // namespace cygnet
