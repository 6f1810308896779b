// What the operator is shown.
#include "control/report.h"

#include <map>

#include "control/control_plane.h"
#include "datapath/path_mtu.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

std::string RequestedText(const SaBinding& binding) {
  if (binding.requested_by_device_mode) return "auto";
  switch (binding.requested) {
    case OffloadMode::kNo:
      return "no";
    case OffloadMode::kCrypto:
      return "crypto";
    case OffloadMode::kPacket:
      return "packet";
  }
  return {};
}

// The path itself is read here for its name alone.
std::string EffectiveText(const SaBinding& binding) {
  if (binding.device != nullptr) return "crypto";
  return binding.look_aside.session != nullptr ? "look-aside" : "software";
}

PlacementReport ReportOf(const SaBinding& binding, bool inbound, const EngineSet& engines) {
  const bool look_aside = binding.look_aside.session != nullptr;
  const uint32_t engine = look_aside ? binding.look_aside.engine : binding.cpu.engine;
  return {.inbound = inbound,
          .requested = RequestedText(binding),
          .effective = EffectiveText(binding),
          .device = binding.device != nullptr ? std::string(binding.device->device_name()) : "",
          .engine = std::string(engines.engine(engine)->name()),
          .reason = binding.reason.Text(),
          .explanation = binding.reason.Explanation(),
          .since = binding.since};
}

std::string ModeText(DeviceOffloadMode mode) {
  switch (mode) {
    case DeviceOffloadMode::kNo:
      return "no";
    case DeviceOffloadMode::kCrypto:
      return "crypto";
    case DeviceOffloadMode::kAuto:
      return "auto";
  }
  return {};
}

}  // namespace

std::vector<SaReport> ControlPlane::ReportSas() const {
  std::vector<SaReport> reports;
  for (const auto& sa : path_.sad.List()) {
    SaReport report{.sa = sa,
                    .state = sa->state(),
                    .usage = sa->lifetime().usage(),
                    .stats = sa->stats(),
                    .replay = sa->ExportReplay(),
                    .last_used = sa->lifetime().last_used(),
                    .path_mtu = 0,
                    .lateness = {},
                    .placements = {},
                    .drops = {}};
    if (sa->outbound() != nullptr) report.path_mtu = LearntPathMtu(*sa->outbound(), Now());
    if (sa->inbound() != nullptr) report.lateness = sa->inbound()->replay.lateness();
    if (const auto it = bindings_.find(sa->number); it != bindings_.end()) {
      if (it->second.outbound)
        report.placements.push_back(ReportOf(*it->second.outbound, false, *params_.engines));
      if (it->second.inbound)
        report.placements.push_back(ReportOf(*it->second.inbound, true, *params_.engines));
    }
    for (std::size_t r = 1; r < kDropReasons; ++r) {
      const auto reason = static_cast<DropReason>(r);
      if (const uint64_t n = sa->drops(reason); n != 0) {
        report.drops.emplace_back(cygnet::Describe(reason).name, n);
      }
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

std::vector<PolicyReport> ControlPlane::ReportPolicies() const {
  std::vector<PolicyReport> reports;
  for (PolicyView& view : ListPolicies()) {
    reports.push_back({.spec = std::move(view.spec), .usage = view.usage});
  }
  return reports;
}

std::vector<DeviceReport> ControlPlane::ReportDevices() const {
  std::vector<DeviceReport> reports;
  for (const ControlDevice& d : params_.devices) {
    DeviceReport report;
    report.name = d.name;
    report.wire = d.wire;
    report.driver = d.driver;
    report.ifindex = d.ifindex;
    report.mtu = d.host_port->mtu();
    report.mac = d.host_port->mac();
    report.offload_mode = ModeText(d.mode);
    report.host = d.host_port->stats();
    report.wire_stats = d.wire_port->stats();
    if (d.offload != nullptr) {
      report.offload_capable = true;
      report.offload_up = d.offload->offload_up();
      report.caps = d.offload->caps();
      report.offload = d.offload->offload_stats();
      report.held = d.offload->HeldSas();
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

StatReport ControlPlane::ReportStats() const {
  std::array<uint64_t, kDropReasons> totals{};
  const auto add = [&totals](const DropCounters& counters) {
    for (std::size_t r = 0; r < kDropReasons; ++r) {
      totals[r] += counters.Get(static_cast<DropReason>(r));
    }
  };
  for (const auto& counters : path_.drops) add(*counters);
  for (const ControlDevice& d : params_.devices) {
    if (const DropCounters* own = d.wire_port->device_drops(); own != nullptr) add(*own);
  }
  StatReport report;
  std::map<std::string_view, uint64_t> by_name;
  for (std::size_t r = 1; r < kDropReasons; ++r) {
    const DropReasonInfo& info = cygnet::Describe(static_cast<DropReason>(r));
    if (!info.xfrm_stat.empty()) by_name[info.xfrm_stat] += totals[r];
    report.drops.emplace_back(info.name, totals[r]);
  }
  for (const std::string_view name : XfrmStatNames()) {
    report.xfrm.emplace_back(name, by_name[name]);
  }
  report.uptime_seconds = Now() - started_;
  report.workers = path_.workers();
  report.engine = std::string((*params_.engines)[0].info->name);
  return report;
}

std::string ControlPlane::PlacementOf(Spi spi, const IpAddress& daddr, IpFamily family,
                                      bool inbound) const {
  const auto sa =
      path_.sad.Find({.daddr = daddr, .spi = spi, .proto = kProtoEsp, .family = family, .mark = 0});
  if (sa == nullptr) return {};
  const auto found = bindings_.find(sa->number);
  if (found == bindings_.end()) return {};
  const auto& binding = inbound ? found->second.inbound : found->second.outbound;
  if (binding == nullptr) return {};
  const PlacementReport report = ReportOf(*binding, inbound, *params_.engines);
  const std::string& where = report.device.empty() ? report.engine : report.device;
  return report.effective + " " + where + " (" + report.reason + ")";
}

CapturePoints* ControlPlane::FindCapture(const std::string& device) {
  for (const ControlDevice& d : params_.devices) {
    if (d.name == device) return d.capture;
  }
  return nullptr;
}

}  // namespace cygnet
