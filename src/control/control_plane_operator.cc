// What an operator asks the control plane.
#include <utility>

#include "control/control_plane.h"
#include "control/route_check.h"
#include "control/why.h"

namespace cygnet {

CapturePoints* ControlPlane::FindCapture(const std::string& device) {
  for (const ControlDevice& d : devices()) {
    if (d.name == device) return d.capture;
  }
  return nullptr;
}

Reports ControlPlane::reports() const {
  return Reports({.path = path_,
                  .placement = placement_,
                  .policies = policies_,
                  .engines = *params_.engines,
                  .clock = *params_.clock});
}

MtuExplain ControlPlane::MtuOf() const {
  return MtuExplain({.path = path_,
                     .clock = *params_.clock,
                     .announcer = announcer_,
                     .own_devices = own_devices_,
                     .tunnels = tunnels_,
                     .devices = placement_.devices(),
                     .host = QuestionsToHost()});
}

HostQuestions ControlPlane::QuestionsToHost() const {
  HostNetwork* const network = params_.network;
  if (network == nullptr) return {};
  return {.route = [network](const RouteQuestion& question) { return network->AskRoute(question); },
          .rules = [network](IpFamily family) { return network->Rules(family); },
          .forwarding = [network](IpFamily family,
                                  int32_t iif) { return network->Forwarding(family, iif); },
          .links =
              [this] {
                return params_.links == nullptr ? std::vector<HostLink>() : params_.links->Links();
              },
          .own_addresses = [this] { return path_.host_addresses().all(); }};
}

Result<MtuReport> ControlPlane::ExplainMtu(const MtuQuery& query) const {
  return MtuOf().Explain(query);
}

Result<WhyReport> ControlPlane::ExplainWhy(const WhyQuery& query) const {
  const MtuExplain mtu = MtuOf();
  const Why why({.path = path_,
                 .announcer = announcer_,
                 .tunnels = tunnels_,
                 .placement = placement_,
                 .engines = *params_.engines,
                 .mtu = mtu,
                 .why_mute = [this](const Sa& sa) { return WhyMute(sa); }});
  return why.Explain(query);
}

// Groups are numbered from 1, in the order of the report.
std::string ControlPlane::WhyMute(const Sa& sa) const {
  const uint32_t number = numbers_.GroupOf(sa);
  if (cluster_ == nullptr || number == 0) return {};
  const ClusterReport report = cluster_->Report();
  if (number > report.groups.size()) return {};
  const ClusterGroupReport& group = report.groups[number - 1];
  return "group " + group.name + " is " + group.state + " here" +
         (group.owner.empty() ? "; no node owns it" : "; " + group.owner + " owns it");
}

StatReport ControlPlane::ReportStats() const {
  StatReport report = reports().ReportStats();
  report.acquires_refused = acquire_budget_.refused();
  report.uptime_seconds = Now() - started_;
  report.version = CYGNET_VERSION;
  return report;
}

MoveReport ControlPlane::Reconfigure(PlacementSettings settings, uint32_t replay_window_min) {
  sas_.SetReplayWindowMin(replay_window_min);
  return placement_.Reconfigure(std::move(settings));
}

Result<ReloadReport> ControlPlane::Reload() {
  if (!params_.reload) {
    return MakeError(Errc::kNotSupported, "this cygnetd cannot reload its configuration");
  }
  return params_.reload();
}

std::vector<DoctorRow> ControlPlane::ReportDoctor() const {
  return params_.doctor ? params_.doctor() : std::vector<DoctorRow>{};
}

std::vector<DoctorRow> ControlPlane::CheckHostRoutes() const {
  if (params_.links == nullptr) return {};
  RoutePicture picture{.links = params_.links->Links(),
                       .routes = params_.links->Routes(),
                       .own = own_devices_.ifindexes(),
                       .policies = {}};
  for (const auto& policy : path_.spd.List()) picture.policies.push_back(policy->spec);
  return CheckRoutes(picture);
}

StoredReport ControlPlane::ReportStored() const {
  return params_.stored != nullptr ? params_.stored->Report() : StoredReport{};
}

std::optional<ClusterReport> ControlPlane::ReportCluster() const {
  if (cluster_ == nullptr) return std::nullopt;
  return cluster_->Report();
}

Status ControlPlane::MoveGroup(const std::string& group, const std::string& node) {
  if (cluster_ != nullptr) return cluster_->Move(group, node);
  return MakeError(Errc::kNoEntry, "this host is in no cluster ([cluster] has no name)");
}

Status ControlPlane::AcceptStored() {
  if (params_.stored != nullptr) return params_.stored->Accept();
  return MakeError(Errc::kNoEntry, "no restart file is configured");
}

}  // namespace cygnet
