#include "control/acquires.h"

#include <utility>

#include "control/policy_view.h"
#include "control/template_query.h"
#include "datapath/per_cpu.h"

namespace cygnet {

void Acquires::OnTraffic(const DataPathEvent& event) {
  if (!parts_.announcer->WantsAcquire()) return;
  const std::shared_ptr<Policy> policy = parts_.path->spd.FindByNumber(event.policy_number);
  if (policy == nullptr) return;
  if (!AskForSas(*policy, event) || policy->spec.type != PolicyType::kSub) return;
  // Policies of both types apply: MAIN is handled once SUB lacks no SA.
  const auto main = parts_.path->spd.FindFirst(PolicyDirection::kOut, PolicyType::kMain, event.flow,
                                               IfindexOf(event));
  if (main != nullptr) (void)AskForSas(*main, event);
}

// False: a missing SA must exist before the next one can be requested.
bool Acquires::AskForSas(const Policy& policy, const DataPathEvent& event) {
  std::vector<Sad::OutboundQuery> queries = QueriesFor(policy.spec, event.flow, IfindexOf(event));
  for (std::size_t i = 0; i < queries.size(); ++i) {
    Sad::OutboundQuery& query = queries[i];
    query.cpu = event.cpu;
    const OutboundSa* found = parts_.path->sad.ResolveOutbound(query, event.flow);
    if (found != nullptr && !LacksOwnSa(policy.spec, found->sa->spec(), event.cpu)) continue;
    // The first SA is for all CPUs (RFC 9611: the fallback SA).
    if (found == nullptr) query.cpu.reset();
    AskForSa(policy, i, query, event);
    if (found == nullptr && !policy.spec.templates[i].optional) return false;
  }
  return true;
}

void Acquires::AskForSa(const Policy& policy, std::size_t template_index,
                        const Sad::OutboundQuery& query, const DataPathEvent& event) {
  SaSpec wanted;
  wanted.family = query.family;
  wanted.daddr = query.daddr;
  wanted.saddr = query.saddr.IsAny() ? LocalEndTo(query.daddr, query.family) : query.saddr;
  wanted.proto = query.proto;
  wanted.mode = query.mode;
  wanted.reqid = query.reqid;
  wanted.if_id = policy.spec.if_id;
  wanted.mark_value = policy.spec.mark_value;
  wanted.mark_mask = policy.spec.mark_mask;
  wanted.offload = policy.spec.offload;
  wanted.rare.Set(&SaRare::cpu, query.cpu);
  if (parts_.larval->AcquireInProgress(wanted)) return;
  if (!parts_.budget->Admit(policy.number)) return;
  wanted.acquire_seq = ++sequence_;
  wanted.direction = SaDirection::kOut;
  wanted.limits.Change()->hard_add_seconds = parts_.larval_seconds();
  const uint32_t seq = wanted.acquire_seq;
  const IpAddress saddr = wanted.saddr;
  wanted.selector = FlowSelector(event.flow, IfindexOf(event));
  parts_.larval->InsertForAcquire(std::move(wanted), policy.number);
  const PolicyView view = ViewOf(policy);
  parts_.announcer->Notify(Acquire{.flow = event.flow,
                                   .ifindex = IfindexOf(event),
                                   .policy = view,
                                   .template_index = template_index,
                                   .saddr = saddr,
                                   .daddr = query.daddr,
                                   .seq = seq,
                                   .cpu = query.cpu});
}

void Acquires::Request(AcquireRequest request) {
  for (std::size_t i = 0; i < request.policy.templates.size(); ++i) {
    Template& wanted = request.policy.templates[i];
    wanted.aalgos = request.aalgos;
    wanted.ealgos = request.ealgos;
    wanted.calgos = request.calgos;
    parts_.announcer->Notify(
        AcquireRequested{.request = request, .template_index = i, .seq = ++sequence_});
  }
}

int32_t Acquires::IfindexOf(const DataPathEvent& event) const {
  return parts_.own_devices->ifindex(event.interface);
}

IpAddress Acquires::LocalEndTo(const IpAddress& daddr, IpFamily family) const {
  if (!parts_.route) return {};
  const auto route = parts_.route(daddr, family);
  return route.has_value() ? route->source : IpAddress{};
}

}  // namespace cygnet
