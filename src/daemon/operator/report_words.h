// Helpers shared by report_json*.cc.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/operator/report_json.h"
#include "net/ip_protocol.h"

namespace cygnet {

inline std::string Hex32(uint32_t value) { return fmt::format("0x{:08x}", value); }

inline std::string ProtoName(uint8_t proto) {
  switch (proto) {
    case kProtoEsp:
      return "esp";
    case kProtoAh:
      return "ah";
    case kProtoIpcomp:
      return "comp";
    default:
      return std::to_string(proto);
  }
}

inline std::string_view ModeName(SaMode mode) {
  switch (mode) {
    case SaMode::kTransport:
      return "transport";
    case SaMode::kTunnel:
      return "tunnel";
    case SaMode::kRouteOptimization:
      return "ro";
    case SaMode::kBeet:
      return "beet";
  }
  return "unknown";
}

// report_json_why.cc
Json PolicyBriefJson(const PolicySpec& policy);
// What the host limits, and what the answer depends on.
void AddHostLimit(const MtuReport& report, Json* json);

// report_json_placement.cc
Json PlacementJson(const PlacementReport& placement);
Json BriefPlacementJson(const PlacementReport& placement);

inline Json CountsJson(const std::vector<std::pair<std::string, uint64_t>>& counts) {
  Json json = Json::object();
  for (const auto& [name, count] : counts) json[name] = count;
  return json;
}

}  // namespace cygnet
