// What a reload of the configuration changes: device terms, rules, the scheduler, windows.
#include <utility>

#include "control/control_plane.h"

namespace cygnet {

MoveReport ControlPlane::Reconfigure(PlacementSettings settings, uint32_t replay_window_min) {
  params_.replay_window_min = replay_window_min;
  return placement_->Reconfigure(std::move(settings));
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

}  // namespace cygnet
