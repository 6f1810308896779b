// HostLinks: the host's interfaces and routes as a whole, for questions that are asked rarely: what
// stands on a device of Cygnet's, and which routes pass it by (NETLINK_ROUTE). Control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
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
  int32_t lower = 0;   // what it is made over (VLAN, macvlan, tunnel); 0: nothing
  int32_t master = 0;  // bridge or bond that it is a port of; 0: none
};

// A route to somewhere else: what blocks, and the host's own addresses, are left out.
struct HostRoute {
  AddressPrefix to{};
  int32_t ifindex = 0;
  bool has_gateway = false;
  bool connected = false;  // the kernel made it for an address
};

class HostLinks {
 public:
  static constexpr std::size_t kMostRoutes = 20'000;

  static Result<std::unique_ptr<HostLinks>> Create();
  ~HostLinks();

  std::vector<HostLink> Links();
  // Of all tables, kMostRoutes at most.
  std::vector<HostRoute> Routes();

 private:
  HostLinks() = default;
  struct Closer {
    void operator()(mnl_socket* s) const;
  };
  std::unique_ptr<mnl_socket, Closer> socket_;
  uint32_t sequence_ = 1;
};

// `ifindex` itself, and what passes its frames to it unchanged but for a tag: bridges and bonds
// that it is a port of, VLANs and macvlans over it, over several storeys.
std::set<int32_t> StackOver(const std::vector<HostLink>& links, int32_t ifindex);

// An interface that puts packets into others before they reach a wire.
bool IsTunnel(const HostLink& link);

}  // namespace cygnet
