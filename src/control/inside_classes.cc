// The part of InsideControl that keeps the prefixes of the XDP program in step with policies and
// routes, for each class of sources.
#include <algorithm>

#include "base/log.h"
#include "control/inside_control.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostRules = 16'384;  // of a class

}  // namespace

InsideControl::Classes::iterator InsideControl::ClassFor(const ParsedAddress& host,
                                                         uint16_t inside) {
  const uint8_t device = InterfaceOf(inside).name.device;
  const InsideQuestion question{.source = host.address,
                                .family = host.family,
                                .ifindex = parts_.path->interfaces[device].ifindex};
  std::vector<AddressPrefix> sources = SourcePrefixes(policies_, question);
  for (const AddressPrefix& of_rule : keys_.sources) {
    if (of_rule.Contains(host.address, host.family)) sources.push_back(of_rule);
  }
  const auto [at, added] = classes_.try_emplace(
      {.inside = inside, .family = host.family, .sources = std::move(sources)});
  if (added) {
    at->second.id = ++last_class_;
    at->second.source = host.address;
    UpdateClass(at->first, &at->second);
  }
  return at;
}

// Its prefixes go with its last host.
void InsideControl::LeaveClass(Classes::iterator of_class) {
  if (--of_class->second.hosts > 0) return;
  (void)Install({}, &of_class->second);
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
  for (auto& [key, host] : hosts_) {
    const ParsedAddress address{key.second, key.first};
    const auto next = ClassFor(address, host.where.inside);
    if (next == host.of_class) continue;
    const auto before = std::exchange(host.of_class, next);
    ++next->second.hosts;
    (void)parts_.tables->SetHost(PlaceOf(host.where.inside), address, next->second.id);
    LeaveClass(before);
  }
}

void InsideControl::UpdateClass(const ClassKey& key, Class* one) {
  if (Install(Wanted(key, one), one)) return;
  Log(LogLevel::kWarning, "inside " + InterfaceOf(key.inside).name.interface +
                              ": no room for its prefixes: its packets go by the host");
  (void)Install({}, one);
}

// What policy protects, less what the kernel would not send to the device.
InsideControl::Installed InsideControl::Wanted(const ClassKey& key, Class* one) {
  Installed wanted;
  const Interface& interface = InterfaceOf(key.inside);
  const int32_t device = parts_.path->interfaces[interface.name.device].ifindex;
  const uint32_t mtu = parts_.path->interfaces[interface.name.device].host->mtu();
  one->left_to_host = 0;
  if (too_many_routes_ || interface.ifindex == 0) return wanted;
  InsideRules made = MakeInsideRules(
      policies_, {.source = one->source, .family = key.family, .ifindex = device}, cuts_);
  one->left_to_host = made.left_to_host;
  if (made.rules.size() > kMostRules + cuts_.size()) return wanted;
  std::vector<std::pair<AddressPrefix, bool>> enclosing;
  for (const InsideRule& rule : made.rules) {
    bool take = rule.take && rule.sample.has_value();
    if (take) {
      const auto route =
          parts_.network->LookupForwarded(one->source, *rule.sample, key.family, interface.ifindex);
      take = route && route->ifindex == device && route->IsPlain(mtu);
      if (route && route->ifindex == device && !take) ++one->left_to_host;
    }
    while (!enclosing.empty() &&
           !enclosing.back().first.Contains(rule.to.address, rule.to.family)) {
      enclosing.pop_back();
    }
    const bool around = !enclosing.empty() && enclosing.back().second;
    if (rule.take && !rule.sample) continue;  // no destination has only this rule
    enclosing.emplace_back(rule.to, take);
    if (take != around) wanted.emplace(rule.to, take);
  }
  return wanted;
}

// At no moment a destination is taken that neither the old nor the new prefixes take. False: the
// tables are full.
bool InsideControl::Install(const Installed& wanted, Class* one) {
  InsideTables& tables = *parts_.tables;
  const auto wants = [&wanted](const AddressPrefix& to, bool take) {
    const auto found = wanted.find(to);
    return found != wanted.end() && found->second == take;
  };
  for (auto at = one->installed.begin(); at != one->installed.end();) {
    const bool stays = !at->second || wants(at->first, true);
    if (!stays) tables.DropPrefix(one->id, at->first);
    at = stays ? std::next(at) : one->installed.erase(at);
  }
  for (const bool take : {false, true}) {
    for (const auto& [to, takes] : wanted) {
      if (takes != take || (one->installed.count(to) != 0 && one->installed[to] == take)) continue;
      if (!tables.SetPrefix(one->id, to, take)) return false;
      one->installed[to] = take;
    }
  }
  for (auto at = one->installed.begin(); at != one->installed.end();) {
    const bool stays = wanted.count(at->first) != 0;
    if (!stays) tables.DropPrefix(one->id, at->first);
    at = stays ? std::next(at) : one->installed.erase(at);
  }
  return true;
}

// Each route of the host, each rule and each of its addresses may make an exception of a protected
// prefix.
void InsideControl::ReadCuts() {
  cuts_ = {};
  for (const char* text :
       {"0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8"}) {
    cuts_.push_back(*ParsePrefix(text));
  }
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
}

}  // namespace cygnet
