// Finds routes of the host that take protected traffic past Cygnet, and routes that make the host
// send ARP or neighbour discovery in clear for hosts behind a tunnel.
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

// At least one row: the absence of findings is a row, too.
std::vector<DoctorRow> CheckRoutes(const RoutePicture& picture);

}  // namespace cygnet
