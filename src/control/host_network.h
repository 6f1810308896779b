// HostNetwork: what the host's kernel knows of addresses, routes and neighbours (NETLINK_ROUTE).
// Addresses, routes and neighbours stay the kernel's business; this only asks and listens.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/address.h"
#include "net/ethernet.h"

struct mnl_socket;

namespace cygnet {

struct ResolvedHop {
  int32_t ifindex = 0;
  MacAddress mac{};
  bool stale = false;  // known, but the kernel would like to see it confirmed
};

// How the kernel would send to an address.
struct EgressRoute {
  int32_t ifindex = 0;
  IpAddress gateway;  // the destination itself when on-link
  IpAddress source;   // that it would send from; any when the kernel does not say
};

// What the kernel told of a neighbour.
struct NeighbourChange {
  int32_t ifindex = 0;
  IpAddress address;
  IpFamily family = IpFamily::kUnspec;
  std::optional<ResolvedHop> hop;  // nullopt: it is not known, or not any more
};

// What changed since the last look.
struct NetworkChanges {
  bool addresses = false;
  bool routes = false;
  bool lost = false;  // the kernel had more to tell than it could: anything may have changed
  std::vector<NeighbourChange> neighbours;
};

// Control thread.
class HostNetwork {
 public:
  static Result<std::unique_ptr<HostNetwork>> Create();
  ~HostNetwork();

  // Readable when addresses, routes or neighbours changed. TakeChanges takes what is there, but not
  // more than a turn's worth: anybody on the wire can make neighbours change.
  int event_fd() const;
  NetworkChanges TakeChanges();

  // Of any kind, in this network namespace.
  static bool InterfaceExists(int32_t ifindex);
  std::vector<ParsedAddress> LocalAddresses();
  // nullopt: not at all, or to this host itself.
  std::optional<EgressRoute> LookupRoute(const IpAddress& daddr, IpFamily family);
  // The gateway of the route. nullopt: it is not resolved.
  std::optional<ResolvedHop> LookupNeighbour(const EgressRoute& route, IpFamily family);
  // Marks an interface for people and for the preload shim, which reads the mark when a client asks
  // whether the interface offloads ESP.
  Status SetAlias(int32_t ifindex, const std::string& alias);
  // Asks the kernel to confirm or find a neighbour.
  void Probe(int32_t ifindex, const IpAddress& neighbour, IpFamily family);

 private:
  HostNetwork() = default;

  struct Closer {
    void operator()(mnl_socket* s) const;
  };
  std::unique_ptr<mnl_socket, Closer> requests_;
  std::unique_ptr<mnl_socket, Closer> events_;
  uint32_t sequence_ = 1;
};

}  // namespace cygnet
