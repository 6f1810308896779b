#include "control/inside_control.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <fstream>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr uint32_t kMissesAtOnce = 64;
constexpr InsideScope kByInterface = 0x4000'0000;  // the rest is an ifindex

bool IsSet(const std::string& path) {
  std::ifstream file(path);
  int value = 0;
  return file >> value && value != 0;
}

// The bridge or bond that the interface is a port of; empty: none. A VRF takes no frames.
std::string OwnerOfFrames(const std::vector<HostLink>& links, const HostLink& port) {
  for (const HostLink& link : links) {
    const bool takes = link.kind == "bridge" || link.kind == "bond" || link.kind == "team";
    if (port.master != 0 && link.ifindex == port.master && takes) return link.name;
  }
  return {};
}

}  // namespace

bool InsideControl::ClassKey::operator<(const ClassKey& other) const {
  if (inside != other.inside) return inside < other.inside;
  if (family != other.family) return family < other.family;
  return std::lexicographical_compare(sources.begin(), sources.end(), other.sources.begin(),
                                      other.sources.end(), PrefixOrder{});
}

InsideControl::~InsideControl() = default;

void InsideControl::Add(const Name& name, uint32_t sharers, PacketPool* pool) {
  DataPath& path = *parts_.path;
  if (name.port == ports_.size()) {
    const std::string lower =
        name.vlan == 0 ? name.interface : name.interface.substr(0, name.interface.rfind('.'));
    ports_.push_back(
        std::make_unique<InsidePort>(InsidePortParams{.interface = lower,
                                                      .place = name.port,
                                                      .tables = parts_.tables.get(),
                                                      .pool = pool,
                                                      .workers = path.workers(),
                                                      .sharers = sharers,
                                                      .quiescence = &path.quiescence}));
  }
  InsidePort* const port = ports_[name.port].get();
  interfaces_.push_back({.name = name,
                         .path = path.inside.Add(name.interface, name.device, port, name.vlan),
                         .problem = {}});
}

InsideTables::Place InsideControl::PlaceOf(uint8_t inside) const {
  const Name& name = InterfaceOf(inside).name;
  return {.port = name.port, .vlan = name.vlan};
}

// --- Interfaces ---

void InsideControl::Look() {
  bool changed = false;
  for (const auto& port : ports_) changed = port->Look() || changed;
  if (!changed) return;
  network_changed_ = true;
  for (auto& bell : parts_.path->bells) bell->Ring();  // its sockets are new
}

void InsideControl::Refresh() {
  const std::vector<HostLink> links = parts_.links->Links();
  for (Interface& interface : interfaces_) RefreshOne(links, &interface);
  RefreshTunnels(links);
  ReadVrfs(links);
  RefreshAddresses();
}

void InsideControl::RefreshOne(const std::vector<HostLink>& links, Interface* interface) {
  const Name& name = interface->name;
  const InsidePort& port = *ports_[name.port];
  const auto link = std::find_if(links.begin(), links.end(),
                                 [&](const HostLink& l) { return l.name == name.interface; });
  interface->ifindex = 0;
  interface->problem = port.problem();
  if (link == links.end() || port.ifindex() == 0) return;
  if (const std::string owner = OwnerOfFrames(links, *link); !owner.empty()) {
    interface->problem = "it is a port of " + owner + ", which gets its packets";
    return;
  }
  if (name.vlan != 0 &&
      (link->kind != "vlan" || link->vlan != name.vlan || link->lower != port.ifindex())) {
    interface->problem = name.interface + " is not VLAN " + std::to_string(name.vlan) + " of " +
                         std::string(port.name());
    return;
  }
  const PortLink seen = LookAtLink(name.interface);
  if (seen.mac != port.mac()) {
    interface->problem = "its MAC address is not that of " + std::string(port.name());
    return;
  }
  interface->v4 = IsSet("/proc/sys/net/ipv4/conf/" + name.interface + "/forwarding");
  interface->v6 = IsSet("/proc/sys/net/ipv6/conf/all/forwarding");
  if (!interface->v4 && !interface->v6) {
    interface->problem = "the host does not forward (sysctl net.ipv4.ip_forward)";
  }
  interface->path->mtu.store(seen.mtu, std::memory_order_relaxed);
  if (seen.status == LinkStatus::kUp) interface->ifindex = link->ifindex;
}

// Those that the host can use. One that an operator has moved into another network namespace, or
// renamed, is left to the host.
void InsideControl::RefreshTunnels(const std::vector<HostLink>& links) {
  std::map<int32_t, const Tunnel*> by_ifindex;
  parts_.path->tunnels.ForEach([&](const Tunnel* tunnel) { by_ifindex[tunnel->ifindex] = tunnel; });
  tunnels_.clear();
  for (const HostLink& link : links) {
    const auto at = by_ifindex.find(link.ifindex);
    if (at == by_ifindex.end() || link.kind != "tun" || link.name != at->second->port->name()) {
      continue;
    }
    if (link.up && link.running) tunnels_[link.ifindex] = {at->second->number, link.mtu};
  }
}

void InsideControl::ReadVrfs(const std::vector<HostLink>& links) {
  std::set<int32_t> vrfs;
  for (const HostLink& link : links) {
    if (link.kind == "vrf") vrfs.insert(link.ifindex);
  }
  vrfs_.clear();
  for (const HostLink& link : links) {
    if (vrfs.count(link.master) != 0) vrfs_[link.ifindex] = link.master;
  }
}

int32_t InsideControl::VrfOf(int32_t ifindex) const {
  const auto found = vrfs_.find(ifindex);
  return found == vrfs_.end() ? 0 : found->second;
}

InsideScope InsideControl::ScopeFor(int32_t ifindex) const {
  return keys_.interfaces ? kByInterface | static_cast<InsideScope>(ifindex)
                          : static_cast<InsideScope>(VrfOf(ifindex));
}

// REQUIRES: tunnels, VRFs and rules have just been read.
void InsideControl::SetScopes() {
  DataPath& path = *parts_.path;
  for (std::size_t i = 0; i < path.interfaces.size(); ++i) {
    path.inside.SetScope(static_cast<uint8_t>(i), ScopeFor(path.interfaces[i].ifindex));
  }
  path.tunnels.ForEach([this](Tunnel* tunnel) {
    tunnel->inside_scope.store(
        tunnels_.count(tunnel->ifindex) != 0 ? ScopeFor(tunnel->ifindex) : kNoInsideScope,
        std::memory_order_relaxed);
  });
}

void InsideControl::RefreshAddresses() {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return;
  for (Interface& interface : interfaces_) {
    ParsedAddress v4{.address = {}, .family = IpFamily::kV4};
    ParsedAddress v6{.address = {}, .family = IpFamily::kV6};
    for (const ifaddrs* a = all; a != nullptr; a = a->ifa_next) {
      if (a->ifa_addr == nullptr || interface.name.interface != a->ifa_name) continue;
      if (a->ifa_addr->sa_family == AF_INET && v4.address.IsAny()) {
        v4.address = IpAddress::V4(&reinterpret_cast<const sockaddr_in*>(a->ifa_addr)->sin_addr);
      } else if (a->ifa_addr->sa_family == AF_INET6) {
        const auto* in6 = reinterpret_cast<const sockaddr_in6*>(a->ifa_addr);
        const bool global = !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
        if (v6.address.IsAny() || global) v6.address = IpAddress::V6(&in6->sin6_addr);
      }
    }
    interface.path->SetAddress(v4);
    interface.path->SetAddress(v6);
  }
  freeifaddrs(all);
}

// --- Events ---

void InsideControl::OnNetworkEvents() {
  const NetworkChanges changes = parts_.network->TakeChanges();
  if (changes.routes || !changes.addresses.empty() || changes.lost) {
    network_changed_ = true;
    Look();
  }
  for (const NeighbourChange& change : changes.neighbours) {
    if (gateways_.count({change.family, change.address}) == 0) continue;
    for (auto host = hosts_.begin(); host != hosts_.end();) {
      const Where& where = host->second.where;
      const bool concerned = std::get<IpFamily>(host->first) == change.family &&
                             where.gateway == change.address &&
                             InterfaceOf(where.inside).ifindex == change.ifindex &&
                             (!change.hop || change.hop->mac != where.mac);
      host = concerned ? Drop(host) : std::next(host);
    }
  }
}

bool InsideControl::DoSome() {
  bool more = false;
  const uint64_t began = parts_.clock->MonotonicNs();
  if (network_changed_ && began >= next_refresh_ns_) {
    network_changed_ = false;
    Refresh();
    ReadCuts();
    SetScopes();
    // A routing daemon that changes thousands of routes must not keep this thread busy.
    const uint64_t ended = parts_.clock->MonotonicNs();
    next_refresh_ns_ = ended + 10 * (ended - began);
    asked_.clear();
    spd_version_ = ~uint32_t{0};
    verifying_ = true;
    verify_from_.reset();
  }
  more = VerifySome() || more;
  more = UpdateClasses() || more;
  return parts_.path->inside.TakeMisses(kMissesAtOnce, [this](const Inside::Miss& miss) {
    OnMiss(miss);
  }) || more;
}

void InsideControl::Tick() {
  Look();
  AgeHosts();
}

void InsideControl::Shut() {
  for (const auto& port : ports_) port->Shut();
}

// --- Report ---

std::vector<InsideReport> InsideControl::Report() const {
  std::vector<InsideReport> rows;
  for (const Interface& i : interfaces_) {
    const InsidePort& port = *ports_[i.name.port];
    const auto& counters = i.path->counters;
    const std::string mode = port.mode();
    InsideReport row{
        .name = i.name.interface,
        .device = std::string(parts_.path->interfaces[i.name.device].host->name()),
        .state = !port.link_up() || mode.empty() ? std::string(cygnet::Name(port.link())) : mode,
        .explanation = i.problem,
        .in_packets = counters.in_packets.load(std::memory_order_relaxed),
        .in_bytes = counters.in_bytes.load(std::memory_order_relaxed),
        .out_packets = counters.out_packets.load(std::memory_order_relaxed),
        .out_bytes = counters.out_bytes.load(std::memory_order_relaxed),
        .dropped = port.stats().rx_dropped,
        .misses = parts_.path->inside.misses()};
    if (row.explanation.empty() && too_many_routes_) {
      row.explanation = "the host has more than " + std::to_string(HostLinks::kMostRoutes) +
                        " routes: no packet is taken from the interface";
    }
    if (row.explanation.empty() && keys_.other_fields) {
      row.explanation =
          "a routing rule or route of the host selects by protocol, port or DSCP (ip rule): no "
          "packet is taken from the interface";
    }
    for (const auto& [key, one] : classes_) {
      if (key.inside != i.path->number) continue;
      row.hosts += one.hosts;
      row.left_to_host = std::max(row.left_to_host, one.left_to_host);
      row.prefixes += static_cast<std::size_t>(
          std::count_if(one.installed.begin(), one.installed.end(),
                        [](const auto& way) { return way.second.largest != 0; }));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace cygnet
