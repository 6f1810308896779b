#include "control/host_links.h"

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "base/errno_error.h"
#include "control/next_hop_objects.h"
#include "control/route_messages.h"

namespace cygnet {
namespace {

using Buffer = std::array<char, 32768>;

template <typename Fn>
void ForEachAttr(const nlattr* first, const char* end, Fn fn) {
  const nlattr* attr = first;
  while (mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)))) {
    fn(attr);
    attr = mnl_attr_next(attr);
  }
}

template <typename Fn>
void ForEachAttr(const nlmsghdr* message, std::size_t fixed, Fn fn) {
  ForEachAttr(static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(message, fixed)),
              static_cast<const char*>(mnl_nlmsg_get_payload_tail(message)), fn);
}

int32_t Index(const nlattr* attr) {
  return mnl_attr_get_payload_len(attr) < sizeof(uint32_t)
             ? 0
             : static_cast<int32_t>(mnl_attr_get_u32(attr));
}

std::string Words(const nlattr* attr) {
  const auto* text = static_cast<const char*>(mnl_attr_get_payload(attr));
  return std::string(text, strnlen(text, mnl_attr_get_payload_len(attr)));
}

std::string KindIn(const nlattr* info) {
  std::string kind;
  const auto* first = static_cast<const nlattr*>(mnl_attr_get_payload(info));
  ForEachAttr(first, reinterpret_cast<const char*>(first) + mnl_attr_get_payload_len(info),
              [&kind](const nlattr* attr) {
                if (mnl_attr_get_type(attr) == IFLA_INFO_KIND) kind = Words(attr);
              });
  return kind;
}

uint16_t VlanIn(const nlattr* info) {
  uint16_t vlan = 0;
  const auto within = [](const nlattr* outer, auto fn) {
    const auto* first = static_cast<const nlattr*>(mnl_attr_get_payload(outer));
    ForEachAttr(first, reinterpret_cast<const char*>(first) + mnl_attr_get_payload_len(outer), fn);
  };
  within(info, [&](const nlattr* attr) {
    if (mnl_attr_get_type(attr) != IFLA_INFO_DATA) return;
    within(attr, [&](const nlattr* a) {
      if (mnl_attr_get_type(a) == IFLA_VLAN_ID && mnl_attr_get_payload_len(a) >= sizeof(vlan)) {
        vlan = mnl_attr_get_u16(a);
      }
    });
  });
  return vlan;
}

HostLink ReadLink(const nlmsghdr* message) {
  const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
  HostLink link{.ifindex = info->ifi_index,
                .up = (info->ifi_flags & IFF_UP) != 0,
                .running = (info->ifi_flags & IFF_RUNNING) != 0};
  bool lower_is_here = true;
  ForEachAttr(message, sizeof(ifinfomsg), [&](const nlattr* attr) {
    switch (mnl_attr_get_type(attr)) {
      case IFLA_IFNAME:
        link.name = Words(attr);
        break;
      case IFLA_LINK:
        link.lower = Index(attr);
        break;
      case IFLA_LINK_NETNSID:
        lower_is_here = false;  // an ifindex of another namespace
        break;
      case IFLA_MASTER:
        link.master = Index(attr);
        break;
      case IFLA_LINKINFO:
        link.kind = KindIn(attr);
        if (link.kind == "vlan") link.vlan = VlanIn(attr);
        break;
      case IFLA_MTU:
        link.mtu = static_cast<uint32_t>(Index(attr));
        break;
      case IFLA_IFALIAS:
        link.alias = Words(attr);
        break;
      default:
        break;
    }
  });
  if (!lower_is_here || link.lower == link.ifindex) link.lower = 0;
  return link;
}

// Each next hop of a multipath route becomes a route of its own.
void ReadNextHops(const nlattr* attr, const HostRoute& route, std::vector<HostRoute>* out) {
  const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(attr));
  auto left = static_cast<int>(mnl_attr_get_payload_len(attr));
  while (RTNH_OK(hop, left)) {
    HostRoute one = route;
    one.ifindex = hop->rtnh_ifindex;
    const auto* first = reinterpret_cast<const nlattr*>(hop + 1);
    ForEachAttr(first, reinterpret_cast<const char*>(hop) + hop->rtnh_len, [&one](const nlattr* a) {
      const uint16_t type = mnl_attr_get_type(a);
      if (type == RTA_GATEWAY || type == RTA_VIA) one.has_gateway = true;
      if (type == RTA_ENCAP_TYPE) one.encapsulation = route_messages::ReadNumber16(a);
    });
    out->push_back(one);
    const int size = RTNH_ALIGN(hop->rtnh_len);
    hop = reinterpret_cast<const rtnexthop*>(reinterpret_cast<const char*>(hop) + size);
    left -= size;
  }
}

void ReadRoute(const nlmsghdr* message, std::vector<HostRoute>* out,
               std::vector<RouteByObject>* by_object) {
  const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (info->rtm_type != RTN_UNICAST || (info->rtm_flags & RTM_F_CLONED) != 0) return;
  if (info->rtm_family != AF_INET && info->rtm_family != AF_INET6) return;
  HostRoute route;
  route.to.family = info->rtm_family == AF_INET ? IpFamily::kV4 : IpFamily::kV6;
  route.to.bits = info->rtm_dst_len;
  route.connected = info->rtm_protocol == RTPROT_KERNEL;
  const nlattr* several = nullptr;
  uint32_t object = 0;
  ForEachAttr(message, sizeof(rtmsg), [&](const nlattr* attr) {
    const uint16_t type = mnl_attr_get_type(attr);
    if (type == RTA_OIF) route.ifindex = Index(attr);
    if (type == RTA_GATEWAY || type == RTA_VIA) route.has_gateway = true;
    if (type == RTA_MULTIPATH) several = attr;
    if (type == RTA_NH_ID) object = static_cast<uint32_t>(Index(attr));
    if (type == RTA_ENCAP_TYPE) route.encapsulation = route_messages::ReadNumber16(attr);
    if (type != RTA_DST) return;
    const std::size_t want = AddressBits(route.to.family) / 8;
    if (mnl_attr_get_payload_len(attr) < want) return;
    route.to.address = route.to.family == IpFamily::kV4 ? IpAddress::V4(mnl_attr_get_payload(attr))
                                                        : IpAddress::V6(mnl_attr_get_payload(attr));
  });
  if (several != nullptr) return ReadNextHops(several, route, out);
  if (route.ifindex != 0) out->push_back(route);
  if (route.ifindex == 0 && object != 0) by_object->emplace_back(route, object);
}

// The prefix in an attribute of a route or a rule.
AddressPrefix ReadPrefix(const nlattr* attr, uint8_t family, uint8_t bits) {
  AddressPrefix prefix;
  prefix.family = family == AF_INET ? IpFamily::kV4 : IpFamily::kV6;
  prefix.bits = bits;
  if (attr == nullptr || mnl_attr_get_payload_len(attr) < AddressBits(prefix.family) / 8) {
    return prefix;
  }
  const void* bytes = mnl_attr_get_payload(attr);
  prefix.address = prefix.family == IpFamily::kV4 ? IpAddress::V4(bytes) : IpAddress::V6(bytes);
  return prefix;
}

void AddKeysOfRoute(const nlmsghdr* message, ForwardingKeys* keys) {
  const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message));
  if (info->rtm_family != AF_INET && info->rtm_family != AF_INET6) return;
  if ((info->rtm_flags & RTM_F_CLONED) != 0) return;
  const nlattr* to = nullptr;
  const nlattr* from = nullptr;
  int32_t ifindex = 0;
  ForEachAttr(message, sizeof(rtmsg), [&](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == RTA_DST) to = attr;
    if (mnl_attr_get_type(attr) == RTA_SRC) from = attr;
    if (mnl_attr_get_type(attr) == RTA_OIF) ifindex = Index(attr);
  });
  keys->destinations.push_back(ReadPrefix(to, info->rtm_family, info->rtm_dst_len));
  if (ifindex != 0) keys->ways.emplace_back(keys->destinations.back(), ifindex);
  if (from != nullptr && info->rtm_src_len != 0) {
    keys->sources.push_back(ReadPrefix(from, info->rtm_family, info->rtm_src_len));
  }
  keys->other_fields = keys->other_fields || info->rtm_tos != 0;
}

void AddKeysOfRule(const nlmsghdr* message, ForwardingKeys* keys) {
  const auto* info = static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(message));
  if (info->family != AF_INET && info->family != AF_INET6) return;
  keys->other_fields = keys->other_fields || info->tos != 0;
  ForEachAttr(message, sizeof(fib_rule_hdr), [&](const nlattr* attr) {
    const uint16_t type = mnl_attr_get_type(attr);
    if (type == FRA_DST) {
      keys->destinations.push_back(ReadPrefix(attr, info->family, info->dst_len));
    } else if (type == FRA_SRC) {
      keys->sources.push_back(ReadPrefix(attr, info->family, info->src_len));
    } else if (type == FRA_IIFNAME) {
      keys->interfaces = true;
    } else if (type >= FRA_IP_PROTO) {  // protocol, ports, and what newer kernels compare
      keys->other_fields = true;
    }
  });
}

// Sends a dump and calls fn(message) for each answer until that returns false. The rest of an
// abandoned dump is distinguished from the next one's answers by its sequence number.
template <typename Body, typename Fn>
void Dump(mnl_socket* socket, uint32_t sequence, uint16_t type, uint16_t answer, Fn fn) {
  Buffer buffer;
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = type;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = sequence;
  (void)mnl_nlmsg_put_extra_header(request, sizeof(Body));
  if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0) return;
  bool wanted = true;
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
    if (n <= 0) return;
    int left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      if (m->nlmsg_seq != sequence) continue;
      if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) return;
      if (m->nlmsg_type == answer && wanted) wanted = fn(m);
    }
    if (!wanted) return;
  }
}

}  // namespace

void HostLinks::Closer::operator()(mnl_socket* s) const { mnl_socket_close(s); }
HostLinks::~HostLinks() = default;

Result<std::unique_ptr<HostLinks>> HostLinks::Create() {
  std::unique_ptr<HostLinks> links(new HostLinks);
  links->socket_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (links->socket_ == nullptr ||
      mnl_socket_bind(links->socket_.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoError("open NETLINK_ROUTE");
  }
  return links;
}

std::vector<HostLink> HostLinks::Links() {
  std::vector<HostLink> links;
  Dump<ifinfomsg>(socket_.get(), ++sequence_, RTM_GETLINK, RTM_NEWLINK,
                  [&links](const nlmsghdr* m) {
                    links.push_back(ReadLink(m));
                    return true;
                  });
  return links;
}

std::vector<HostRoute> HostLinks::Routes() {
  std::vector<HostRoute> routes;
  std::vector<RouteByObject> by_object;
  // An abandoned dump leaves answers behind, so each dump has its own socket.
  auto own = Create();
  if (!own) return routes;
  Dump<rtmsg>((*own)->socket_.get(), ++sequence_, RTM_GETROUTE, RTM_NEWROUTE,
              [&](const nlmsghdr* m) {
                ReadRoute(m, &routes, &by_object);
                return routes.size() + by_object.size() < kMostRoutes;
              });
  AddRoutesByObject(socket_.get(), ++sequence_, by_object, &routes);
  return routes;
}

ForwardingKeys HostLinks::Forwarding() {
  ForwardingKeys keys;
  auto routes = Create();  // an abandoned dump leaves answers behind
  if (!routes) return keys;
  Dump<rtmsg>((*routes)->socket_.get(), ++sequence_, RTM_GETROUTE, RTM_NEWROUTE,
              [&keys](const nlmsghdr* m) {
                AddKeysOfRoute(m, &keys);
                return keys.destinations.size() < kMostRoutes;
              });
  Dump<fib_rule_hdr>(socket_.get(), ++sequence_, RTM_GETRULE, RTM_NEWRULE,
                     [&keys](const nlmsghdr* m) {
                       AddKeysOfRule(m, &keys);
                       return true;
                     });
  return keys;
}

std::set<int32_t> StackOver(const std::vector<HostLink>& links, int32_t ifindex) {
  constexpr int kStoreys = 8;
  std::set<int32_t> stack = {ifindex};
  for (int i = 0; i < kStoreys; ++i) {
    const std::size_t before = stack.size();
    for (const HostLink& link : links) {
      const bool passes = link.kind == "vlan" || link.kind == "macvlan" || link.kind == "macvtap" ||
                          link.kind == "ipvlan";
      if (passes && stack.count(link.lower) != 0) stack.insert(link.ifindex);
      if (link.master == 0 || stack.count(link.ifindex) == 0) continue;
      // A VRF is a master, but carries no frames.
      const auto master = std::find_if(links.begin(), links.end(), [&link](const HostLink& l) {
        return l.ifindex == link.master;
      });
      if (master != links.end() &&
          (master->kind == "bridge" || master->kind == "bond" || master->kind == "team")) {
        stack.insert(link.master);
      }
    }
    if (stack.size() == before) break;
  }
  return stack;
}

bool IsTunnel(const HostLink& link) {
  static constexpr std::string_view kKinds[] = {
      "ipip",    "sit",       "gre",  "gretap",    "ip6tnl", "ip6gre", "ip6gretap",
      "erspan",  "vti",       "vti6", "xfrm",      "vxlan",  "geneve", "gtp",
      "bareudp", "ip6erspan", "l2tp", "wireguard", "macsec", "tun",    "ppp"};
  return std::find(std::begin(kKinds), std::end(kKinds), link.kind) != std::end(kKinds);
}

std::string Encapsulation(uint16_t type) {
  constexpr uint16_t kXfrm = 10;  // LWTUNNEL_ENCAP_XFRM, of Linux 6.1
  switch (type) {
    case LWTUNNEL_ENCAP_NONE:
    case LWTUNNEL_ENCAP_IP:
    case LWTUNNEL_ENCAP_IP6:
    case kXfrm:
      return {};
    case LWTUNNEL_ENCAP_MPLS:
      return "mpls";
    case LWTUNNEL_ENCAP_ILA:
      return "ila";
    case LWTUNNEL_ENCAP_SEG6:
      return "seg6";
    case LWTUNNEL_ENCAP_BPF:
      return "bpf";
    case LWTUNNEL_ENCAP_SEG6_LOCAL:
      return "seg6local";
    case LWTUNNEL_ENCAP_RPL:
      return "rpl";
    case LWTUNNEL_ENCAP_IOAM6:
      return "ioam6";
    default:
      return "of type " + std::to_string(type);
  }
}

}  // namespace cygnet
