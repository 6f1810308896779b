// The part of HostNetwork that asks the kernel for routes.
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "control/host_network.h"
#include "control/route_messages.h"

namespace cygnet {

using namespace route_messages;

namespace {

nlmsghdr* BeginRouteRequest(uint32_t sequence, const IpAddress& daddr, IpFamily family,
                            Buffer* buffer) {
  rtmsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_GETROUTE, 0, sequence, buffer, &body);
  body->rtm_family = AddressFamily(family);
  body->rtm_dst_len = static_cast<uint8_t>(AddressBits(family));
  PutAddress(request, RTA_DST, daddr, family);
  return request;
}

nlmsghdr* BeginForwarded(uint32_t sequence, const ParsedAddress& from, const IpAddress& daddr,
                         int32_t iif, Buffer* buffer) {
  nlmsghdr* request = BeginRouteRequest(sequence, daddr, from.family, buffer);
  static_cast<rtmsg*>(mnl_nlmsg_get_payload(request))->rtm_src_len =
      static_cast<uint8_t>(AddressBits(from.family));
  PutAddress(request, RTA_SRC, from.address, from.family);
  mnl_attr_put_u32(request, RTA_IIF, static_cast<uint32_t>(iif));
  return request;
}

bool HasEncapsulation(const rtnexthop* hop) {
  const void* data = reinterpret_cast<const char*>(hop) + RTNH_LENGTH(0);
  const auto* attr = static_cast<const nlattr*>(data);
  const char* end = reinterpret_cast<const char*>(hop) + hop->rtnh_len;
  while (mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)))) {
    if (mnl_attr_get_type(attr) == RTA_ENCAP) return true;
    attr = mnl_attr_next(attr);
  }
  return false;
}

// The interface of all next hops; 0: they have several, or more than frames are needed.
int32_t OnlyInterface(const nlattr* next_hops) {
  const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(next_hops));
  auto left = static_cast<int>(mnl_attr_get_payload_len(next_hops));
  int32_t only = 0;
  while (RTNH_OK(hop, left)) {
    if ((only != 0 && hop->rtnh_ifindex != only) || HasEncapsulation(hop)) return 0;
    only = hop->rtnh_ifindex;
    const int size = RTNH_ALIGN(hop->rtnh_len);
    hop = reinterpret_cast<const rtnexthop*>(reinterpret_cast<const char*>(hop) + size);
    left -= size;
  }
  return only;
}

}  // namespace

std::optional<EgressRoute> HostNetwork::LookupRoute(const IpAddress& daddr, IpFamily family,
                                                    uint32_t mark) {
  Buffer buffer;
  nlmsghdr* request = BeginRouteRequest(sequence_++, daddr, family, &buffer);
  if (mark != 0) mnl_attr_put_u32(request, RTA_MARK, mark);
  return AskRoute(request, daddr, family);
}

std::optional<EgressRoute> HostNetwork::LookupForwarded(const IpAddress& saddr,
                                                        const IpAddress& daddr, IpFamily family,
                                                        int32_t iif) {
  Buffer buffer;
  return AskRoute(BeginForwarded(sequence_++, {saddr, family}, daddr, iif, &buffer), daddr, family);
}

std::optional<EgressRoute> HostNetwork::LookupOnlyWay(const IpAddress& saddr,
                                                      const IpAddress& daddr, IpFamily family,
                                                      int32_t iif) {
  Buffer buffer;
  nlmsghdr* request = BeginForwarded(sequence_++, {saddr, family}, daddr, iif, &buffer);
  static_cast<rtmsg*>(mnl_nlmsg_get_payload(request))->rtm_flags |= RTM_F_FIB_MATCH;
  return AskRoute(request, daddr, family);
}

std::optional<EgressRoute> HostNetwork::AskRoute(nlmsghdr* request, const IpAddress& daddr,
                                                 IpFamily family) {
  std::optional<EgressRoute> found;
  Ask(requests_.get(), request, RTM_NEWROUTE, [&](const nlmsghdr* m) {
    const auto* info = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(m));
    if (info->rtm_type != RTN_UNICAST) return;
    EgressRoute route{.ifindex = 0, .gateway = daddr, .source = {}};
    ForEachAttr(m, sizeof(rtmsg), [&](const nlattr* attr) {
      if (mnl_attr_get_type(attr) == RTA_OIF) {
        route.ifindex = static_cast<int32_t>(mnl_attr_get_u32(attr));
      } else if (mnl_attr_get_type(attr) == RTA_GATEWAY) {
        route.gateway = ReadAddress(attr, family);
      } else if (mnl_attr_get_type(attr) == RTA_PREFSRC) {
        route.source = ReadAddress(attr, family);
      } else if (mnl_attr_get_type(attr) == RTA_METRICS) {
        route.mtu = MtuIn(attr);
      } else if (mnl_attr_get_type(attr) == RTA_ENCAP || mnl_attr_get_type(attr) == RTA_VIA) {
        route.special = true;
      } else if (mnl_attr_get_type(attr) == RTA_MULTIPATH) {
        route.ifindex = OnlyInterface(attr);
      }
    });
    if (route.ifindex != 0) found = route;
  });
  return found;
}

}  // namespace cygnet
