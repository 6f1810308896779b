#include "control/template_query.h"

namespace cygnet {

std::vector<Sad::OutboundQuery> QueriesFor(const PolicySpec& policy, const FlowKey& flow,
                                           int32_t ifindex) {
  std::vector<Sad::OutboundQuery> queries;
  IpFamily family = flow.family;
  IpAddress saddr = flow.saddr;
  IpAddress daddr = flow.daddr;
  for (const Template& tmpl : policy.templates) {
    if (tmpl.mode != static_cast<uint8_t>(SaMode::kTransport)) {
      family = tmpl.family;
      saddr = tmpl.saddr;
      daddr = tmpl.daddr;
    }
    queries.push_back({.reqid = tmpl.reqid,
                       .mode = static_cast<SaMode>(tmpl.mode),
                       .proto = tmpl.proto,
                       .family = family,
                       .spi = tmpl.spi,
                       .daddr = daddr,
                       .saddr = saddr,
                       .ifindex = ifindex,
                       .packet_device = PacketDeviceOf(policy.offload),
                       .if_id = policy.if_id,
                       .mark = policy.mark_value & policy.mark_mask});
  }
  return queries;
}

}  // namespace cygnet
