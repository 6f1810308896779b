#include "control/inside_control.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include <algorithm>
#include <fstream>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostHosts = InsideTables::kMaxHosts - 1024;
constexpr std::size_t kVerifyAtOnce = 256;
constexpr uint32_t kMissesAtOnce = 64;
constexpr std::size_t kMostAsked = 4096;
constexpr uint64_t kLookUpNs = 500'000;
constexpr uint64_t kBurstNs = 100 * kLookUpNs;
constexpr uint64_t kAskAgainNs = 300'000'000;
constexpr uint64_t kRoundNs = 20'000'000'000;    // how often use is looked at
constexpr uint64_t kForgetNs = 300'000'000'000;  // of a host without traffic

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

InsideTables::Place InsideControl::PlaceOf(uint16_t inside) const {
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
      const bool concerned = host->first.first == change.family &&
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
  const uint64_t now = parts_.clock->MonotonicNs();
  if (now < next_round_ns_) return;
  next_round_ns_ = now + kRoundNs;
  std::set<std::tuple<int32_t, IpFamily, IpAddress>> gateways;
  gateways_.clear();
  for (auto host = hosts_.begin(); host != hosts_.end();) {
    const auto& [key, known] = *host;
    InsideHost* entry = parts_.path->inside.Find(key.second, key.first);
    if (entry != nullptr && entry->used.exchange(false)) {
      host->second.used_at = now;
      gateways.emplace(InterfaceOf(known.where.inside).ifindex, key.first, known.where.gateway);
    }
    gateways_.insert({key.first, known.where.gateway});
    host = now > known.used_at + kForgetNs ? Drop(host) : std::next(host);
  }
  // As a packet by the kernel would: it confirms the neighbour, or finds out that it is gone.
  for (const auto& [ifindex, family, address] : gateways) {
    if (ifindex != 0) parts_.network->Probe(ifindex, address, family);
  }
}

void InsideControl::Shut() {
  for (const auto& port : ports_) port->Shut();
}

// --- Hosts ---

std::optional<InsideControl::Where> InsideControl::Locate(const ParsedAddress& host,
                                                          const IpAddress& peer, uint8_t device) {
  if (device >= parts_.path->interfaces.size() || keys_.other_fields) return std::nullopt;
  const auto route = parts_.network->LookupForwarded(peer, host.address, host.family,
                                                     parts_.path->interfaces[device].ifindex);
  if (!route) return std::nullopt;
  const auto at = std::find_if(interfaces_.begin(), interfaces_.end(), [&](const Interface& i) {
    return i.ifindex == route->ifindex && i.name.device == device &&
           (host.family == IpFamily::kV4 ? i.v4 : i.v6);
  });
  if (at == interfaces_.end() || at->ifindex == 0) return std::nullopt;
  if (!route->IsPlain(at->path->mtu.load(std::memory_order_relaxed))) return std::nullopt;
  const auto hop = parts_.network->LookupNeighbour(*route, host.family);
  if (!hop) return std::nullopt;
  return Where{.inside = at->path->number, .gateway = route->gateway, .mac = hop->mac};
}

// Anybody on either side can cause misses. So look-ups are limited to a rate, and an address
// without an answer is not looked up again at once.
void InsideControl::OnMiss(const Inside::Miss& miss) {
  const HostKey key{miss.host.family, miss.host.address};
  const uint64_t now = parts_.clock->MonotonicNs();
  if (hosts_.count(key) != 0 || hosts_.size() >= kMostHosts) return;
  if (const auto asked = asked_.find(key); asked != asked_.end()) {
    if (now < asked->second + kAskAgainNs) return;
    asked_.erase(asked);
  }
  if (now < next_look_up_ns_) return;
  next_look_up_ns_ = std::max(next_look_up_ns_ + kLookUpNs, now - std::min(now, kBurstNs));
  if (const auto where = Locate(miss.host, miss.peer, miss.device)) {
    Enter(miss.host, miss.peer, *where);
    return;
  }
  if (asked_.size() >= kMostAsked) asked_.clear();
  asked_.emplace(key, now);
}

void InsideControl::Enter(const ParsedAddress& host, const IpAddress& peer, const Where& where) {
  const auto of_class = ClassFor(host, where.inside);
  gateways_.insert({host.family, where.gateway});
  ++of_class->second.hosts;
  hosts_[{host.family, host.address}] = {
      .where = where, .peer = peer, .of_class = of_class, .used_at = parts_.clock->MonotonicNs()};
  auto entry = std::make_unique<InsideHost>();
  entry->address = host;
  entry->inside = where.inside;
  entry->next_hop = where.mac;
  parts_.path->inside.Put(std::move(entry));  // before its packets may be taken
  (void)parts_.tables->SetHost(PlaceOf(where.inside), host, of_class->second.id);
}

InsideControl::Hosts::iterator InsideControl::Drop(Hosts::iterator host) {
  const ParsedAddress address{host->first.second, host->first.first};
  parts_.tables->DropHost(PlaceOf(host->second.where.inside), address);
  parts_.path->inside.Drop(address);
  LeaveClass(host->second.of_class);
  return hosts_.erase(host);
}

// Looks up hosts again after a change of the network, and drops those that are elsewhere now.
bool InsideControl::VerifySome() {
  if (!verifying_) return false;
  auto host = verify_from_ ? hosts_.lower_bound(*verify_from_) : hosts_.begin();
  for (std::size_t n = 0; n < kVerifyAtOnce && host != hosts_.end(); ++n) {
    const ParsedAddress address{host->first.second, host->first.first};
    const uint8_t device = InterfaceOf(host->second.where.inside).name.device;
    const auto now = Locate(address, host->second.peer, device);
    host = now && *now == host->second.where ? std::next(host) : Drop(host);
  }
  verifying_ = host != hosts_.end();
  verify_from_.reset();
  if (verifying_) verify_from_ = host->first;
  return verifying_;
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
      row.prefixes +=
          static_cast<std::size_t>(std::count_if(one.installed.begin(), one.installed.end(),
                                                 [](const auto& prefix) { return prefix.second; }));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace cygnet
