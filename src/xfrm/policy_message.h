// Policy messages ⇄ PolicySpec, PolicyId. Decoders need checked Requests. Their errors have the
// kernel's error number and text.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "netlink/buffer.h"
#include "policy/policy.h"
#include "sa/sa_spec.h"
#include "xfrm/request.h"
#include "xfrm/sa_message.h"

namespace cygnet::xfrm {

// NEWPOLICY, UPDPOLICY.
Result<PolicySpec> DecodePolicy(const Request& request);
// When the policy of a notification was added, in wall-clock seconds; a client's request means
// nothing by it.
uint64_t DecodePolicyAddTime(const Request& request);

// DELPOLICY, GETPOLICY.
Result<PolicyId> DecodePolicyId(const Request& request);

// POLEXPIRE as a request.
struct ExpirePolicy {
  PolicyId id;
  bool hard = false;
};
Result<ExpirePolicy> DecodePolicyExpire(const Request& request);

// FLUSHPOLICY.
Result<PolicyType> DecodeFlushPolicy(const Request& request);

// NEWPOLICY as an answer. `behind`: messages that come before it in the same datagram.
netlink::Buffer EncodePolicy(const PolicySpec& policy, const LifetimeUsage& usage, ReplyTo to,
                             DumpPart part, netlink::Buffer behind = {});

}  // namespace cygnet::xfrm
