// What the host's kernel is asked about one packet: the route, the rules that chose it, whether the
// host forwards. `cygnet why` and `cygnet mtu explain` ask; nothing changes.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/host_links.h"
#include "net/address.h"
#include "net/selector.h"

namespace cygnet {

struct RouteQuestion {
  IpAddress daddr{};
  IpAddress saddr{};  // any: the kernel chooses
  IpFamily family = IpFamily::kUnspec;
  int32_t iif = 0;  // that it came in by; 0: this host sends it
  int32_t oif = 0;  // that its socket is bound to; 0: none
  uint32_t mark = 0;
  uint8_t proto = 0;  // 0: unknown, the kernel asks as for UDP
  uint16_t sport = 0;
  uint16_t dport = 0;
};

enum class RouteKind : uint8_t {
  kNoAnswer,  // of the kernel
  kUnicast,
  kLocalAddress,  // for this host
  kBroadcast,
  kMulticast,
  kNoRoute,
  kUnreachable,  // a route of this type; IPv4 also: it came in where the host does not forward
  kProhibited,
  kInvalid,  // a route of type blackhole; IPv4 also: an address that may not be there
};

struct RouteAnswer {
  RouteKind kind = RouteKind::kNoAnswer;
  int32_t ifindex = 0;
  IpAddress source{};          // that the kernel would choose; any: none
  uint32_t mtu = 0;            // 0: its interface's
  bool learnt = false;         // `mtu` is a path MTU that the host has learnt
  uint32_t own_mtu = 0;        // of the route itself; 0: its interface's
  bool several = false;        // the route has several next hops
  uint16_t encapsulation = 0;  // of the route (RTA_ENCAP_TYPE); 0: none
  bool some_enclose = false;   // of several next hops, some have an encapsulation

  bool SameWay(const RouteAnswer& other) const {
    return kind == other.kind && ifindex == other.ifindex;
  }
};

// A routing rule, as far as it chooses packets.
struct RoutingRule {
  struct Ports {
    uint16_t first = 0;
    uint16_t last = 0;  // 0: any
    bool Has(uint16_t port) const { return port >= first && port <= last; }
  };
  uint32_t priority = 0;
  AddressPrefix from{};  // 0 bits: any
  AddressPrefix to{};
  std::string iif{};  // "lo": what this host sends; empty: any
  uint32_t mark = 0;
  uint32_t mark_mask = 0;  // 0: any
  uint8_t proto = 0;       // 0: any
  Ports sport{};
  Ports dport{};
  bool inverted = false;
  bool by_others = false;  // by DSCP, user, interface bound to, or what is not known here
};

// Of packets that came in by an interface.
struct ForwardingSettings {
  std::optional<bool> forwards{};  // nullopt: the kernel did not tell
  bool multicast = false;          // a multicast routing daemon runs
  int reverse_path = 0;            // rp_filter of IPv4: 0 off, 1 strict, 2 loose
};

// Answers about the host. An empty `route`: unknown host, of tests.
struct HostQuestions {
  std::function<RouteAnswer(const RouteQuestion&)> route{};
  std::function<std::vector<RoutingRule>(IpFamily)> rules{};
  std::function<ForwardingSettings(IpFamily, int32_t iif)> forwarding{};
  std::function<std::vector<HostLink>()> links{};
  std::function<std::vector<ParsedAddress>()> own_addresses{};
};

}  // namespace cygnet
