// The part of InsideControl that keeps the prefixes of the XDP program in step with policies and
// routes, for each class of sources.
#include <algorithm>

#include "base/log.h"
#include "control/inside_control.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostRules = 16'384;  // of a class

// A router passes on nothing to these.
const std::vector<AddressPrefix>& NeverRouted() {
  static const std::vector<AddressPrefix> kPrefixes = [] {
    std::vector<AddressPrefix> made;
    for (const char* text :
         {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8"}) {
      made.push_back(*ParsePrefix(text));
    }
    return made;
  }();
  return kPrefixes;
}

bool IsNeverRouted(const AddressPrefix& to) {
  return std::any_of(NeverRouted().begin(), NeverRouted().end(), [&to](const AddressPrefix& p) {
    return p.bits <= to.bits && p.Contains(to.address, to.family);
  });
}

}  // namespace

InsideControl::Classes::iterator InsideControl::ClassFor(const ParsedAddress& host,
                                                         uint8_t inside) {
  const uint8_t device = InterfaceOf(inside).name.device;
  const InsideQuestion question{.source = host.address,
                                .family = host.family,
                                .ifindex = parts_.path->interfaces[device].ifindex,
                                .tunnels = false};
  std::vector<AddressPrefix> sources = SourcePrefixes(policies_, question);
  for (const AddressPrefix& of_rule : keys_.sources) {
    if (of_rule.Contains(host.address, host.family)) sources.push_back(of_rule);
  }
  const auto [at, added] = classes_.try_emplace(
      {.inside = inside, .family = host.family, .sources = std::move(sources)});
  if (added) {
    at->second.id = ++last_class_;
    at->second.source = host.address;
    at->second.path = std::make_unique<InsideClass>();
    UpdateClass(at->first, &at->second);
  }
  return at;
}

// Its prefixes go with its last host.
void InsideControl::LeaveClass(Classes::iterator of_class) {
  if (--of_class->second.hosts > 0) return;
  (void)Install({}, &of_class->second);
  InsideClass* const unlinked = of_class->second.path.release();
  parts_.path->quiescence.Retire([unlinked] { delete unlinked; });
  classes_.erase(of_class);
}

// Policies that come and go by thousands must not keep the control thread busy: the next update
// waits ten times as long as the last one took. Until then, a packet that policy no longer protects
// is taken and dropped.
bool InsideControl::UpdateClasses() {
  const uint32_t version = parts_.path->spd.version();
  if (version == spd_version_) return false;
  const uint64_t began = parts_.clock->MonotonicNs();
  if (began < next_update_ns_) return false;
  spd_version_ = version;
  policies_ = parts_.path->spd.List();
  Regroup();
  for (auto& [key, one] : classes_) UpdateClass(key, &one);
  const uint64_t ended = parts_.clock->MonotonicNs();
  next_update_ns_ = ended + 10 * (ended - began);
  return false;
}

// Hosts whose policies have other source prefixes now belong to another class.
void InsideControl::Regroup() {
  for (auto& [key, source] : sources_) {
    const auto& [inside, family, raw] = key;
    const ParsedAddress address{raw, family};
    const auto next = ClassFor(address, inside);
    if (next == source.of_class) continue;
    const auto before = std::exchange(source.of_class, next);
    ++next->second.hosts;
    if (InsideSource* entry = parts_.path->inside.FindSource({SourceScope(inside), address})) {
      entry->of_class.store(next->second.path.get(), std::memory_order_release);
    }
    (void)parts_.tables->SetHost(PlaceOf(inside), address, next->second.id);
    LeaveClass(before);
  }
}

void InsideControl::UpdateClass(const ClassKey& key, Class* one) {
  if (Install(Wanted(key, one), one)) return;
  Log(LogLevel::kWarning, "inside " + InterfaceOf(key.inside).name.interface +
                              ": no room for its prefixes: its packets go by the host");
  (void)Install({}, one);
}

// What the kernel would send into a tunnel, and what policy protects and the kernel would send to
// the device.
InsideWays InsideControl::Wanted(const ClassKey& key, Class* one) {
  struct Around {
    AddressPrefix prefix;
    InsideWay way;
    bool into_tunnel = false;  // the route of some prefix around it
  };
  InsideWays wanted;
  const Interface& interface = InterfaceOf(key.inside);
  one->left_to_host = 0;
  if (too_many_routes_ || keys_.other_fields || interface.ifindex == 0) return wanted;
  const InsideRules made =
      MakeInsideRules(policies_,
                      {.source = one->source,
                       .family = key.family,
                       .ifindex = parts_.path->interfaces[interface.name.device].ifindex,
                       .tunnels = !into_tunnels_.empty()},
                      cuts_);
  one->left_to_host = made.left_to_host;
  if (made.rules.size() > kMostRules + cuts_.size()) return wanted;
  std::vector<Around> around;
  for (const InsideRule& rule : made.rules) {
    while (!around.empty() && !around.back().prefix.Contains(rule.to.address, rule.to.family)) {
      around.pop_back();
    }
    const Around outer = around.empty() ? Around{} : around.back();
    const bool into_tunnel = outer.into_tunnel || into_tunnels_.count(rule.to) != 0;
    const bool concerns = (rule.take || into_tunnel) && !IsNeverRouted(rule.to);
    InsideWay way;
    if (concerns && !rule.sample) {
      way = outer.way;  // no destination has only this rule
    } else if (concerns) {
      way = WayOf(key, rule, one);
    }
    around.push_back({rule.to, way, into_tunnel});
    if (way != outer.way) wanted.emplace(rule.to, way);
  }
  return wanted;
}

InsideWay InsideControl::WayOf(const ClassKey& key, const InsideRule& rule, Class* one) {
  constexpr uint32_t kAny = 65'535;
  const Interface& interface = InterfaceOf(key.inside);
  const auto route =
      parts_.network->LookupOnlyWay(one->source, *rule.sample, key.family, interface.ifindex);
  if (!route) return {};
  const uint32_t mtu = route->mtu != 0 ? route->mtu : kAny;
  const auto tunnel = tunnels_.find(route->ifindex);
  const Interface& of = interface;
  const bool by_device =
      rule.take && route->ifindex == parts_.path->interfaces[of.name.device].ifindex;
  if (tunnel == tunnels_.end() && !by_device) return {};
  if (route->special) {
    ++one->left_to_host;
    return {};
  }
  if (tunnel != tunnels_.end()) {
    return {.largest = std::min(mtu, tunnel->second.mtu), .tunnel = tunnel->second.number};
  }
  // The pipeline answers for what fits the device and not its SA.
  const uint32_t of_device = parts_.path->interfaces[of.name.device].host->mtu();
  return {.largest = mtu < of_device ? mtu : kAny, .tunnel = 0};
}

// At no moment a destination is taken that neither the old nor the new ways take. False: the tables
// are full.
bool InsideControl::Install(const InsideWays& wanted, Class* one) {
  InsideTables& tables = *parts_.tables;
  for (auto at = one->installed.begin(); at != one->installed.end();) {
    const auto next = wanted.find(at->first);
    const bool stays =
        at->second.largest == 0 || (next != wanted.end() && next->second == at->second);
    if (stays) {
      ++at;
    } else if (next != wanted.end()) {
      if (!tables.SetPrefix(one->id, at->first, 0)) return false;
      (at++)->second = {};
    } else {
      tables.DropPrefix(one->id, at->first);
      at = one->installed.erase(at);
    }
  }
  Publish(wanted, one);
  for (const bool take : {false, true}) {
    for (const auto& [to, way] : wanted) {
      const auto before = one->installed.find(to);
      const bool has = before != one->installed.end() && before->second == way;
      if ((way.largest != 0) != take || has) continue;
      if (!tables.SetPrefix(one->id, to, way.largest)) return false;
      one->installed[to] = way;
    }
  }
  for (auto at = one->installed.begin(); at != one->installed.end();) {
    const bool stays = wanted.count(at->first) != 0;
    if (!stays) tables.DropPrefix(one->id, at->first);
    at = stays ? std::next(at) : one->installed.erase(at);
  }
  return true;
}

// Workers learn a way before its packets are taken.
void InsideControl::Publish(const InsideWays& wanted, Class* one) {
  std::vector<InsideStep> steps = MakeInsideSteps(wanted);
  const InsideRoutes* const next = steps.empty() ? nullptr : new InsideRoutes(std::move(steps));
  const InsideRoutes* const before = one->path->routes.exchange(next, std::memory_order_acq_rel);
  if (before != nullptr) parts_.path->quiescence.Retire([before] { delete before; });
}

// Each route of the host, each rule and each of its addresses may make an exception of a protected
// prefix.
void InsideControl::ReadCuts() {
  cuts_ = NeverRouted();
  const auto addresses = parts_.network->Addresses();
  if (!addresses) network_changed_ = true;  // the next refresh asks again
  for (const HostAddress& own : addresses.value_or(std::vector<HostAddress>{})) {
    cuts_.push_back({.address = own.at.address,
                     .family = own.at.family,
                     .bits = static_cast<uint8_t>(AddressBits(own.at.family))});
  }
  keys_ = parts_.links->Forwarding();
  too_many_routes_ = keys_.destinations.size() >= HostLinks::kMostRoutes;
  cuts_.insert(cuts_.end(), keys_.destinations.begin(), keys_.destinations.end());
  into_tunnels_.clear();
  for (const auto& [to, ifindex] : keys_.ways) {
    if (tunnels_.count(ifindex) != 0) into_tunnels_.insert(to);
  }
}

}  // namespace cygnet
