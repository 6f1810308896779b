// ACQUIRE: traffic wants an SA that is not there (kernel: xfrm_state_find and km_query).
#include "base/log.h"
#include "control/control_plane.h"

namespace cygnet {

void ControlPlane::OnAcquire(const DataPathEvent& event) {
  if (params_.listener == nullptr || !params_.listener->WantsAcquire()) return;
  const std::shared_ptr<Policy> policy = path_.spd.FindByNumber(event.policy_number);
  if (policy == nullptr) return;
  const FlowKey& flow = event.flow;
  for (std::size_t i = 0; i < policy->spec.templates.size(); ++i) {
    const Template& tmpl = policy->spec.templates[i];
    const bool tunnel = tmpl.mode == static_cast<uint8_t>(SaMode::kTunnel);
    SaSpec wanted;
    wanted.family = tunnel ? tmpl.family : flow.family;
    wanted.daddr = tunnel ? tmpl.daddr : flow.daddr;
    wanted.saddr = tunnel ? tmpl.saddr : flow.saddr;
    wanted.proto = tmpl.proto;
    wanted.mode = static_cast<SaMode>(tmpl.mode);
    wanted.reqid = tmpl.reqid;
    const Sad::OutboundQuery query{.reqid = wanted.reqid,
                                   .mode = wanted.mode,
                                   .proto = wanted.proto,
                                   .family = wanted.family,
                                   .spi = tmpl.spi,
                                   .daddr = wanted.daddr,
                                   .saddr = wanted.saddr};
    if (path_.sad.ResolveOutbound(query, flow) != nullptr) continue;
    if (FindLarval(wanted) != nullptr) continue;  // asked already; one ACQUIRE per tuple
    wanted.acquire_seq = ++acquire_sequence_;
    wanted.direction = SaDirection::kOut;
    wanted.limits.hard_add_seconds = params_.larval_seconds();
    const uint32_t seq = wanted.acquire_seq;
    const IpAddress saddr = wanted.saddr;
    const IpAddress daddr = wanted.daddr;
    InsertLarval(std::move(wanted));
    const PolicyView view = ViewOf(*policy);
    Tell(Acquire{.flow = flow,
                 .ifindex = params_.devices[event.interface].ifindex,
                 .policy = view,
                 .template_index = i,
                 .saddr = saddr,
                 .daddr = daddr,
                 .seq = seq});
  }
}

}  // namespace cygnet
