// What the operator may ask of placement.
#include "control/control_plane.h"

namespace cygnet {

LedgerReport ControlPlane::ReportLedger(const LedgerQuery&) const { return {}; }

Result<ExplainReport> ControlPlane::ExplainOffload(const ExplainQuery&) const {
  return MakeError(Errc::kNotSupported, "not yet");
}

FipsReport ControlPlane::ReportFips() const { return {}; }

Result<MoveReport> ControlPlane::SetOffloadEnabled(const std::string&, bool) {
  return MakeError(Errc::kNotSupported, "not yet");
}

Result<MoveReport> ControlPlane::SetPlacement(const PlacementCommand&) {
  return MakeError(Errc::kNotSupported, "not yet");
}

Result<MoveReport> ControlPlane::SetFips(std::optional<std::string>) {
  return MakeError(Errc::kNotSupported, "not yet");
}

Status ControlPlane::InjectFault(const std::string& device, const std::string& fault) {
  for (const ControlDevice& d : params_.devices) {
    if (d.name == device && d.offload != nullptr) return d.offload->InjectFault(fault);
  }
  return MakeError(Errc::kNoDevice, "no offload device '" + device + "'");
}

}  // namespace cygnet
