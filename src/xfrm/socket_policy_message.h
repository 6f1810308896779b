// setsockopt(IP_XFRM_POLICY, IPV6_XFRM_POLICY), as sent by the shim (netlink/unix_transport.h), →
// SocketPolicyChange.
#pragma once

#include "base/result.h"
#include "netlink/message.h"
#include "policy/socket_policies.h"

namespace cygnet::xfrm {

bool IsSocketPolicy(const netlink::MessageView& message);

// Errors have the error number of setsockopt(). REQUIRES: IsSocketPolicy(message).
Result<SocketPolicyChange> DecodeSocketPolicy(const netlink::MessageView& message);

}  // namespace cygnet::xfrm
