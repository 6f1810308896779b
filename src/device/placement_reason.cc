#include "device/placement_reason.h"

namespace cygnet {

std::string_view Name(ReasonCode code) {
  switch (code) {
    case ReasonCode::kRequested:
      return "requested";
    case ReasonCode::kNotRequested:
      return "not-requested";
    case ReasonCode::kDeviceUnknown:
      return "device-unknown";
    case ReasonCode::kDeviceOff:
      return "device-off";
    case ReasonCode::kDeviceDown:
      return "device-down";
    case ReasonCode::kTableFull:
      return "table-full";
    case ReasonCode::kNoCapability:
      return "no-capability";
    case ReasonCode::kDeviceRefused:
      return "device-refused";
    case ReasonCode::kEngineRefused:
      return "engine-refused";
  }
  return "unknown";
}

std::string PlacementReason::Text() const {
  std::string text(Name(code));
  if (code == ReasonCode::kNoCapability) text += ":" + detail;
  return text;
}

std::string PlacementReason::Explanation() const {
  switch (code) {
    case ReasonCode::kRequested:
      return "runs where it was asked for";
    case ReasonCode::kNotRequested:
      return "no offload was asked for";
    case ReasonCode::kDeviceUnknown:
      return "no Cygnet device has the interface that was named";
    case ReasonCode::kDeviceOff:
      return "offload is switched off for the device";
    case ReasonCode::kDeviceDown:
      return "the device is down";
    case ReasonCode::kTableFull:
      return "the device's SA table is full" + (detail.empty() ? "" : " (" + detail + ")");
    case ReasonCode::kNoCapability:
      return "the device cannot do " + detail;
    case ReasonCode::kDeviceRefused:
      return "the device refused: " + detail;
    case ReasonCode::kEngineRefused:
      return "the look-aside engine refused: " + detail;
  }
  return {};
}

}  // namespace cygnet
