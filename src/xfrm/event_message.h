// Notifications: what listeners of the multicast groups are sent. Every one is a single message
// with flags 0; those that answer a request carry its sequence number and the nlmsg_pid its sender
// wrote.
#pragma once

#include <cstdint>

#include "net/flow_key.h"
#include "netlink/buffer.h"
#include "policy/policy.h"
#include "sa/sa_view.h"
#include "xfrm/sa_message.h"

namespace cygnet::xfrm {

// A policy as a notification shows it.
struct PolicyImage {
  const PolicySpec& spec;
  const LifetimeUsage& usage;
};

// Group kSa.
netlink::Buffer EncodeSaAdded(const SaView& sa, ReplyTo to);
netlink::Buffer EncodeSaUpdated(const SaView& sa, ReplyTo to);
netlink::Buffer EncodeSaDeleted(const SaView& sa, ReplyTo to);
netlink::Buffer EncodeSaFlushed(uint8_t proto, ReplyTo to);
// A deletion that names the SA and tells nothing of it.
netlink::Buffer EncodeSaGone(const SaSpec& sa);

// Group kExpire. `pid`: what a client wrote that asked for it; 0 when the time was up.
netlink::Buffer EncodeSaExpired(const SaView& sa, bool hard, uint32_t pid = 0);
netlink::Buffer EncodePolicyExpired(const PolicyImage& policy, bool hard, uint32_t pid = 0);

// Group kPolicy.
netlink::Buffer EncodePolicyAdded(const PolicyImage& policy, ReplyTo to);
netlink::Buffer EncodePolicyUpdated(const PolicyImage& policy, ReplyTo to);
// `id`: how the deletion named the policy; the notification names it the same way.
netlink::Buffer EncodePolicyDeleted(const PolicyImage& policy, const PolicyId& id, ReplyTo to);
netlink::Buffer EncodePolicyFlushed(PolicyType type, ReplyTo to);

// Group kAcquire: traffic of `flow` needs the SA of one template of `policy`.
struct AcquireImage {
  const FlowKey& flow;
  int32_t ifindex = 0;
  PolicyImage policy;
  const Template& wanted;
  IpAddress saddr;  // of the SA wanted
  IpAddress daddr;
  uint32_t seq = 0;
};
netlink::Buffer EncodeAcquire(const AcquireImage& acquire);

}  // namespace cygnet::xfrm
