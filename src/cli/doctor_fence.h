// Wires that are still shut although no cygnetd runs: fences outlive the daemon until an operator
// releases them.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "netlink/nft_tables.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

// What shuts each wire: "nftables netdev", "tc".
using Fences = std::map<std::string, std::vector<std::string>>;

Fences FencesIn(const std::vector<NftTableHead>& tables);

// The doctor's rows for the fences of this network namespace; at least one.
std::vector<Json> CheckFences();

}  // namespace cygnet
