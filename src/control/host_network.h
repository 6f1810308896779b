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

// Control thread.
class HostNetwork {
 public:
  static Result<std::unique_ptr<HostNetwork>> Create();
  ~HostNetwork();

  // Readable when addresses, routes or neighbours changed; DrainEvents swallows what is there.
  int event_fd() const;
  bool DrainEvents();

  // Of any kind, in this network namespace.
  static bool InterfaceExists(int32_t ifindex);
  std::vector<ParsedAddress> LocalAddresses();
  // How the kernel would send to `daddr`; nullopt: not at all, or to this host itself.
  struct Route {
    int32_t ifindex = 0;
    IpAddress gateway;  // the destination itself when on-link
    IpAddress source;   // that it would send from; any when the kernel does not say
  };
  std::optional<Route> LookupRoute(const IpAddress& daddr, IpFamily family);
  // Where a packet to `daddr` goes next. nullopt: no route, or the neighbour is not resolved yet;
  // then the kernel has been asked to resolve it, and an event will follow.
  std::optional<ResolvedHop> NextHop(const IpAddress& daddr, IpFamily family);
  // Marks an interface for people and for the preload shim, which reads the mark when a client asks
  // whether the interface offloads ESP.
  Status SetAlias(int32_t ifindex, const std::string& alias);
  // Asks the kernel to confirm or find a neighbour.
  void Probe(int32_t ifindex, const IpAddress& neighbour, IpFamily family);

 private:
  HostNetwork() = default;
  std::optional<ResolvedHop> LookupNeighbour(const Route& route, IpFamily family);

  struct Closer {
    void operator()(mnl_socket* s) const;
  };
  std::unique_ptr<mnl_socket, Closer> requests_;
  std::unique_ptr<mnl_socket, Closer> events_;
  uint32_t sequence_ = 1;
};

}  // namespace cygnet
