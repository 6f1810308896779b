// The SAs that a policy's templates request for one flow.
#pragma once

#include <vector>

#include "net/flow_key.h"
#include "policy/policy.h"
#include "sa/sad.h"

namespace cygnet {

// One query per template, innermost first (kernel: xfrm_tmpl_resolve_one). A tunnel or BEET
// template has its own addresses. A transport template uses those of what it wraps: the flow, or
// the outer header of the template before. `saddr` any: the template leaves the local end open.
// `ifindex`: the interface that the flow leaves by.
std::vector<Sad::OutboundQuery> QueriesFor(const PolicySpec& policy, const FlowKey& flow,
                                           int32_t ifindex);

}  // namespace cygnet
