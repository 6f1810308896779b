// Routes whose next hop is an object of its own (ip nexthop): the kernel may tell only its number
// (net.ipv4.nexthop_compat_mode = 0). Control thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "control/host_links.h"

namespace cygnet {

// A route without its ways, and the number of the object.
using RouteByObject = std::pair<HostRoute, uint32_t>;

// Asks for the objects and adds one route for each way.
void AddRoutesByObject(mnl_socket* socket, uint32_t sequence,
                       const std::vector<RouteByObject>& routes, std::vector<HostRoute>* out);

}  // namespace cygnet
