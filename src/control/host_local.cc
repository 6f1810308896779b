// The part of HostNetwork that knows which destinations the kernel delivers to this host itself.
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include <cstring>

#include "control/host_network.h"
#include "control/route_messages.h"

namespace cygnet {

using namespace route_messages;

namespace {

// The routing table of a VRF; nullopt: `link` is something else.
std::optional<uint32_t> VrfTable(const nlmsghdr* link) {
  const nlattr* data = nullptr;
  bool vrf = false;
  ForEachAttr(link, sizeof(ifinfomsg), [&](const nlattr* info) {
    if (mnl_attr_get_type(info) != IFLA_LINKINFO) return;
    ForEachNested(info, [&](const nlattr* attr) {
      constexpr char kKind[] = "vrf";
      if (mnl_attr_get_type(attr) == IFLA_INFO_DATA) data = attr;
      if (mnl_attr_get_type(attr) == IFLA_INFO_KIND) {
        vrf = mnl_attr_get_payload_len(attr) >= sizeof(kKind) &&
              std::memcmp(mnl_attr_get_payload(attr), kKind, sizeof(kKind)) == 0;
      }
    });
  });
  std::optional<uint32_t> table;
  if (!vrf || data == nullptr) return table;
  ForEachNested(data, [&](const nlattr* attr) {
    const bool whole = mnl_attr_get_payload_len(attr) >= sizeof(uint32_t);
    if (mnl_attr_get_type(attr) == IFLA_VRF_TABLE && whole) table = mnl_attr_get_u32(attr);
  });
  return table;
}

struct TableRoute {
  uint32_t table = 0;
  AddressPrefix to{};
};

// nullopt: not a route to this host itself.
std::optional<TableRoute> ReadLocalRoute(const nlmsghdr* m) {
  if (mnl_nlmsg_get_payload_len(m) < sizeof(rtmsg)) return std::nullopt;
  const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(m));
  if (info->rtm_family != AF_INET && info->rtm_family != AF_INET6) return std::nullopt;
  if (info->rtm_type != RTN_LOCAL && info->rtm_type != RTN_BROADCAST &&
      info->rtm_type != RTN_ANYCAST) {
    return std::nullopt;
  }
  if ((info->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  TableRoute route{.table = info->rtm_table};
  route.to.family = static_cast<IpFamily>(info->rtm_family);
  route.to.bits = info->rtm_dst_len;
  ForEachAttr(m, sizeof(rtmsg), [&](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == RTA_DST) route.to.address = ReadAddress(attr, route.to.family);
    if (mnl_attr_get_type(attr) == RTA_TABLE) route.table = mnl_attr_get_u32(attr);
  });
  return route;
}

}  // namespace

void HostNetwork::AddRouteChange(const nlmsghdr* m, NetworkChanges* changes) const {
  changes->routes = true;
  const auto route = ReadLocalRoute(m);
  if (!route || local_tables_.count(route->table) == 0) return;
  if (m->nlmsg_type == RTM_NEWROUTE) {
    changes->local.push_back(route->to);
  } else {
    changes->local_gone = true;  // another route may say the same
  }
}

std::optional<std::vector<AddressPrefix>> HostNetwork::LocalDestinations() {
  // Only here the kernel is to look at all fields of a request: it then lists one table, however
  // many routes others have.
  const std::unique_ptr<mnl_socket, Closer> socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
  if (socket == nullptr || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) != 0) {
    return std::nullopt;
  }
  int strict = 1;
  (void)mnl_socket_setsockopt(socket.get(), NETLINK_GET_STRICT_CHK, &strict, sizeof(strict));
  std::set<uint32_t> tables = {RT_TABLE_LOCAL};
  Buffer buffer;
  ifinfomsg* links = nullptr;
  nlmsghdr* request = BeginRequest(RTM_GETLINK, NLM_F_DUMP, sequence_++, &buffer, &links);
  const bool linked = Ask(socket.get(), request, RTM_NEWLINK, [&](const nlmsghdr* m) {
    if (const auto table = VrfTable(m)) tables.insert(*table);
  });
  if (!linked) return std::nullopt;
  std::vector<AddressPrefix> networks;
  for (const uint32_t table : tables) {
    for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
      rtmsg* body = nullptr;
      request = BeginRequest(RTM_GETROUTE, NLM_F_DUMP, sequence_++, &buffer, &body);
      body->rtm_family = AddressFamily(family);
      mnl_attr_put_u32(request, RTA_TABLE, table);
      const bool told = Ask(socket.get(), request, RTM_NEWROUTE, [&](const nlmsghdr* m) {
        const auto route = ReadLocalRoute(m);
        if (route && route->table == table) networks.push_back(route->to);
      });
      if (!told) return std::nullopt;
    }
  }
  local_tables_ = std::move(tables);
  return networks;
}

}  // namespace cygnet
