// How NETLINK_XFRM messages travel between the preload shim and the daemon. Each datagram of an
// AF_UNIX SOCK_SEQPACKET connection is one netlink datagram, unchanged except as described here.
//
// netlink/rendezvous.h describes how the connection is made, and who may have one.
//
// Lock-step: a netlink request is done when send() returns. The daemon peeks at a request, executes
// it, queues every reply and event, and only then consumes the datagram. The shim's send waits
// until SIOCOUTQ shows that all it sent has been consumed. (For a dump "every reply" means the
// first batch; the rest follows as the client reads.)
//
// Shim → daemon, as netlink messages of reserved types that no XFRM message has:
//   kBind      payload BindPayload: the socket's port id and multicast groups; sent before the
//              first request, after a reconnect, and whenever they change. Never answered.
//   kOption    payload OptionPayload: a SOL_NETLINK option, where the daemon knows another value,
//              or kReceiveRoom; sent when kBind is, and whenever it changes. Never answered.
//   kSocketPolicy  payload SocketPolicyPayload, then the value of setsockopt(IP_XFRM_POLICY):
//              struct xfrm_userpolicy_info and templates; without a value both directions are
//              cleared. On a connection of its own. Answered like a request.
//   kLink      payload: the client's RTM_NEWLINK or RTM_DELLINK, whole, about a tunnel interface.
//   On a
//              connection of its own. Answered like a request.
// Daemon → shim:
//   kOverrun   bare header: events were lost because the client did not read; the shim turns it
//              into one ENOBUFS from the next receive call and never shows the datagram.
//   events     the four top bits of nlmsg_flags hold the multicast group number (1 … 8); the shim
//              clears them and reports nl_groups = 1 << (group - 1) as the sender's address.
#pragma once

#include <cstdint>

namespace cygnet::transport {

inline constexpr uint16_t kBind = 0xff01;
inline constexpr uint16_t kOption = 0xff02;
inline constexpr uint16_t kOverrun = 0xff03;
inline constexpr uint16_t kSocketPolicy = 0xff04;
inline constexpr uint16_t kLink = 0xff05;

struct BindPayload {
  uint32_t port_id;
  uint32_t groups;  // bit n-1 = group n
};
struct OptionPayload {
  int32_t option;  // NETLINK_EXT_ACK, NETLINK_CAP_ACK, … or kReceiveRoom
  int32_t value;
};
// The largest buffer in bytes with which the client has received. As in the kernel, the datagrams
// of a dump become that long, up to kMostDumpBytes.
inline constexpr int32_t kReceiveRoom = 0x10000;
// In the kernel an skb of 32 KiB, less what it needs itself.
inline constexpr int32_t kMostDumpBytes = 32'768 - 384;
// Before the client has received: about a page less overhead, as in the kernel.
inline constexpr int32_t kFirstDumpBytes = 3584;
struct SocketPolicyPayload {
  uint64_t cookie;    // SO_COOKIE
  uint16_t family;    // SO_DOMAIN
  uint16_t protocol;  // SO_PROTOCOL
  uint16_t port;      // the local port, host order; 0: none yet
  uint16_t flags;
};
// In SocketPolicyPayload::flags: the policy was sent before, and is sent again because the socket
// may have moved or the daemon is new. Without a value, such a message clears nothing.
inline constexpr uint16_t kRetold = 1;
static_assert(sizeof(SocketPolicyPayload) == 16);
static_assert(sizeof(BindPayload) == 8 && sizeof(OptionPayload) == 8);

inline constexpr unsigned kGroupShift = 12;  // in nlmsg_flags
inline constexpr uint16_t kGroupMask = 0xf000;

}  // namespace cygnet::transport
