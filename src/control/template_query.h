// Which SAs a policy's templates want for one flow.
#pragma once

#include <vector>

#include "net/flow_key.h"
#include "policy/policy.h"
#include "sa/sad.h"

namespace cygnet {

// One query for each template, innermost first (kernel: xfrm_tmpl_resolve_one). Addresses of a
// tunnel or BEET template are its own; transport takes those of what it wraps: the flow, or the
// outer header of the template before. `saddr` any: the template leaves the local end open.
// `ifindex`: that the flow leaves by.
std::vector<Sad::OutboundQuery> QueriesFor(const PolicySpec& policy, const FlowKey& flow,
                                           int32_t ifindex);

}  // namespace cygnet
