// Reports: what the operator sees of SAs, policies, devices, engines and drops. Read-only. Control
// thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/placement/placement.h"
#include "control/policies.h"
#include "control/report.h"
#include "crypto/engine_set.h"
#include "datapath/data_path.h"

namespace cygnet {

class Reports {
 public:
  // The objects to report on.
  struct Sources {
    const DataPath& path;
    const Placement& placement;
    const Policies& policies;
    const EngineSet& engines;
    const Clock& clock;
  };
  explicit Reports(const Sources& sources) : from_(sources) {}

  std::vector<SaReport> ReportSas() const;           // newest first
  std::vector<PolicyReport> ReportPolicies() const;  // newest first
  std::vector<DeviceReport> ReportDevices() const;
  std::vector<EngineReport> ReportEngines() const;  // in use first, in their order
  // Counters. The control plane adds those that only it knows.
  StatReport ReportStats() const;
  // Where one half of the SA runs, in short: "crypto nic0 (requested)"; empty: no such half.
  std::string PlacementOf(Spi spi, const IpAddress& daddr, IpFamily family, Half half) const;

 private:
  uint64_t Now() const { return from_.clock.WallSeconds(); }
  std::string RequestedOn(const std::optional<OffloadRequest>& request) const;
  DeviceReport DeviceAt(std::size_t device) const;
  std::vector<SaId> HeldAsRecorded(const std::string& device) const;
  uint64_t HalvesOn(uint32_t engine) const;

  const Sources from_;
};

}  // namespace cygnet
