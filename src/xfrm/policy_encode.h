// Parts of a policy for answers and events. Used inside this folder only.
#pragma once

#include "netlink/builder.h"
#include "policy/policy.h"
#include "sa/sa_spec.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// REQUIRES: `info` is zero.
void FillPolicyInfo(const PolicySpec& policy, const LifetimeUsage& usage,
                    xfrm_userpolicy_info& info);
// XFRMA_TMPL, POLICY_TYPE, MARK, IF_ID: the attributes of a policy in every message.
void PutPolicyAttributes(netlink::MessageBuilder& builder, const PolicySpec& policy);
void PutPolicyType(netlink::MessageBuilder& builder, PolicyType type);

}  // namespace cygnet::xfrm
