#include "control/tunnel_control.h"

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace cygnet {
namespace {

std::string Hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof(text), "0x%x", value);
  return text;
}

// The SA is between the ends of the tunnel, in either direction.
bool HasEnds(const TunnelSpec& tunnel, const SaSpec& sa) {
  if (!tunnel.local || !tunnel.remote) return false;
  const auto within = [&](const IpAddress& local, const IpAddress& remote) {
    return tunnel.local->Contains(local, sa.family) && tunnel.remote->Contains(remote, sa.family);
  };
  return within(sa.daddr, sa.saddr) || within(sa.saddr, sa.daddr);
}

// Also of what an inside interface gave and got without the host.
PortStats StatsOf(const Tunnel& tunnel) {
  PortStats stats = tunnel.port->stats();
  stats.rx_packets += tunnel.from_inside.packets.load(std::memory_order_relaxed);
  stats.rx_bytes += tunnel.from_inside.bytes.load(std::memory_order_relaxed);
  stats.tx_packets += tunnel.to_inside.packets.load(std::memory_order_relaxed);
  stats.tx_bytes += tunnel.to_inside.bytes.load(std::memory_order_relaxed);
  return stats;
}

}  // namespace

std::string IdentityOf(const TunnelSpec& spec) {
  if (spec.if_id != 0) return "if_id " + std::to_string(spec.if_id);
  const std::string out = "mark " + Hex(spec.mark);
  return spec.inbound_mark() == spec.mark ? out : out + ", inbound " + Hex(spec.inbound_mark());
}

template <typename Fits>
const TunnelControl::Row* TunnelControl::Having(Fits fits) const {
  const auto found =
      std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return fits(row.spec); });
  return found == rows_.end() ? nullptr : &*found;
}

// --- Interfaces ---

Status TunnelControl::CheckFree(const TunnelSpec& spec) const {
  if ((spec.if_id == 0) == (spec.mark == 0)) {
    return MakeError(Errc::kInvalid, "tunnel " + spec.name + ": needs either an if_id or a mark");
  }
  if (spec.mark_in != 0 && spec.mark == 0) {
    return MakeError(Errc::kInvalid, "tunnel " + spec.name + ": mark_in needs a mark");
  }
  const Row* same = Having(
      [&](const TunnelSpec& other) { return other.name == spec.name || other.ClashesWith(spec); });
  if (same == nullptr) return {};
  return MakeError(Errc::kExists, "tunnel " + spec.name + ": " +
                                      (same->spec.name == spec.name
                                           ? "there is a tunnel of this name already"
                                           : same->spec.name + " has " + IdentityOf(same->spec)));
}

Status TunnelControl::Add(const TunnelSpec& spec) {
  CYGNET_RETURN_IF_ERROR(CheckFree(spec));
  const auto device = std::find(parts_.devices.begin(), parts_.devices.end(), spec.device);
  const bool first = spec.device.empty() && !parts_.devices.empty();
  if (!parts_.make || (device == parts_.devices.end() && !first)) {
    return MakeError(Errc::kNoDevice,
                     "tunnel " + spec.name + ": no device \"" + spec.device + "\"");
  }
  const auto number =
      static_cast<uint8_t>(first ? 0 : std::distance(parts_.devices.begin(), device));
  const uint32_t mtu = spec.mtu != 0 ? spec.mtu : path_.interfaces[number].host->mtu();
  auto made = parts_.make(spec, mtu);
  if (!made) return made.error();
  const auto tunnel = path_.tunnels.Add(
      {.if_id = spec.if_id, .mark = spec.mark, .mark_in = spec.inbound_mark(), .device = number},
      std::move(made->port), made->ifindex);
  if (!tunnel) return tunnel.error();
  for (auto& bell : path_.bells) bell->Ring();  // workers do not wait for the first one yet
  rows_.push_back({.spec = spec,
                   .tunnel = *tunnel,
                   .ifindex = made->ifindex,
                   .set_carrier = std::move(made->set_carrier)});
  ApplyToAll();
  ShowCarrier(rows_.back());
  return {};
}

Status TunnelControl::Remove(const std::string& name) {
  const auto row =
      std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.spec.name == name; });
  if (row == rows_.end()) return MakeError(Errc::kNoDevice, "no tunnel \"" + name + "\"");
  const uint16_t number = row->tunnel->number;
  rows_.erase(row);
  ApplyToAll();  // first: no packet finds a policy that allows
  path_.tunnels.Remove(number);
  path_.BumpGeneration();
  return {};
}

// Policies and SAs follow the tunnels that there are now.
void TunnelControl::ApplyToAll() {
  uint64_t blocking = 0;
  for (const auto& policy : path_.spd.List()) {
    if (!policy->spec.of_tunnel()) continue;
    const bool unmet = !Meets(policy->spec);
    if (policy->spec.unmet != unmet) (void)path_.spd.SetUnmet(policy, unmet);
    blocking += unmet && policy->spec.action != PolicyAction::kBlock ? 1 : 0;
  }
  for (Row& row : rows_) row.sas = 0;
  path_.sad.ForEach([this](const SaPtr& sa) {
    if (sa->state() != SaState::kLarval) Follow(sa);
  });
  path_.BumpGeneration();
  if (blocking == 0) return;
  Log(LogLevel::kWarning,
      std::to_string(blocking) +
          " policies block what they select, because no tunnel has their if_id or mark: add the "
          "tunnel, or remove them");
}

std::vector<TunnelReport> TunnelControl::Report() const {
  std::vector<TunnelReport> reports;
  const auto policies = path_.spd.List();
  for (const Row& row : rows_) {
    TunnelReport report{.spec = row.spec,
                        .ifindex = row.ifindex,
                        .mtu = row.tunnel->port->mtu(),
                        .sas = row.sas,
                        .policies = 0,
                        .unprotected = row.tunnel->unprotected.load(std::memory_order_relaxed),
                        .host = StatsOf(*row.tunnel)};
    for (const auto& policy : policies) {
      if (policy->spec.of_tunnel() && IsFor(policy->spec, row.spec)) ++report.policies;
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

const TunnelSpec* TunnelControl::At(int32_t ifindex) const {
  const auto found = std::find_if(rows_.begin(), rows_.end(),
                                  [ifindex](const Row& row) { return row.ifindex == ifindex; });
  return found == rows_.end() ? nullptr : &found->spec;
}

const TunnelSpec* TunnelControl::Named(const std::string& name) const {
  const Row* row = Having([&name](const TunnelSpec& spec) { return spec.name == name; });
  return row == nullptr ? nullptr : &row->spec;
}

// The carrier that it has already is set again, which a deleted interface refuses.
bool TunnelControl::InterfaceExists(const Row& row) {
  if (!row.set_carrier) return true;
  const bool carrier = row.spec.carrier == TunnelCarrier::kAlways || row.sas != 0;
  return row.set_carrier(carrier ? LinkStatus::kUp : LinkStatus::kNoCarrier).has_value();
}

// --- Policies ---

bool TunnelControl::IsFor(const PolicySpec& policy, const TunnelSpec& tunnel) {
  const bool out = policy.direction == PolicyDirection::kOut;
  return policy.IsFor(tunnel.if_id, out ? tunnel.mark : tunnel.inbound_mark());
}

bool TunnelControl::Meets(const PolicySpec& policy) const {
  return Having([&](const TunnelSpec& tunnel) { return IsFor(policy, tunnel); }) != nullptr;
}

Status TunnelControl::Judge(PolicySpec* policy) const {
  policy->unmet = policy->of_tunnel() && !Meets(*policy);
  if (policy->of_tunnel() && policy->offload.has_value()) {
    return MakeError(Errc::kNotSupported,
                     "Packet offload of a policy with an if_id or mark is not supported");
  }
  if (!policy->unmet || policy->action == PolicyAction::kBlock) return {};
  if (unmet_ == UnmetPolicies::kBlock) return {};
  const std::string wanted =
      policy->if_id != 0
          ? "if_id " + std::to_string(policy->if_id)
          : "mark " + Hex(policy->mark_value) +
                (policy->mark_mask == ~uint32_t{0} ? "" : " (mask " + Hex(policy->mark_mask) + ")");
  return MakeError(Errc::kNotSupported, "No [[tunnel]] has " + wanted);
}

// --- SAs ---

Status TunnelControl::RefuseUnmet(const SaSpec& sa) const {
  const uint32_t set = sa.rare->set_mark_value & sa.rare->set_mark_mask;
  // Outbound, the mark is for the route of the outer packet.
  if (set == 0 || !IsInbound(sa)) return {};
  // libreswan sets the if_id as mark, unless another is configured.
  if (sa.if_id == set) return {};
  if (sa.if_id != 0) {
    return MakeError(Errc::kNotSupported,
                     "The if_id names the tunnel of opened packets: they cannot have mark " +
                         Hex(set) + " on the host, too");
  }
  if (Having([set](const TunnelSpec& tunnel) { return tunnel.inbound_mark() == set; }) != nullptr) {
    return {};
  }
  return MakeError(Errc::kNotSupported,
                   "No [[tunnel]] has mark " + Hex(set) + ", which the SA sets for opened packets");
}

bool TunnelControl::IsInbound(const SaSpec& sa) const {
  if (sa.direction != SaDirection::kUnspec) return sa.direction == SaDirection::kIn;
  return path_.host_addresses().Contains(sa.daddr, sa.family);
}

// Outbound, only the carrier depends on it.
uint16_t TunnelControl::NumberFor(const SaSpec& sa) const {
  const uint32_t set = sa.rare->set_mark_value & sa.rare->set_mark_mask;
  const Row* row = nullptr;
  if (sa.if_id != 0) {
    row = Having([&](const TunnelSpec& tunnel) { return tunnel.if_id == sa.if_id; });
    return row != nullptr ? row->tunnel->number : Tunnels::kMissing;
  }
  const bool inbound = IsInbound(sa);
  if (set != 0 && inbound) {
    row = Having([set](const TunnelSpec& tunnel) { return tunnel.inbound_mark() == set; });
  }
  if (row == nullptr && sa.mark_mask != 0) {
    const auto has = [&](bool in) {
      return Having([&sa, in](const TunnelSpec& tunnel) {
        return tunnel.mark != 0 && sa.HasMark(in ? tunnel.inbound_mark() : tunnel.mark);
      });
    };
    row = has(inbound);
    // The host may get the address later.
    if (row == nullptr && sa.direction == SaDirection::kUnspec) row = has(!inbound);
    return row != nullptr ? row->tunnel->number : Tunnels::kMissing;
  }
  if (row == nullptr) row = Having([&](const TunnelSpec& tunnel) { return HasEnds(tunnel, sa); });
  return row != nullptr ? row->tunnel->number : 0;
}

void TunnelControl::Count(uint16_t number, int change) {
  for (Row& row : rows_) {
    if (row.tunnel->number != number) continue;
    const bool before = row.sas != 0;
    row.sas = change > 0 ? row.sas + 1 : row.sas - 1;
    if (before != (row.sas != 0)) ShowCarrier(row);
    return;
  }
}

void TunnelControl::ShowCarrier(const Row& row) const {
  if (carriers_held_ || row.spec.carrier != TunnelCarrier::kWithSa || !row.set_carrier) return;
  const Status shown = row.set_carrier(row.sas != 0 ? LinkStatus::kUp : LinkStatus::kNoCarrier);
  if (!shown) {
    Log(LogLevel::kWarning, "tunnel " + row.spec.name + ": " + shown.error().message);
  }
}

void TunnelControl::ShowCarriers() {
  carriers_held_ = false;
  for (const Row& row : rows_) ShowCarrier(row);
}

void TunnelControl::Follow(const SaPtr& sa) {
  const uint16_t number = NumberFor(sa->spec());
  sa->tunnel.store(number, std::memory_order_relaxed);
  Count(number, 1);
}

void TunnelControl::Forget(const Sa& sa) { Count(sa.tunnel.load(std::memory_order_relaxed), -1); }

}  // namespace cygnet
