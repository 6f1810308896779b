// The part of HostNetwork that asks about one packet.
#include "control/host_questions.h"

#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "control/host_network.h"
#include "control/route_messages.h"
#include "net/ip_protocol.h"

namespace cygnet {

using namespace route_messages;

namespace {

constexpr uint16_t kSportMask = 28;  // FRA_SPORT_MASK and FRA_DPORT_MASK, of Linux 6.15
constexpr uint16_t kDportMask = 29;
constexpr uint16_t kForceForwarding = 9;  // NETCONFA_FORCE_FORWARDING, of Linux 6.17

RouteKind KindOf(uint8_t type) {
  switch (type) {
    case RTN_UNICAST:
      return RouteKind::kUnicast;
    case RTN_LOCAL:
    case RTN_ANYCAST:
      return RouteKind::kLocalAddress;
    case RTN_BROADCAST:
      return RouteKind::kBroadcast;
    case RTN_MULTICAST:
      return RouteKind::kMulticast;
    case RTN_BLACKHOLE:
      return RouteKind::kInvalid;
    case RTN_UNREACHABLE:
      return RouteKind::kUnreachable;
    case RTN_PROHIBIT:
      return RouteKind::kProhibited;
    default:
      return RouteKind::kNoAnswer;
  }
}

RouteKind KindOfError(int error) {
  switch (error) {
    case ENETUNREACH:
      return RouteKind::kNoRoute;
    case EHOSTUNREACH:
      return RouteKind::kUnreachable;
    case EACCES:
      return RouteKind::kProhibited;
    case EINVAL:
    case EXDEV:  // the reverse path filter, before Linux 6.13
      return RouteKind::kInvalid;
    default:
      return RouteKind::kNoAnswer;
  }
}

// The kernel refuses to be asked about others.
bool HasRoutesByProtocol(uint8_t proto) {
  return proto == kProtoTcp || proto == kProtoUdp || proto == kProtoIcmp || proto == kProtoIcmpv6;
}

nlmsghdr* BeginQuestion(const RouteQuestion& question, uint32_t sequence, bool of_table,
                        Buffer* buffer) {
  rtmsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_GETROUTE, 0, sequence, buffer, &body);
  const auto bits = static_cast<uint8_t>(AddressBits(question.family));
  body->rtm_family = AddressFamily(question.family);
  body->rtm_dst_len = bits;
  if (of_table) body->rtm_flags |= RTM_F_FIB_MATCH;
  PutAddress(request, RTA_DST, question.daddr, question.family);
  if (!question.saddr.IsAny()) {
    body->rtm_src_len = bits;
    PutAddress(request, RTA_SRC, question.saddr, question.family);
  }
  if (question.iif != 0) mnl_attr_put_u32(request, RTA_IIF, static_cast<uint32_t>(question.iif));
  if (question.oif != 0) mnl_attr_put_u32(request, RTA_OIF, static_cast<uint32_t>(question.oif));
  if (question.mark != 0) mnl_attr_put_u32(request, RTA_MARK, question.mark);
  if (HasRoutesByProtocol(question.proto)) {
    mnl_attr_put_u8(request, RTA_IP_PROTO, question.proto);
    const bool ports = question.proto == kProtoTcp || question.proto == kProtoUdp;
    if (ports && question.sport != 0) mnl_attr_put_u16(request, RTA_SPORT, htobe16(question.sport));
    if (ports && question.dport != 0) mnl_attr_put_u16(request, RTA_DPORT, htobe16(question.dport));
  }
  return request;
}

bool HasLearnt(const nlattr* attr) {
  rta_cacheinfo info{};
  if (mnl_attr_get_payload_len(attr) < sizeof(info)) return false;
  std::memcpy(&info, mnl_attr_get_payload(attr), sizeof(info));
  return info.rta_expires != 0;
}

bool SomeEnclose(const nlattr* next_hops) {
  const auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(next_hops));
  auto left = static_cast<int>(mnl_attr_get_payload_len(next_hops));
  bool some = false;
  while (RTNH_OK(hop, left)) {
    const char* end = reinterpret_cast<const char*>(hop) + hop->rtnh_len;
    const auto* attr = reinterpret_cast<const nlattr*>(hop + 1);
    while (mnl_attr_ok(attr, static_cast<int>(end - reinterpret_cast<const char*>(attr)))) {
      const bool encapsulates = mnl_attr_get_type(attr) == RTA_ENCAP_TYPE;
      if (encapsulates && !Encapsulation(ReadNumber16(attr)).empty()) some = true;
      attr = mnl_attr_next(attr);
    }
    const int size = RTNH_ALIGN(hop->rtnh_len);
    const void* next = reinterpret_cast<const char*>(hop) + size;
    hop = static_cast<const rtnexthop*>(next);
    left -= size;
  }
  return some;
}

RouteAnswer ReadAnswer(const nlmsghdr* message, IpFamily family) {
  RouteAnswer answer;
  answer.kind = KindOf(static_cast<const rtmsg*>(mnl_nlmsg_get_payload(message))->rtm_type);
  bool expires = false;
  ForEachAttr(message, sizeof(rtmsg), [&](const nlattr* attr) {
    switch (mnl_attr_get_type(attr)) {
      case RTA_OIF:
        answer.ifindex = static_cast<int32_t>(mnl_attr_get_u32(attr));
        break;
      case RTA_PREFSRC:
        answer.source = ReadAddress(attr, family);
        break;
      case RTA_METRICS:
        answer.mtu = MtuIn(attr);
        break;
      case RTA_CACHEINFO:
        expires = HasLearnt(attr);
        break;
      case RTA_ENCAP_TYPE:
        answer.encapsulation = ReadNumber16(attr);
        break;
      case RTA_MULTIPATH:
        answer.several = true;
        answer.some_enclose = SomeEnclose(attr);
        break;
      default:
        break;
    }
  });
  answer.learnt = expires && answer.mtu != 0;
  return answer;
}

AddressPrefix ReadPrefix(const nlattr* attr, uint8_t family, uint8_t bits) {
  const auto ip = static_cast<IpFamily>(family);
  return {.address = ReadAddress(attr, ip), .family = ip, .bits = bits};
}

RoutingRule::Ports ReadPorts(const nlattr* attr) {
  fib_rule_port_range range{};
  if (mnl_attr_get_payload_len(attr) < sizeof(range)) return {};
  std::memcpy(&range, mnl_attr_get_payload(attr), sizeof(range));
  return {.first = range.start, .last = range.end};
}

void ReadField(const nlattr* attr, const fib_rule_hdr& head, RoutingRule* rule) {
  switch (mnl_attr_get_type(attr)) {
    case FRA_DST:
      rule->to = ReadPrefix(attr, head.family, head.dst_len);
      break;
    case FRA_SRC:
      rule->from = ReadPrefix(attr, head.family, head.src_len);
      break;
    case FRA_IIFNAME:
      rule->iif = mnl_attr_get_str(attr);
      break;
    case FRA_PRIORITY:
      rule->priority = mnl_attr_get_u32(attr);
      break;
    case FRA_FWMARK:
      rule->mark = mnl_attr_get_u32(attr);
      break;
    case FRA_FWMASK:
      rule->mark_mask = mnl_attr_get_u32(attr);
      break;
    case FRA_IP_PROTO:
      rule->proto = mnl_attr_get_u8(attr);
      break;
    case FRA_SPORT_RANGE:
      rule->sport = ReadPorts(attr);
      break;
    case FRA_DPORT_RANGE:
      rule->dport = ReadPorts(attr);
      break;
    case kSportMask:
    case kDportMask:
      if (mnl_attr_get_u16(attr) != 0xffff) rule->by_others = true;
      break;
    case FRA_TUN_ID:
    case FRA_OIFNAME:
    case FRA_UID_RANGE:
      rule->by_others = true;
      break;
    default:
      if (mnl_attr_get_type(attr) > FRA_DPORT_RANGE) rule->by_others = true;
  }
}

RoutingRule ReadRule(const nlmsghdr* message) {
  fib_rule_hdr head{};
  std::memcpy(&head, mnl_nlmsg_get_payload(message), sizeof(head));
  RoutingRule rule{.inverted = (head.flags & FIB_RULE_INVERT) != 0, .by_others = head.tos != 0};
  ForEachAttr(message, sizeof(fib_rule_hdr),
              [&](const nlattr* attr) { ReadField(attr, head, &rule); });
  return rule;
}

// Of one interface, or NETCONFA_IFINDEX_ALL.
struct NetConf {
  std::optional<bool> forwarding{};
  bool forced = false;
  bool multicast = false;
  int reverse_path = 0;
};

void ReadNetConf(const nlmsghdr* message, NetConf* conf) {
  ForEachAttr(message, NLMSG_ALIGN(sizeof(netconfmsg)), [&](const nlattr* attr) {
    if (mnl_attr_get_payload_len(attr) < sizeof(uint32_t)) return;
    const auto value = static_cast<int32_t>(mnl_attr_get_u32(attr));
    switch (mnl_attr_get_type(attr)) {
      case NETCONFA_FORWARDING:
        conf->forwarding = value != 0;
        break;
      case NETCONFA_RP_FILTER:
        conf->reverse_path = value;
        break;
      case NETCONFA_MC_FORWARDING:
        conf->multicast = value != 0;
        break;
      case kForceForwarding:
        conf->forced = value != 0;
        break;
      default:
        break;
    }
  });
}

NetConf AskNetConf(mnl_socket* socket, uint32_t sequence, IpFamily family, int32_t ifindex) {
  Buffer buffer;
  netconfmsg* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_GETNETCONF, 0, sequence, &buffer, &body);
  body->ncm_family = AddressFamily(family);
  mnl_attr_put_u32(request, NETCONFA_IFINDEX, static_cast<uint32_t>(ifindex));
  NetConf conf;
  (void)Ask(socket, request, RTM_NEWNETCONF, [&](const nlmsghdr* m) { ReadNetConf(m, &conf); });
  return conf;
}

}  // namespace

RouteAnswer HostNetwork::AskRoute(const RouteQuestion& question) {
  const auto ask = [&](bool of_table) {
    Buffer buffer;
    nlmsghdr* request = BeginQuestion(question, sequence_++, of_table, &buffer);
    RouteAnswer read;
    int error = 0;
    (void)Ask(
        requests_.get(), request, RTM_NEWROUTE,
        [&](const nlmsghdr* m) { read = ReadAnswer(m, question.family); }, &error);
    if (error != 0) read.kind = KindOfError(error);
    return read;
  };
  RouteAnswer answer = ask(false);
  if (answer.kind != RouteKind::kUnicast) return answer;
  const RouteAnswer route = ask(true);  // as it is in the table
  answer.several = route.several;
  answer.own_mtu = route.mtu;
  answer.some_enclose = route.some_enclose;
  if (answer.encapsulation == 0) answer.encapsulation = route.encapsulation;
  return answer;
}

std::vector<RoutingRule> HostNetwork::Rules(IpFamily family) {
  std::vector<RoutingRule> rules;
  Buffer buffer;
  fib_rule_hdr* body = nullptr;
  nlmsghdr* request = BeginRequest(RTM_GETRULE, NLM_F_DUMP, sequence_++, &buffer, &body);
  body->family = AddressFamily(family);
  (void)Ask(requests_.get(), request, RTM_NEWRULE,
            [&](const nlmsghdr* m) { rules.push_back(ReadRule(m)); });
  return rules;
}

ForwardingSettings HostNetwork::Forwarding(IpFamily family, int32_t iif) {
  const NetConf one = AskNetConf(requests_.get(), sequence_++, family, iif);
  const NetConf all = AskNetConf(requests_.get(), sequence_++, family, NETCONFA_IFINDEX_ALL);
  ForwardingSettings settings{.multicast = one.multicast || all.multicast};
  if (family ==
      IpFamily::kV4) {  // each interface has a say; of rp_filter, the stricter (ip-sysctl)
    settings.forwards = one.forwarding;
    settings.reverse_path = std::max(one.reverse_path, all.reverse_path);
  } else if (all.forwarding.has_value()) {  // `forwarding` of an interface means other things
    settings.forwards = *all.forwarding || one.forced;
  }
  return settings;
}

}  // namespace cygnet
