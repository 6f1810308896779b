// What the daemon reports about a reload of its configuration, and the findings of the doctor.
#pragma once

#include <string>
#include <vector>

#include "control/placement/report.h"

namespace cygnet {

// `cygnet reload`. Keys are named as in the file: "daemon.log_level", "device nic0.trusted",
// "placement" (all rules).
struct ReloadReport {
  std::vector<std::string> applied{};
  std::vector<std::string> needs_restart{};  // differ from the running values and are not applied
  MoveReport moved{};
};

// One finding of `cygnet doctor`.
struct DoctorRow {
  std::string check{};  // "kernel-xfrm" …
  bool ok = true;
  std::string text{};    // what was found
  std::string advice{};  // what to do; empty when ok
};

}  // namespace cygnet
