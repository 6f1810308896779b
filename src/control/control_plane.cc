// The parts of the control plane, and how they notify each other.
#include "control/control_plane.h"

#include <chrono>
#include <thread>
#include <utility>

#include "base/log.h"
#include "datapath/path_mtu.h"

namespace cygnet {

ControlPlane::ControlPlane(ControlPlaneParams params)
    : params_(std::move(params)),
      path_(*params_.path),
      socket_policies_(params_.path, params_.clock, params_.sockets),
      announcer_(params_.listener, params_.journal),
      policies_(params_.path, params_.clock, &announcer_,
                [this](int32_t ifindex) { return DeviceWith(ifindex) != nullptr; }),
      aevents_(&announcer_, params_.clock),
      mappings_(&announcer_, params_.clock),
      keepalives_(params_.path, params_.pools),
      acquires_(params_.larval_limits, params_.clock),
      ike_sockets_(params_.path, params_.sockets),
      started_(params_.clock->WallSeconds()) {
  PlacementParams placement{.path = params_.path,
                            .clock = params_.clock,
                            .engines = params_.engines,
                            .look_aside = params_.look_aside,
                            .devices = std::move(params_.devices),
                            .rules = std::move(params_.rules),
                            .scheduler = params_.scheduler,
                            .ledger = params_.ledger,
                            .gate = params_.fips};
  if (params_.network != nullptr) {
    FollowNextHops();
    placement.host.interface_exists = HostNetwork::InterfaceExists;
    placement.host.egress_of = [this](const IpAddress& to, IpFamily family) {
      const auto route = params_.network->LookupRoute(to, family);
      return route.has_value() ? route->ifindex : 0;
    };
  }
  placement.host.device_under = [this](int32_t ifindex) { return DeviceUnder(ifindex); };
  PlacementListener* const self = this;
  placement_.emplace(std::move(placement), self);
  AuditFips();
  ReadSettings();
  ike_sockets_.Refresh();
  OnHostNetworkChange({.addresses = true, .routes = false, .lost = false, .neighbours = {}});
}

void ControlPlane::FollowNextHops() {
  HostNetwork* const network = params_.network;
  next_hops_.emplace(NextHops::Host{
      .route = [network](const IpAddress& to,
                         IpFamily family) { return network->LookupRoute(to, family); },
      .neighbour = [network](const EgressRoute& route,
                             IpFamily family) { return network->LookupNeighbour(route, family); },
      .probe = [network](int32_t ifindex, const IpAddress& neighbour,
                         IpFamily family) { network->Probe(ifindex, neighbour, family); },
      .device_of = [this](int32_t ifindex) -> std::optional<uint8_t> {
        const ControlDevice* device = DeviceWith(ifindex);
        if (device == nullptr) return std::nullopt;
        return static_cast<uint8_t>(device - devices().data());
      }});
}

ControlPlane::~ControlPlane() {
  // The workers have stopped: nothing is in flight. Keys leave the devices now.
  for (const auto& sa : path_.sad.List()) Remove(sa);
  socket_policies_.RemoveAll();
  // A device's thread may still be reading policies. Retired objects must be freed before devices
  // and sinks are.
  constexpr int kTries = 1000;
  for (int i = 0; path_.quiescence.Collect() != 0 && i < kTries; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

StoredReport ControlPlane::ReportStored() const {
  return params_.stored != nullptr ? params_.stored->Report() : StoredReport{};
}

Status ControlPlane::AcceptStored() {
  if (params_.stored != nullptr) return params_.stored->Accept();
  return MakeError(Errc::kNoEntry, "no restart file is configured");
}

void ControlPlane::OnMoved(const std::shared_ptr<Sa>& sa) { announcer_.Notify(SaUpdated{sa}); }

void ControlPlane::OnDeviceState(const std::string& device, const std::string& state,
                                 const std::string& explanation) {
  if (params_.audit != nullptr) params_.audit->Device(device, state, explanation);
}

void ControlPlane::OnGuardHit(const std::string& device, const std::string& reason,
                              uint64_t count) {
  Log(LogLevel::kError, "device " + device + ": the seal guard stopped " + std::to_string(count) +
                            " packets (" + reason + ")");
  if (params_.audit != nullptr) params_.audit->GuardHit(device, reason, count);
}

void ControlPlane::OnLost(const std::shared_ptr<Sa>& sa) {
  announcer_.Note(SaDeleted{sa});
  Remove(sa);
}

void ControlPlane::ReadSettings() {
  settings_ = params_.settings();
  path_.hold_larval.store(!settings_.larval_drop, std::memory_order_relaxed);
}

// Handles an ICMP error about ESP in UDP whose quote ends before the SPI: it concerns all SAs of
// these addresses and ports. Anyone who knows those can send it, so it must cost little at any
// rate.
void ControlPlane::OnShortQuote(const DataPathEvent& event) {
  constexpr uint64_t kPauseNs = 100'000'000;
  const uint64_t now_ns = params_.clock->MonotonicNs();
  if (now_ns < next_short_quote_ns_ || event.interface >= path_.interfaces.size()) return;
  next_short_quote_ns_ = now_ns + kPauseNs;
  const OuterError error{.kind = OuterError::Kind::kPacketTooBig,
                         .family = event.flow.family,
                         .saddr = event.flow.saddr,
                         .daddr = event.flow.daddr,
                         .spi = std::nullopt,
                         .udp_encapsulated = true,
                         .sport = event.flow.sport,
                         .dport = event.flow.dport,
                         .mtu = event.mtu};
  const uint32_t wire_mtu = path_.interfaces[event.interface].wire->mtu();
  path_.sad.ForEach([&](const std::shared_ptr<Sa>& sa) {
    OutboundSa* half = sa->outbound();
    if (half != nullptr && IsAbout(error, *half)) LearnPathMtu(half, error.mtu, wire_mtu, Now());
  });
}

}  // namespace cygnet
