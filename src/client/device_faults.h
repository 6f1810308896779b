// What is wrong with a device, from its report.
#pragma once

#include <map>
#include <string>

#include "client/operator_client.h"

namespace cygnet {

// By kind: "state", "link", "caught", "denied", "fence".
std::map<std::string, std::string> FaultsOf(const Json& device);

// Packets that the seal guard of its wire has stopped, since the start.
uint64_t GuardHits(const Json& device);

}  // namespace cygnet
