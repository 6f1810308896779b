#include "control/host_network.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "base/random.h"
#include "control/route_messages.h"

namespace cygnet {

using namespace route_messages;

namespace {

// nullopt: not about an IP address.
std::optional<NeighbourChange> ReadNeighbour(const nlmsghdr* m) {
  constexpr uint16_t kKnown =
      NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
  if (mnl_nlmsg_get_payload_len(m) < sizeof(ndmsg)) return std::nullopt;
  const auto* info = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(m));
  if (info->ndm_family != AF_INET && info->ndm_family != AF_INET6) return std::nullopt;
  NeighbourChange change{.ifindex = info->ndm_ifindex,
                         .address = {},
                         .family = static_cast<IpFamily>(info->ndm_family),
                         .hop = std::nullopt};
  const bool known = m->nlmsg_type == RTM_NEWNEIGH && (info->ndm_state & kKnown) != 0;
  ForEachAttr(m, sizeof(ndmsg), [&](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == NDA_DST) {
      change.address = ReadAddress(attr, change.family);
    } else if (known && mnl_attr_get_type(attr) == NDA_LLADDR &&
               mnl_attr_get_payload_len(attr) == sizeof(MacAddress)) {
      change.hop =
          ResolvedHop{.ifindex = info->ndm_ifindex, .stale = (info->ndm_state & NUD_STALE) != 0};
      std::memcpy(change.hop->mac.data(), mnl_attr_get_payload(attr), sizeof(MacAddress));
    }
  });
  return change;
}

// nullopt: not an IP address.
std::optional<HostAddress> ReadHostAddress(const nlmsghdr* m) {
  if (mnl_nlmsg_get_payload_len(m) < sizeof(ifaddrmsg)) return std::nullopt;
  const auto* info = static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(m));
  if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6) return std::nullopt;
  const auto family = static_cast<IpFamily>(info->ifa_family);
  IpAddress local;
  IpAddress other;
  ForEachAttr(m, sizeof(ifaddrmsg), [&](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == IFA_LOCAL) local = ReadAddress(attr, family);
    if (mnl_attr_get_type(attr) == IFA_ADDRESS) other = ReadAddress(attr, family);
  });
  // IFA_LOCAL is the host's own on point-to-point links; otherwise IPv6 has only IFA_ADDRESS.
  const bool alone = local.IsAny();
  const IpAddress& own = alone ? other : local;
  if (own.IsAny()) return std::nullopt;
  HostAddress address{.at = {.address = own, .family = family},
                      .ifindex = static_cast<int32_t>(info->ifa_index),
                      .prefix_bits = 0,
                      .peer = {}};
  // IPv6 has an address once on an interface: a change of prefix or peer leaves it the same.
  if (family == IpFamily::kV4) {
    address.prefix_bits = info->ifa_prefixlen;
    address.peer = other;
  }
  return address;
}

}  // namespace

void HostNetwork::AddChange(const nlmsghdr* m, NetworkChanges* changes) const {
  switch (m->nlmsg_type) {
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      if (auto change = ReadNeighbour(m)) changes->neighbours.push_back(*change);
      break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      if (auto address = ReadHostAddress(m)) {
        changes->addresses.push_back(
            {.address = *address, .present = m->nlmsg_type == RTM_NEWADDR});
      }
      break;
    case RTM_NEWLINK:
    case RTM_DELLINK:
      // The kernel removes routes of an interface that goes down without an event for each.
      changes->local_gone = true;
      changes->routes |= events_of_ == NetworkEvents::kForwarding;
      break;
    default:
      AddRouteChange(m, changes);
  }
}

void HostNetwork::Closer::operator()(mnl_socket* s) const { mnl_socket_close(s); }

HostNetwork::~HostNetwork() = default;

Result<std::unique_ptr<HostNetwork>> HostNetwork::Create(NetworkEvents events) {
  std::unique_ptr<HostNetwork> network(new HostNetwork(events));
  network->requests_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  network->events_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  const unsigned groups = RTMGRP_NEIGH | RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                          RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
  if (network->requests_ == nullptr || network->events_ == nullptr ||
      mnl_socket_bind(network->requests_.get(), 0, MNL_SOCKET_AUTOPID) != 0 ||
      mnl_socket_bind(network->events_.get(), groups, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoError("open NETLINK_ROUTE");
  }
  if (events == NetworkEvents::kForwarding) {
    for (int group : {RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_IPV4_NETCONF,
                      RTNLGRP_IPV6_NETCONF, RTNLGRP_NEXTHOP}) {
      if (mnl_socket_setsockopt(network->events_.get(), NETLINK_ADD_MEMBERSHIP, &group,
                                sizeof(group)) != 0) {
        return ErrnoError("listen to NETLINK_ROUTE");
      }
    }
  }
  // Room for many events: after a loss everything must be queried again. Without the capability the
  // system's limit applies.
  constexpr int kEventBytes = 4 << 20;
  const int fd = network->event_fd();
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kEventBytes, sizeof(kEventBytes)) != 0) {
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kEventBytes, sizeof(kEventBytes));
  }
  return network;
}

int HostNetwork::event_fd() const { return mnl_socket_get_fd(events_.get()); }

NetworkChanges HostNetwork::TakeChanges() {
  constexpr int kDatagramsAtOnce = 64;
  Buffer buffer;
  NetworkChanges changes;
  changes.more = true;
  for (int i = 0; i < kDatagramsAtOnce; ++i) {
    const ssize_t n = mnl_socket_recvfrom(events_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == ENOBUFS) {
      changes.lost = true;
      continue;
    }
    if (n <= 0) {
      changes.more = false;
      break;
    }
    int left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      AddChange(m, &changes);
    }
  }
  return changes;
}

bool HostNetwork::InterfaceExists(int32_t ifindex) {
  char name[IF_NAMESIZE];
  return ifindex > 0 && if_indextoname(static_cast<unsigned>(ifindex), name) != nullptr;
}

std::optional<std::vector<HostAddress>> HostNetwork::Addresses() {
  std::vector<HostAddress> addresses;
  Buffer buffer;
  ifaddrmsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_GETADDR, NLM_F_DUMP, sequence_++, &buffer, &body);
  body->ifa_family = AF_UNSPEC;
  const bool told = Ask(requests_.get(), request, RTM_NEWADDR, [&](const nlmsghdr* m) {
    if (auto address = ReadHostAddress(m)) addresses.push_back(*address);
  });
  if (!told) return std::nullopt;
  return addresses;
}

std::optional<ResolvedHop> HostNetwork::LookupNeighbour(const EgressRoute& route, IpFamily family) {
  Buffer buffer;
  ndmsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_GETNEIGH, 0, sequence_++, &buffer, &body);
  body->ndm_family = AddressFamily(family);
  body->ndm_ifindex = route.ifindex;
  PutAddress(request, NDA_DST, route.gateway, family);
  std::optional<ResolvedHop> hop;
  Ask(requests_.get(), request, RTM_NEWNEIGH, [&](const nlmsghdr* m) {
    const auto change = ReadNeighbour(m);
    if (change.has_value()) hop = change->hop;
  });
  return hop;
}

void HostNetwork::Probe(int32_t ifindex, const IpAddress& neighbour, IpFamily family) {
  // The request makes an operator's permanent entry an ordinary one (kernel: __neigh_update).
  const auto known =
      LookupNeighbour({.ifindex = ifindex, .gateway = neighbour, .source = {}}, family);
  if (known.has_value() && !known->stale) return;
  Buffer buffer;
  ndmsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
                                   sequence_++, &buffer, &body);
  body->ndm_family = AddressFamily(family);
  body->ndm_ifindex = ifindex;
  body->ndm_flags = NTF_USE;  // resolve now, as if a packet waited for it
  PutAddress(request, NDA_DST, neighbour, family);
  (void)Ask(requests_.get(), request, 0, [](const nlmsghdr*) {});
}

Status HostNetwork::SetAlias(int32_t ifindex, const std::string& alias) {
  Buffer buffer;
  ifinfomsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_SETLINK, NLM_F_ACK, sequence_++, &buffer, &body);
  body->ifi_family = AF_UNSPEC;
  body->ifi_index = ifindex;
  mnl_attr_put(request, IFLA_IFALIAS, alias.size(), alias.data());
  if (!Ask(requests_.get(), request, 0, [](const nlmsghdr*) {})) {
    return MakeError(Errc::kIo, "cannot set the interface's alias");
  }
  return {};
}

Status HostNetwork::SetGroup(int32_t ifindex, uint32_t group) {
  Buffer buffer;
  ifinfomsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_SETLINK, NLM_F_ACK, sequence_++, &buffer, &body);
  body->ifi_family = AF_UNSPEC;
  body->ifi_index = ifindex;
  mnl_attr_put_u32(request, IFLA_GROUP, group);
  if (!Ask(requests_.get(), request, 0, [](const nlmsghdr*) {})) {
    return MakeError(Errc::kIo, "cannot set the interface's group");
  }
  return {};
}

Status HostNetwork::DeleteGroup(uint32_t group) {
  Buffer buffer;
  ifinfomsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_DELLINK, NLM_F_ACK, sequence_++, &buffer, &body);
  body->ifi_family = AF_UNSPEC;
  mnl_attr_put_u32(request, IFLA_GROUP, group);
  if (!Ask(requests_.get(), request, 0, [](const nlmsghdr*) {})) {
    return MakeError(Errc::kIo, "cannot delete a group of interfaces");
  }
  return {};
}

// A group of its own, which no operator chooses.
Status HostNetwork::DeleteInterfaces(const std::vector<int32_t>& ifindexes) {
  const uint32_t group = static_cast<uint32_t>(RandomWord()) | 0x8000'0000;
  for (const int32_t ifindex : ifindexes) CYGNET_RETURN_IF_ERROR(SetGroup(ifindex, group));
  return ifindexes.empty() ? Status() : DeleteGroup(group);
}

}  // namespace cygnet
