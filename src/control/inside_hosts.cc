// The part of InsideControl that finds the hosts behind inside interfaces, and forgets them.
#include "control/inside_control.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostHosts = InsideTables::kMaxHosts - 1024;
constexpr std::size_t kVerifyAtOnce = 256;
constexpr std::size_t kMostAsked = 4096;
constexpr uint64_t kLookUpNs = 500'000;
constexpr uint64_t kBurstNs = 100 * kLookUpNs;
constexpr uint64_t kAskAgainNs = 300'000'000;
constexpr uint64_t kRoundNs = 20'000'000'000;    // how often use is looked at
constexpr uint64_t kForgetNs = 300'000'000'000;  // of a host without traffic
constexpr uint32_t kNoMtu = 65'535;

}  // namespace

// The ifindex of the tunnel or device; 0: the tunnel is not one that the host uses.
int32_t InsideControl::ArrivesBy(const Inside::Miss& miss) const {
  if (miss.tunnel == 0) return parts_.path->interfaces[miss.device].ifindex;
  const Tunnel* tunnel = parts_.path->tunnels.at(miss.tunnel);
  return tunnel != nullptr && tunnels_.count(tunnel->ifindex) != 0 ? tunnel->ifindex : 0;
}

std::optional<InsideControl::Where> InsideControl::Locate(const Inside::Miss& miss) {
  const int32_t arrives_by = ArrivesBy(miss);
  if (arrives_by == 0 || keys_.other_fields) return std::nullopt;
  const ParsedAddress& host = miss.host;
  const auto route =
      parts_.network->LookupForwarded(miss.peer, host.address, host.family, arrives_by);
  if (!route || route->special) return std::nullopt;
  const auto at = std::find_if(interfaces_.begin(), interfaces_.end(), [&](const Interface& i) {
    return i.ifindex == route->ifindex && (miss.tunnel != 0 || i.name.device == miss.device) &&
           (host.family == IpFamily::kV4 ? i.v4 : i.v6);
  });
  if (at == interfaces_.end() || at->ifindex == 0) return std::nullopt;
  const auto hop = parts_.network->LookupNeighbour(*route, host.family);
  if (!hop) return std::nullopt;
  return Where{.inside = at->path->number,
               .gateway = route->gateway,
               .mac = hop->mac,
               .mtu = route->mtu != 0 ? route->mtu : kNoMtu};
}

// Anybody on either side can cause misses. So look-ups are limited to a rate, and an address
// without an answer is not looked up again at once.
void InsideControl::OnMiss(const Inside::Miss& miss) {
  if (miss.device >= parts_.path->interfaces.size()) return;
  const int32_t arrives_by = ArrivesBy(miss);
  if (arrives_by == 0) return;
  const HostKey key{ScopeFor(arrives_by), miss.host.family, miss.host.address};
  const uint64_t now = parts_.clock->MonotonicNs();
  if (hosts_.count(key) != 0 || hosts_.size() >= kMostHosts) return;
  if (const auto asked = asked_.find(key); asked != asked_.end()) {
    if (now < asked->second + kAskAgainNs) return;
    asked_.erase(asked);
  }
  if (now < next_look_up_ns_) return;
  next_look_up_ns_ = std::max(next_look_up_ns_ + kLookUpNs, now - std::min(now, kBurstNs));
  if (const auto where = Locate(miss)) {
    Enter(key, miss, *where);
    return;
  }
  if (asked_.size() >= kMostAsked) asked_.clear();
  asked_.emplace(key, now);
}

// Its packets are accepted too, unless the answer is that of another VRF than the interface's.
void InsideControl::Enter(const HostKey& key, const Inside::Miss& miss, const Where& where) {
  Host& host = hosts_[key];
  host = {.where = where,
          .seen = miss,
          .is_source = VrfOf(InterfaceOf(where.inside).ifindex) == VrfOf(ArrivesBy(miss)),
          .used_at = parts_.clock->MonotonicNs()};
  gateways_.insert({miss.host.family, where.gateway});
  auto entry = std::make_unique<InsideHost>();
  entry->key = {std::get<InsideScope>(key), miss.host};
  entry->inside = where.inside;
  entry->next_hop = where.mac;
  entry->mtu = where.mtu;
  parts_.path->inside.Put(std::move(entry));
  if (host.is_source) EnterSource(where.inside, miss.host);
}

void InsideControl::EnterSource(uint8_t inside, const ParsedAddress& host) {
  const auto [at, added] = sources_.try_emplace({inside, host.family, host.address});
  ++at->second.holders;
  if (!added) return;
  const auto of_class = ClassFor(host, inside);
  ++of_class->second.hosts;
  at->second.of_class = of_class;
  auto entry = std::make_unique<InsideSource>();
  entry->key = {SourceScope(inside), host};
  entry->of_class.store(of_class->second.path.get());
  parts_.path->inside.Put(std::move(entry));  // before its packets may be taken
  (void)parts_.tables->SetHost(PlaceOf(inside), host, of_class->second.id);
}

void InsideControl::LeaveSource(uint8_t inside, const ParsedAddress& host) {
  const auto at = sources_.find({inside, host.family, host.address});
  if (--at->second.holders > 0) return;
  parts_.tables->DropHost(PlaceOf(inside), host);
  parts_.path->inside.DropSource({SourceScope(inside), host});
  LeaveClass(at->second.of_class);
  sources_.erase(at);
}

InsideControl::Hosts::iterator InsideControl::Drop(Hosts::iterator host) {
  const auto& [scope, family, address] = host->first;
  parts_.path->inside.DropHost({scope, {address, family}});
  if (host->second.is_source) LeaveSource(host->second.where.inside, {address, family});
  return hosts_.erase(host);
}

// Looks up hosts again after a change of the network, and drops those that are elsewhere now.
bool InsideControl::VerifySome() {
  if (!verifying_) return false;
  auto host = verify_from_ ? hosts_.lower_bound(*verify_from_) : hosts_.begin();
  for (std::size_t n = 0; n < kVerifyAtOnce && host != hosts_.end(); ++n) {
    const Host& known = host->second;
    const bool same_scope = std::get<InsideScope>(host->first) == ScopeFor(ArrivesBy(known.seen)) &&
                            known.is_source == (VrfOf(InterfaceOf(known.where.inside).ifindex) ==
                                                VrfOf(ArrivesBy(known.seen)));
    const auto now = same_scope ? Locate(known.seen) : std::nullopt;
    host = now && *now == known.where ? std::next(host) : Drop(host);
  }
  verifying_ = host != hosts_.end();
  verify_from_.reset();
  if (verifying_) verify_from_ = host->first;
  return verifying_;
}

void InsideControl::AgeHosts() {
  const uint64_t now = parts_.clock->MonotonicNs();
  if (now < next_round_ns_) return;
  next_round_ns_ = now + kRoundNs;
  for (auto& [key, source] : sources_) {
    const auto& [inside, family, address] = key;
    InsideSource* entry = parts_.path->inside.FindSource({SourceScope(inside), {address, family}});
    if (entry != nullptr && entry->use.Take()) source.used_at = now;
  }
  std::set<std::tuple<int32_t, IpFamily, IpAddress>> gateways;
  gateways_.clear();
  for (auto host = hosts_.begin(); host != hosts_.end();) {
    auto& [key, known] = *host;
    const IpFamily family = std::get<IpFamily>(key);
    if (WasUsed(key, known, now)) {
      known.used_at = now;
      gateways.emplace(InterfaceOf(known.where.inside).ifindex, family, known.where.gateway);
    }
    gateways_.insert({family, known.where.gateway});
    host = now > known.used_at + kForgetNs ? Drop(host) : std::next(host);
  }
  // As a packet by the kernel would: it confirms the neighbour, or finds out that it is gone.
  for (const auto& [ifindex, family, address] : gateways) {
    if (ifindex != 0) parts_.network->Probe(ifindex, address, family);
  }
}

bool InsideControl::WasUsed(const HostKey& key, const Host& host, uint64_t now) const {
  const auto& [scope, family, address] = key;
  InsideHost* entry = parts_.path->inside.FindHost({scope, {address, family}});
  const bool received = entry != nullptr && entry->use.Take();
  const auto source = sources_.find({host.where.inside, family, address});
  const bool sent = host.is_source && source != sources_.end() && source->second.used_at == now;
  return received || sent;
}

}  // namespace cygnet
