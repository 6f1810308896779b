// Notifications to the multicast groups. Each is a single message with flags 0. A notification
// caused by a request carries its sequence number and the nlmsg_pid that its sender wrote.
#pragma once

#include <cstdint>

#include "net/flow_key.h"
#include "netlink/buffer.h"
#include "policy/policy.h"
#include "sa/sa_view.h"
#include "xfrm/sa_message.h"

namespace cygnet::xfrm {

// A policy in a notification.
struct PolicyImage {
  const PolicySpec& spec;
  const LifetimeUsage& usage;
};

// Group kSa.
netlink::Buffer EncodeSaAdded(const SaView& sa, ReplyTo to);
netlink::Buffer EncodeSaUpdated(const SaView& sa, ReplyTo to);
netlink::Buffer EncodeSaDeleted(const SaView& sa, ReplyTo to);
netlink::Buffer EncodeSaFlushed(uint8_t proto, ReplyTo to);
// A deletion that contains only the SA's id.
netlink::Buffer EncodeSaGone(const SaSpec& sa);

// Group kExpire. `pid`: nlmsg_pid of the client that requested it; 0 if a lifetime ended.
netlink::Buffer EncodeSaExpired(const SaView& sa, bool hard, uint32_t pid = 0);
netlink::Buffer EncodePolicyExpired(const PolicyImage& policy, bool hard, uint32_t pid = 0);

// Group kPolicy.
netlink::Buffer EncodePolicyAdded(const PolicyImage& policy, ReplyTo to);
netlink::Buffer EncodePolicyUpdated(const PolicyImage& policy, ReplyTo to);
// `id`: how the request named the policy; the notification names it in the same way.
netlink::Buffer EncodePolicyDeleted(const PolicyImage& policy, const PolicyId& id, ReplyTo to);
netlink::Buffer EncodePolicyFlushed(PolicyType type, ReplyTo to);

// Group kAcquire: traffic of `flow` needs the SA of one template of `policy`.
struct AcquireImage {
  const FlowKey& flow;
  int32_t ifindex = 0;
  PolicyImage policy;
  const Template& wanted;
  IpAddress saddr;  // of the requested SA
  IpAddress daddr;
  uint32_t seq = 0;
  std::optional<uint32_t> cpu{};
};
netlink::Buffer EncodeAcquire(const AcquireImage& acquire);

}  // namespace cygnet::xfrm
