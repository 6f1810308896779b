// What a reload of the configuration changes: terms of devices, rules, the scheduler. SAs stay; a
// half whose place follows from what has changed moves as it does for the operator's word.
#include <utility>

#include "base/check.h"
#include "control/control_plane.h"

namespace cygnet {
namespace {

void SetTerms(const DeviceTerms& terms, ControlDevice* device) {
  device->mode = terms.mode;
  device->trusted = terms.trusted;
  device->allow_crypto = terms.allow_crypto;
  device->allow_packet = terms.allow_packet;
  device->rekey_reserve = terms.rekey_reserve;
  device->loss = terms.loss;
}

}  // namespace

MoveReport Placement::Reconfigure(PlacementSettings settings) {
  CYGNET_CHECK(settings.devices.size() == params_.devices.size());
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    SetTerms(settings.devices[i], &params_.devices[i]);
  }
  params_.rules = std::move(settings.rules);
  params_.scheduler = settings.scheduler;
  return Reevaluate();
}

MoveReport ControlPlane::Reconfigure(PlacementSettings settings, uint32_t replay_window_min) {
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    SetTerms(settings.devices[i], &params_.devices[i]);
  }
  params_.rules = settings.rules;
  params_.scheduler = settings.scheduler;
  params_.replay_window_min = replay_window_min;
  return placement_->Reconfigure(std::move(settings));
}

Result<ReloadReport> ControlPlane::Reload() {
  if (!params_.reload) {
    return MakeError(Errc::kNotSupported, "this cygnetd cannot read its configuration again");
  }
  return params_.reload();
}

std::vector<DoctorRow> ControlPlane::ReportDoctor() const {
  return params_.doctor ? params_.doctor() : std::vector<DoctorRow>{};
}

}  // namespace cygnet
