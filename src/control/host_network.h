// HostNetwork: the host kernel's addresses, routes and neighbours (NETLINK_ROUTE). The kernel
// manages them; this class only queries and listens.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/host_questions.h"
#include "net/address.h"
#include "net/ethernet.h"

struct mnl_socket;
struct nlmsghdr;

namespace cygnet {

struct ResolvedHop {
  int32_t ifindex = 0;
  MacAddress mac{};
  bool stale = false;  // known, but the kernel wants it confirmed
};

// How the kernel would send to an address.
struct EgressRoute {
  int32_t ifindex = 0;
  IpAddress gateway;  // the destination itself when on-link
  IpAddress source;   // the address that it would send from; any if the kernel names none
  uint32_t mtu = 0;   // of the route itself; 0: its interface's
  // Asks for more than a frame to the gateway: an encapsulation, or a gateway of the other family.
  bool special = false;
};

// Where the kernel would send to an address; nullopt: unreachable, or this host itself.
using RouteLookup = std::function<std::optional<EgressRoute>(const IpAddress&, IpFamily)>;

// A neighbour event of the kernel.
struct NeighbourChange {
  int32_t ifindex = 0;
  IpAddress address;
  IpFamily family = IpFamily::kUnspec;
  std::optional<ResolvedHop> hop;  // nullopt: not known, or no longer known
};

// An address of this host, as the kernel tells it from others: IPv4 may have one more than once on
// an interface, with other prefixes or peers.
struct HostAddress {
  ParsedAddress at;
  int32_t ifindex = 0;
  uint8_t prefix_bits = 0;
  IpAddress peer;  // the other end of a point-to-point link; any: none, and with IPv6
};

struct AddressChange {
  HostAddress address;
  bool present = true;  // false: the host no longer has it
};

// What changed since the last call.
struct NetworkChanges {
  std::vector<AddressChange> addresses;  // in their order
  std::vector<AddressPrefix> local;      // of LocalDestinations, new or told again
  bool local_gone = false;               // LocalDestinations may have fewer, or those of a new VRF
  bool routes = false;
  bool lost = false;  // the kernel dropped events: anything may have changed
  bool more = false;  // others may wait
  std::vector<NeighbourChange> neighbours;
};

// What TakeChanges hears of. kForwarding: also of routing rules, next hop objects and forwarding
// settings, which count as changes of routes, as those of interfaces do then.
enum class NetworkEvents : uint8_t { kNextHops, kForwarding };

// Control thread.
class HostNetwork {
 public:
  static Result<std::unique_ptr<HostNetwork>> Create(
      NetworkEvents events = NetworkEvents::kNextHops);
  ~HostNetwork();

  // Readable when addresses, routes or neighbours changed. TakeChanges reads at most one turn's
  // share: anybody on the wire can make neighbours change.
  int event_fd() const;
  NetworkChanges TakeChanges();

  // An interface of any kind, in this network namespace.
  static bool InterfaceExists(int32_t ifindex);
  // nullopt: the kernel did not answer.
  std::optional<std::vector<HostAddress>> Addresses();
  // What routes of type local, broadcast and anycast deliver to this host, in the local table and
  // those of VRFs. Tables that only a routing rule reaches are left out: what they say depends on
  // more than the destination. nullopt: the kernel did not answer.
  std::optional<std::vector<AddressPrefix>> LocalDestinations();
  // nullopt: unreachable, or this host itself.
  // `mark`: of the packet, for the host's routing rules.
  std::optional<EgressRoute> LookupRoute(const IpAddress& daddr, IpFamily family,
                                         uint32_t mark = 0);
  // How the kernel would forward a packet that came in by the interface `iif`. nullopt: it would
  // not, or the packet is for this host.
  std::optional<EgressRoute> LookupForwarded(const IpAddress& saddr, const IpAddress& daddr,
                                             IpFamily family, int32_t iif);
  // The same for all packets between networks of which these are two addresses. nullopt also if the
  // route has next hops by several interfaces, so that the kernel spreads flows over them.
  std::optional<EgressRoute> LookupOnlyWay(const IpAddress& saddr, const IpAddress& daddr,
                                           IpFamily family, int32_t iif);
  // HostQuestions: what the kernel would do with one packet.
  RouteAnswer AskRoute(const RouteQuestion& question);
  std::vector<RoutingRule> Rules(IpFamily family);
  ForwardingSettings Forwarding(IpFamily family, int32_t iif);
  // The neighbour that is the route's gateway. nullopt: not resolved.
  std::optional<ResolvedHop> LookupNeighbour(const EgressRoute& route, IpFamily family);
  // Labels an interface for people and for the preload shim. The shim reads the label when a client
  // asks whether the interface offloads ESP.
  Status SetAlias(int32_t ifindex, const std::string& alias);
  // Deletes the interfaces together. One after the other, each would take as long as the kernel
  // needs to be sure that nobody uses it: 1,000 would take half a minute.
  Status DeleteInterfaces(const std::vector<int32_t>& ifindexes);
  // Asks the kernel to confirm or find a neighbour.
  void Probe(int32_t ifindex, const IpAddress& neighbour, IpFamily family);

 private:
  explicit HostNetwork(NetworkEvents events) : events_of_(events) {}
  void AddChange(const nlmsghdr* message, NetworkChanges* changes) const;
  void AddRouteChange(const nlmsghdr* message, NetworkChanges* changes) const;
  std::optional<EgressRoute> AskRoute(nlmsghdr* request, const IpAddress& daddr, IpFamily family);
  Status SetGroup(int32_t ifindex, uint32_t group);
  Status DeleteGroup(uint32_t group);

  struct Closer {
    void operator()(mnl_socket* s) const;
  };
  std::unique_ptr<mnl_socket, Closer> requests_;
  std::unique_ptr<mnl_socket, Closer> events_;
  const NetworkEvents events_of_;
  std::set<uint32_t> local_tables_;  // as LocalDestinations read them
  uint32_t sequence_ = 1;
};

}  // namespace cygnet
