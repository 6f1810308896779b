// Requests of the operator to the control plane.
#include "control/control_plane.h"

namespace cygnet {

LedgerReport ControlPlane::ReportLedger(const LedgerQuery& query) const {
  return placement_->ledger().Report(query);
}

Result<ExplainReport> ControlPlane::ExplainOffload(const ExplainQuery& query) const {
  return placement_->Explain(query);
}

FipsReport ControlPlane::ReportFips() const {
  if (params_.fips == nullptr) return {.mode = "off", .list_file = {}, .rows = {}};
  return params_.fips->Report(devices(), *params_.engines, Now());
}

Result<MoveReport> ControlPlane::SetOffloadEnabled(const std::string& device, bool enabled) {
  return placement_->SetEnabled(device, enabled);
}

Result<MoveReport> ControlPlane::SetPlacement(const PlacementCommand& command) {
  return placement_->SetOverride(command);
}

Result<MoveReport> ControlPlane::SetFips(std::optional<std::string> mode) {
  if (params_.fips == nullptr) {
    return MakeError(Errc::kNotSupported, "this cygnetd was started without FIPS support");
  }
  CYGNET_RETURN_IF_ERROR(params_.fips->Apply(mode));
  AuditFips();
  return placement_->Reevaluate();
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
  const auto number = placement_->devices().Named(device);
  if (!number.has_value()) return MakeError(Errc::kNoDevice, "no device '" + device + "'");
  OffloadDevice* offload = devices()[*number].offload;
  FaultInjection* faults = offload != nullptr ? offload->faults() : nullptr;
  if (faults == nullptr) {
    return MakeError(Errc::kNotSupported, "device " + device + " cannot simulate faults");
  }
  return faults->InjectFault(fault);
}

CapturePoints* ControlPlane::FindCapture(const std::string& device) {
  for (const ControlDevice& d : devices()) {
    if (d.name == device) return d.capture;
  }
  return nullptr;
}

Reports ControlPlane::reports() const {
  return Reports({.path = path_,
                  .placement = *placement_,
                  .policies = policies_,
                  .engines = *params_.engines,
                  .clock = *params_.clock});
}

StatReport ControlPlane::ReportStats() const {
  StatReport report = reports().ReportStats();
  report.acquires_refused = acquires_.refused();
  report.uptime_seconds = Now() - started_;
  return report;
}

}  // namespace cygnet
