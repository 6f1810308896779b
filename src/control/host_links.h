// HostLinks: all interfaces and routes of the host, for rare questions: what is stacked on a device
// of Cygnet's, and which routes bypass it (NETLINK_ROUTE). Control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "net/address.h"
#include "net/selector.h"

struct mnl_socket;

namespace cygnet {

struct HostLink {
  int32_t ifindex = 0;
  std::string name{};
  std::string kind{};  // "bridge", "vlan", "gre" …; empty: a NIC
  int32_t lower = 0;   // the interface below (VLAN, macvlan, tunnel); 0: none
  int32_t master = 0;  // the bridge or bond that it is a port of; 0: none
  uint16_t vlan = 0;   // of kind "vlan": its id
  std::string alias{};
  bool up = false;  // set up by an operator; says nothing of a carrier
  bool running = false;
  uint32_t mtu = 0;
};

// A route to another host. Blocking routes and the host's own addresses are left out.
struct HostRoute {
  AddressPrefix to{};
  int32_t ifindex = 0;
  bool has_gateway = false;
  bool connected = false;      // made by the kernel for an address
  uint16_t encapsulation = 0;  // RTA_ENCAP_TYPE; 0: none
};

// What decides how the host forwards a packet, besides the mark of a firewall.
struct ForwardingKeys {
  // Of all routes in all tables, also those that block and those to the host itself, and of rules.
  std::vector<AddressPrefix> destinations{};
  std::vector<AddressPrefix> sources{};  // of rules, and of IPv6 routes that have one
  bool other_fields = false;             // some rule or route asks for protocol, ports, DSCP …
  bool interfaces = false;  // some rule asks for the interface that a packet came in by
  // Those of the destinations that a route with one next hop leads to, and by which interface.
  std::vector<std::pair<AddressPrefix, int32_t>> ways{};
};

class HostLinks {
 public:
  static constexpr std::size_t kMostRoutes = 20'000;

  static Result<std::unique_ptr<HostLinks>> Create();
  ~HostLinks();

  std::vector<HostLink> Links();
  // Of all tables; at most kMostRoutes.
  std::vector<HostRoute> Routes();
  // At most kMostRoutes destinations of routes.
  ForwardingKeys Forwarding();

 private:
  HostLinks() = default;
  struct Closer {
    void operator()(mnl_socket* s) const;
  };
  std::unique_ptr<mnl_socket, Closer> socket_;
  uint32_t sequence_ = 1;
};

// `ifindex` itself, and every interface that passes frames to it unchanged except for a tag, over
// several levels: bridges and bonds that it is a port of, VLANs and macvlans over it.
std::set<int32_t> StackOver(const std::vector<HostLink>& links, int32_t ifindex);

// True for an interface that encapsulates packets before they reach a wire.
bool IsTunnel(const HostLink& link);

// The name of a route's encapsulation (RTA_ENCAP_TYPE) that encloses or changes a packet before an
// interface has it. Empty: none, or one that only tells a tunnel interface of the host what to do.
std::string Encapsulation(uint16_t type);

}  // namespace cygnet
