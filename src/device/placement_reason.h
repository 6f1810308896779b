// Why an SA's cryptography runs where it runs: one vocabulary for CLI, JSON, log and extended ACK.
#pragma once

#include <string>
#include <string_view>

namespace cygnet {

enum class ReasonCode {
  kRequested,      // runs where the client asked
  kNotRequested,   // no offload was asked for
  kDeviceUnknown,  // no Cygnet device has that interface index
  kDeviceOff,      // the device's configuration says offload = no
  kDeviceDown,     // link down, or the device lost its state
  kTableFull,      // the device has no SA slot left
  kNoCapability,   // the device cannot do it; the detail names what: "no-capability:esn"
  kDeviceRefused,  // the device said no for a reason of its own; the detail has its text
  kEngineRefused,  // the look-aside engine did; the detail has its text
};

struct PlacementReason {
  ReasonCode code = ReasonCode::kNotRequested;
  std::string detail;

  // Stable: "table-full", "no-capability:icv-64".
  std::string Text() const;
  // A sentence for people.
  std::string Explanation() const;
  bool operator==(const PlacementReason&) const = default;
};

std::string_view Name(ReasonCode code);

}  // namespace cygnet
