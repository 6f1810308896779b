// What still shuts wires where no cygnetd runs: its fences outlive it, until an operator releases
// them.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cygnet {

using Json = nlohmann::ordered_json;

// By wire: what shuts it, as "nftables netdev", "tc".
using Fences = std::map<std::string, std::vector<std::string>>;

// In nftables' JSON of a ruleset.
Fences FencesIn(const Json& ruleset);

// Rows of the doctor about this network namespace; at least one.
std::vector<Json> CheckFences();

}  // namespace cygnet
