// The keys of [cluster] and [[cluster_group]], and the checks that involve more than one of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/config/cluster_config.h"
#include "net/address.h"
#include "settings/fields.h"

namespace cygnet {

const std::vector<Field<ClusterConfig>>& ClusterFields();
const std::vector<Field<ClusterGroupConfig>>& ClusterGroupFields();

// REQUIRES: `table` was read into `cluster`, without its groups.
Status CheckCluster(const TomlTable& table, const ClusterConfig& cluster);
// Reads one [[cluster_group]] and appends it.
Status ReadClusterGroup(const TomlTable& table, ClusterConfig* cluster);

// "192.0.2.2:4712", "[2001:db8::2]:4712".
struct UdpEndpoint {
  IpAddress address;
  IpFamily family = IpFamily::kUnspec;
  uint16_t port = 0;
};
std::optional<UdpEndpoint> ParseUdpEndpoint(std::string_view text);

}  // namespace cygnet
