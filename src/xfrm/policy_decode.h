// Decoders that MIGRATE and ACQUIRE share with NEWPOLICY. Used inside this folder only.
#pragma once

#include "base/result.h"
#include "netlink/attribute.h"
#include "policy/policy.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// XFRMA_POLICY_TYPE; MAIN if absent.
Result<PolicyType> DecodePolicyType(const netlink::AttributeTable& attributes);
Result<PolicySpec> DecodePolicyInfo(const xfrm_userpolicy_info& info,
                                    const netlink::AttributeTable& attributes);

}  // namespace cygnet::xfrm
