// The parts of the control plane, and how they notify each other.
#include "control/control_plane.h"

#include <chrono>
#include <thread>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

std::vector<int32_t> IfindexesOf(const std::vector<ControlDevice>& devices) {
  std::vector<int32_t> ifindexes;
  for (const ControlDevice& device : devices) ifindexes.push_back(device.ifindex);
  return ifindexes;
}

std::vector<std::string> NamesOf(const std::vector<ControlDevice>& devices) {
  std::vector<std::string> names;
  for (const ControlDevice& device : devices) names.push_back(device.name);
  return names;
}

std::function<std::vector<HostLink>()> LinksOf(HostLinks* links) {
  if (links == nullptr) return {};
  return [links] { return links->Links(); };
}

}  // namespace

ControlPlane::ControlPlane(ControlPlaneParams params)
    : params_(std::move(params)),
      path_(*params_.path),
      announcer_(params_.listener, params_.journal),
      own_devices_(IfindexesOf(params_.devices), LinksOf(params_.links), params_.clock),
      tunnels_(
          {.path = params_.path, .devices = NamesOf(params_.devices), .make = params_.make_tunnel}),
      tunnel_requests_({.tunnels = &tunnels_,
                        .own_devices = &own_devices_,
                        .devices = NamesOf(params_.devices),
                        .network = params_.network,
                        .links = params_.links}),
      addresses_(params_.path, params_.clock, AddressesOf(params_.network)),
      device_policies_(params_.path),
      numbers_(params_.numbers, params_.clock, params_.number_cells, params_.number_sizes),
      placement_(ParamsOfPlacement(), this),
      next_hops_(MakeNextHops()),
      socket_policies_(params_.path, params_.clock, params_.sockets),
      ike_sockets_(params_.path, params_.sockets),
      policies_(params_.path, params_.clock, &announcer_, &device_policies_, &own_devices_,
                &tunnels_),
      acquire_budget_(params_.larval_limits, params_.clock),
      larval_(params_.path, params_.clock, &acquire_budget_, params_.keeper),
      acquires_({.path = params_.path,
                 .announcer = &announcer_,
                 .own_devices = &own_devices_,
                 .larval = &larval_,
                 .budget = &acquire_budget_,
                 .route = Routes(),
                 .larval_seconds = params_.larval_seconds}),
      aevents_(&announcer_, params_.clock),
      mappings_(&announcer_, params_.clock),
      keepalives_(params_.path, params_.pools, params_.clock),
      sas_({.path = params_.path,
            .clock = params_.clock,
            .announcer = &announcer_,
            .own_devices = &own_devices_,
            .tunnels = &tunnels_,
            .addresses = &addresses_,
            .placement = &placement_,
            .device_policies = &device_policies_,
            .larval = &larval_,
            .aevents = &aevents_,
            .mappings = &mappings_,
            .keepalives = &keepalives_,
            .next_hops = next_hops_.get(),
            .numbers = &numbers_,
            .keeper = params_.keeper}),
      migrations_(params_.path, &announcer_, &device_policies_, &sas_),
      events_({.path = params_.path,
               .clock = params_.clock,
               .sas = &sas_,
               .acquires = &acquires_,
               .mappings = &mappings_,
               .next_hops = next_hops_.get()}),
      walks_({.path = params_.path,
              .clock = params_.clock,
              .sas = &sas_,
              .policies = &policies_,
              .aevents = &aevents_,
              .keepalives = &keepalives_}),
      started_(params_.clock->WallSeconds()) {
  device_policies_.Attach(&placement_.devices(), PlacementHostOf());
  sas_.SetReplayWindowMin(params_.replay_window_min);
  AuditFips();
  ReadSettings();
  ike_sockets_.Refresh();
  addresses_.OnLost();  // none are known yet
  addresses_.ReadIfDue();
}

// Moves the devices and rules out of `params_`.
PlacementParams ControlPlane::ParamsOfPlacement() {
  PlacementParams placement{.path = params_.path,
                            .clock = params_.clock,
                            .engines = params_.engines,
                            .look_aside = params_.look_aside,
                            .devices = std::move(params_.devices),
                            .rules = std::move(params_.rules),
                            .scheduler = params_.scheduler,
                            .ledger = params_.ledger,
                            .gate = params_.fips,
                            .evidence = params_.evidence,
                            .numbers = &numbers_};
  placement.host = PlacementHostOf();
  return placement;
}

PlacementHost ControlPlane::PlacementHostOf() {
  PlacementHost host;
  if (const RouteLookup route = Routes()) {
    host.interface_exists = HostNetwork::InterfaceExists;
    host.egress_of = [route](const IpAddress& to, IpFamily family) {
      const auto egress = route(to, family);
      return egress.has_value() ? egress->ifindex : 0;
    };
  }
  host.device_under = [this](int32_t ifindex) { return own_devices_.Under(ifindex); };
  return host;
}

RouteLookup ControlPlane::Routes() const {
  HostNetwork* const network = params_.network;
  if (network == nullptr) return {};
  return
      [network](const IpAddress& to, IpFamily family) { return network->LookupRoute(to, family); };
}

AddressUpdates::Host ControlPlane::AddressesOf(HostNetwork* network) {
  if (network == nullptr) {
    return {.read = [] { return std::vector<HostAddress>{}; }};
  }
  return {.read = [network] { return network->Addresses(); },
          .read_local = [network] { return network->LocalDestinations(); },
          .take_events = [this, network] { TakeAllChanges(network); }};
}

std::unique_ptr<NextHops> ControlPlane::MakeNextHops() {
  HostNetwork* const network = params_.network;
  if (network == nullptr) return nullptr;
  return std::make_unique<NextHops>(NextHops::Host{
      .route = Routes(),
      .marked_route = [network](const IpAddress& to, IpFamily family,
                                uint32_t mark) { return network->LookupRoute(to, family, mark); },
      .neighbour = [network](const EgressRoute& route,
                             IpFamily family) { return network->LookupNeighbour(route, family); },
      .probe = [network](int32_t ifindex, const IpAddress& neighbour,
                         IpFamily family) { network->Probe(ifindex, neighbour, family); },
      .device_of = [this](int32_t ifindex) -> std::optional<uint8_t> {
        const auto number = own_devices_.NumberOf(ifindex);
        if (!number.has_value()) return std::nullopt;
        return static_cast<uint8_t>(*number);
      },
      .on_first = [this] { path_.BumpNextHops(); }});
}

ControlPlane::~ControlPlane() {
  tunnels_.HoldCarriers();
  // The workers have stopped: nothing is in flight. Keys leave the devices now. What an SA leaves
  // behind is freed soon, while the CPU's caches still have it.
  constexpr std::size_t kFreedTogether = 64;
  std::size_t removed = 0;
  for (SaPtr& sa : path_.sad.List()) {
    sas_.Remove(sa);
    sa = nullptr;
    if (++removed % kFreedTogether == 0) path_.quiescence.Collect();
  }
  device_policies_.TakeAll();
  socket_policies_.RemoveAll();
  // A device's thread may still be reading policies. Retired objects must be freed before devices
  // and sinks are.
  constexpr int kTries = 1000;
  for (int i = 0; path_.quiescence.Collect() != 0 && i < kTries; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void ControlPlane::TakeBackNumbers() {
  path_.sad.ForEach([this](const SaPtr& sa) { placement_.TakeBack(*sa); });
}

// --- Clients ---

Result<ConstSaPtr> ControlPlane::GetSa(const SaId& id) const {
  ConstSaPtr sa = sas_.Named(id);
  if (sa == nullptr) return MakeError(Errc::kNoSuchProcess);
  return sa;
}

Result<AeventView> ControlPlane::GetAevent(const SaId& id) const {
  const SaPtr sa = sas_.Named(id);
  if (sa == nullptr) return MakeError(Errc::kNoSuchProcess);
  return aevents_.View(sa);
}

Status ControlPlane::UpdateAevent(const AeventChange& change, const RequestOrigin& origin) {
  const SaPtr sa = sas_.Named(change.id);
  if (sa == nullptr) return MakeError(Errc::kNoSuchProcess);
  if (change.replay.has_value() && sa->inbound() != nullptr) {
    numbers_.EnsureInbound(*sa, change.replay->seq);
  }
  CYGNET_RETURN_IF_ERROR(aevents_.Update(sa, change, origin));
  numbers_.Follow(*sa);
  placement_.ApplyLimits(*sa);
  return {};
}

// --- The daemon's loop ---

void ControlPlane::Tick() {
  constexpr uint64_t kNeighbourTicks = 30;
  ReadSettings();
  placement_.Tick();
  numbers_.Tick();
  device_policies_.Tick();
  walks_.StartTimes();
  socket_policies_.Tick();
  ike_sockets_.Refresh();
  tunnel_requests_.Tick();
  migrations_.Tick();
  if (++ticks_ % kNeighbourTicks == 0 && next_hops_ != nullptr) next_hops_->AskAgain();
  (void)DoSome();
  path_.quiescence.Collect();
}

bool ControlPlane::DoSome() {
  const uint64_t now_ns = params_.clock->MonotonicNs();
  const bool waking = numbers_.DoSome();
  const bool walking = walks_.DoSome();
  addresses_.ReadIfDue();
  const bool grants = placement_.DoSome();
  const bool hops = next_hops_ != nullptr && next_hops_->DoSome(now_ns);
  return waking || walking || grants || hops || events_.left();
}

void ControlPlane::OnAnswered() {
  if (next_hops_ == nullptr || !next_hops_->HasNew()) return;
  next_hops_->AskNew(params_.clock->MonotonicNs());
}

void ControlPlane::CheckAevents() {
  if (!announcer_.WantsAevents()) return;
  walks_.StartAevents();
  (void)DoSome();
}

void ControlPlane::OnBell() {
  placement_.CheckDevices();
  events_.TakeSome();
  (void)numbers_.DoSome();
}

// A flood of events must not hold up the client that waits for this; then all is read anew.
void ControlPlane::TakeAllChanges(HostNetwork* network) {
  constexpr int kShares = 256;
  for (int i = 0; i < kShares; ++i) {
    const NetworkChanges changes = network->TakeChanges();
    OnHostNetworkChange(changes);
    if (!changes.more) return;
  }
  NetworkChanges unknown;
  unknown.lost = true;
  OnHostNetworkChange(unknown);
}

void ControlPlane::OnHostNetworkChange(const NetworkChanges& changes) {
  if (next_hops_ == nullptr) return;
  addresses_.Apply(changes.addresses);  // first: packets for a new one may already be here
  addresses_.AddLocal(changes.local);
  if (changes.lost || changes.local_gone) addresses_.OnLost();
  addresses_.ReadIfDue();
  const uint64_t now_ns = params_.clock->MonotonicNs();
  for (const NeighbourChange& change : changes.neighbours) next_hops_->OnNeighbour(change, now_ns);
  if (!changes.addresses.empty() || changes.routes || changes.lost) next_hops_->AskAgain();
}

void ControlPlane::ReadSettings() {
  const XfrmSettings settings = params_.settings();
  sas_.SetAeventDefaults({.max_diff = settings.aevent_rseqth, .max_age = settings.aevent_etime});
  path_.hold_larval.store(!settings.larval_drop, std::memory_order_relaxed);
}

// --- Placement's events ---

void ControlPlane::OnMoved(const SaPtr& sa) {
  sas_.FollowPolicies(sa);
  announcer_.Notify(SaUpdated{sa});
}

void ControlPlane::OnDeviceState(const std::string& device, const std::string& state,
                                 const std::string& explanation) {
  if (params_.audit != nullptr) params_.audit->Device(device, state, explanation);
}

void ControlPlane::OnWithdrawn(const std::string& device, const WithdrawnCapability& capability,
                               const std::string& evidence) {
  if (params_.audit == nullptr) return;
  params_.audit->Device(device, "withdrawn:" + capability.name,
                        "its self-test failed: " + capability.text + "; evidence: " + evidence);
}

void ControlPlane::OnGuardHit(const std::string& device, const std::string& reason,
                              uint64_t count) {
  const bool is_engine = device.starts_with("engine ");
  Log(LogLevel::kError, (is_engine ? device : "device " + device) + ": the seal guard stopped " +
                            std::to_string(count) + " packets (" + reason + ")");
  if (params_.audit != nullptr) params_.audit->GuardHit(device, reason, count);
}

void ControlPlane::OnWrongPackets(const std::string& device, Half half, uint64_t count,
                                  const std::string& what, const std::string& evidence) {
  Log(LogLevel::kError, "device " + device + ": shadow verification found " +
                            std::to_string(count) + " wrong packets (" + std::string(Name(half)) +
                            "): " + what + "; evidence: " + evidence);
  if (params_.audit != nullptr) params_.audit->WrongPackets(device, half, count, what, evidence);
}

void ControlPlane::OnLost(const SaPtr& sa) {
  announcer_.Note(SaDeleted{sa});
  sas_.Remove(sa);
}

// --- The operator ---

FipsReport ControlPlane::ReportFips() const {
  if (params_.fips == nullptr) return {.mode = "off", .list_file = {}, .rows = {}};
  return params_.fips->Report(devices(), *params_.engines, Now());
}

Result<MoveReport> ControlPlane::SetFips(std::optional<std::string> mode) {
  if (params_.fips == nullptr) {
    return MakeError(Errc::kNotSupported, "this cygnetd was started without FIPS support");
  }
  CYGNET_RETURN_IF_ERROR(params_.fips->Apply(mode));
  AuditFips();
  return placement_.Reevaluate();
}

// Records which modules are inside, once FIPS mode is in force.
void ControlPlane::AuditFips() const {
  const FipsReport report = ReportFips();
  if (params_.audit == nullptr || !report.enforced) return;
  for (const FipsRow& row : report.rows) {
    if (row.kind != "algorithm") params_.audit->Fips(row);
  }
}

Status ControlPlane::InjectFault(const std::string& device, const std::string& fault) {
  const auto number = placement_.devices().Named(device);
  if (!number.has_value()) return MakeError(Errc::kNoDevice, "no device '" + device + "'");
  OffloadDevice* offload = devices()[*number].offload;
  FaultInjection* faults = offload != nullptr ? offload->faults() : nullptr;
  if (faults == nullptr) {
    return MakeError(Errc::kNotSupported, "device " + device + " cannot simulate faults");
  }
  return faults->InjectFault(fault);
}

}  // namespace cygnet
