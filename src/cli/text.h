// Reports for people, in the style of iproute2. daemon/operator/report_json.h has the fields.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/ink.h"

namespace cygnet {

enum class Counters : uint8_t { kNonZero, kAll };

std::string SaText(const Json& sa, const Ink& ink = {}, Counters which = Counters::kNonZero);
std::string PolicyText(const Json& policy, const Ink& ink = {});
std::string DeviceText(const Json& device, const Ink& ink = {});
std::string SaDropsText(const Json& sa);
std::string EngineText(const Json& engine, const Ink& ink = {});
std::string MtuText(const Json& mtu);
std::string WhyText(const Json& why);
std::string TunnelText(const Json& tunnel);
std::string ReloadText(const Json& reload);
std::string DoctorText(const Json& row);
std::string StoredText(const Json& stored);
std::string ClusterText(const Json& cluster);
std::string FipsText(const Json& fips);  // FIPS state, or the moves after a change
// Of one half of an SA.
std::string PlacementText(const Json& placement, const Ink& ink = {});
std::string KeyLogText(const Json& device);
std::string StatisticsText(const Json& device);
std::string ExplainText(const Json& explain, const Ink& ink = {});
std::string OrdersText(const std::vector<Json>& items);
std::string MoveText(const Json& move);
std::string LedgerText(const std::vector<Json>& items);
std::string StatText(const Json& stat, Counters which);

// -br: one line for each entry, in columns.
std::string BriefText(const Arguments& arguments, const std::vector<Json>& items, const Ink& ink);

// FIPS mode is in force and denies something that is configured.
bool FipsDenies(const Json& fips);

// All stored files are complete and can be written, and no audit record was lost.
bool StoredIsWell(const Json& stored);

// The packet passes, and so would its answers.
bool WhyIsWell(const Json& why);

// The store answers, this node has its lease, and nothing was lost.
bool ClusterIsWell(const Json& cluster);

// "2023-11-14 22:13:20" in local time; "never" for 0.
std::string TimeText(uint64_t seconds);
// "2023-11-14 22:13:20.123 UTC".
std::string UtcText(uint64_t ms);

}  // namespace cygnet
