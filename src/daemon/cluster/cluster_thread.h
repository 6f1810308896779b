// The cluster's thread of this node (a ClusterNode). It polls the heartbeat socket and the calls to
// the store, and does what Ownership decides.
#pragma once

#include <memory>

#include "base/result.h"
#include "daemon/cluster/cluster_node.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/config/cluster_config.h"

namespace cygnet {

// Starts the thread. `incarnation`: of this start of cygnetd, random, never 0.
//
// Errors are of this host: a file that cannot be read, an address that cannot be bound. A store
// that does not answer is an event. The destructor ends the thread and takes the virtual addresses
// of the groups that are still owned from this host, except after Pause: then they stay for the
// next start. `hold` may be nullptr: then packets of a group that comes are not held.
Result<std::unique_ptr<ClusterNode>> MakeClusterThread(const ClusterConfig& config,
                                                       Incarnation incarnation, TrafficHold* hold);

}  // namespace cygnet
