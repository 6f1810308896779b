// Which of the host's routes take protected traffic past Cygnet, and which make the host ask in
// clear for hosts behind a tunnel.
#pragma once

#include <vector>

#include "control/daemon_report.h"
#include "control/host_links.h"
#include "policy/policy.h"

namespace cygnet {

struct RoutePicture {
  std::vector<HostLink> links;
  std::vector<HostRoute> routes;
  std::vector<int32_t> own;          // Cygnet's interfaces
  std::vector<PolicySpec> policies;  // all
};

// At least one row: that nothing was found is said, too.
std::vector<DoctorRow> CheckRoutes(const RoutePicture& picture);

}  // namespace cygnet
