#include "web/view.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "client/json_fields.h"

namespace cygnet::web {
namespace {

bool IsUnspecified(const std::string& address) { return address == "0.0.0.0" || address == "::"; }

// The template of a policy that the SA fulfils.
bool Fits(const Json& tmpl, const Json& sa) {
  const std::string dst = Text(tmpl, "dst");
  const std::string src = Text(tmpl, "src");
  const uint64_t reqid = Number(tmpl, "reqid");
  return (reqid == 0 || reqid == Number(sa, "reqid")) &&
         (IsUnspecified(dst) || dst == Text(sa, "dst")) &&
         (IsUnspecified(src) || src == Text(sa, "src"));
}

// The selectors of the policies that send packets to the SA, or require it.
Json PoliciesOf(const Json& sa, const std::string& direction, const std::vector<Json>& policies) {
  constexpr std::size_t kMost = 4;
  Json names = Json::array();
  for (const Json& policy : policies) {
    if (names.size() >= kMost) break;
    if (Text(policy, "dir") != direction) continue;
    const Json& templates = Child(policy, "templates");
    if (std::any_of(templates.begin(), templates.end(),
                    [&sa](const Json& tmpl) { return Fits(tmpl, sa); })) {
      names.push_back(Text(policy, "selector"));
    }
  }
  return names;
}

// The device at whose wire the packets are: the one that has the half, or the only one there is.
std::string DeviceOf(const Json& half, const std::vector<Json>& devices) {
  const std::string name = Text(half, "device");
  if (!name.empty() || devices.size() != 1) return name;
  return Text(devices.front(), "name");
}

std::string WireOf(const std::string& device, const std::vector<Json>& devices) {
  for (const Json& row : devices) {
    if (Text(row, "name") == device) return Text(row, "wire");
  }
  return {};
}

void Copy(const Json& from, std::initializer_list<const char*> fields, Json* to) {
  for (const char* field : fields) {
    const auto found = from.find(field);
    if (found != from.end()) (*to)[field] = *found;
  }
}

Json FlowJson(const Flow& flow, const Readings& readings) {
  Json row = {{"key", SaKey(*flow.sa) + " " + Text(*flow.half, "direction")}};
  Copy(*flow.sa,
       {"src", "dst", "spi", "proto", "mode", "state", "reqid", "esn", "replay_window",
        "window_for_all", "selector", "usage", "last_used", "limits", "drops"},
       &row);
  Copy(*flow.half,
       {"direction", "requested", "requested_by", "pinned", "effective", "device", "simulated",
        "engine", "reason", "explanation", "since", "really"},
       &row);
  const std::string device = DeviceOf(*flow.half, readings.of(Reading::kDevices));
  row["host"] = device;
  row["wire"] = WireOf(device, readings.of(Reading::kDevices));
  row["policies"] =
      PoliciesOf(*flow.sa, Text(*flow.half, "direction"), readings.of(Reading::kPolicies));
  row["packets_per_second"] = flow.packets;
  row["bits_per_second"] = flow.bits;
  return row;
}

void AddFlows(const ViewInput& input, Json* view) {
  std::vector<Flow> flows = FlowsOf({.readings = input.readings,
                                     .before = input.before,
                                     .now = input.now,
                                     .seconds = input.seconds});
  std::map<std::string, uint64_t> places;
  std::map<std::string, std::pair<double, double>> directions;
  for (const Flow& flow : flows) {
    ++places[Text(*flow.half, "effective")];
    auto& [packets, bits] = directions[Text(*flow.half, "direction")];
    packets += flow.packets;
    bits += flow.bits;
  }
  flows.erase(std::remove_if(flows.begin(), flows.end(), [](const Flow& f) { return f.unused; }),
              flows.end());
  const std::size_t shown = std::min(flows.size(), kMostFlows);
  std::stable_sort(flows.begin(), flows.end(),
                   [](const Flow& a, const Flow& b) { return a.bits > b.bits; });
  Json rows = Json::array();
  for (std::size_t i = 0; i < shown; ++i) rows.push_back(FlowJson(flows[i], *input.readings));
  (*view)["flows"] = std::move(rows);
  (*view)["flows_left_out"] = flows.size() - shown;
  Json& totals = (*view)["totals"] = {{"sas", input.readings->of(Reading::kSas).size()},
                                      {"halves", Json::object()},
                                      {"rates", Json::object()}};
  for (const auto& [effective, count] : places) totals["halves"][effective] = count;
  for (const auto& [direction, rates] : directions) {
    totals["rates"][direction] = {{"packets_per_second", rates.first},
                                  {"bits_per_second", rates.second}};
  }
}

void AddDevices(const ViewInput& input, Json* view) {
  Json& rows = (*view)["devices"] = Json::array();
  for (const Json& device : input.readings->of(Reading::kDevices)) {
    Json row = Json::object();
    Copy(device, {"name",        "wire",
                  "driver",      "mtu",
                  "identity",    "state",
                  "failure",     "link",
                  "host_side",   "trusted",
                  "allow_modes", "disabled",
                  "denied",      "denied_explanation",
                  "loss",        "guard",
                  "fence",       "host",
                  "wire_stats",  "self_test"},
         &row);
    Json offload = Child(device, "offload");
    if (offload.is_object()) offload.erase("capabilities");
    row["offload"] = std::move(offload);
    row["caught"] = Text(Child(device, "shadow"), "caught");
    const std::string name = Text(device, "name");
    const auto now = input.now->sealed_opened.find(name);
    if (input.before != nullptr && now != input.now->sealed_opened.end()) {
      const auto before = input.before->sealed_opened.find(name);
      if (before != input.before->sealed_opened.end()) {
        row["sealed_per_second"] =
            Rate(Rise(before->second.first, now->second.first), input.seconds);
        row["opened_per_second"] =
            Rate(Rise(before->second.second, now->second.second), input.seconds);
      }
    }
    rows.push_back(std::move(row));
  }
}

void AddDrops(const ViewInput& input, Json* view) {
  Json& rows = (*view)["drops"] = Json::array();
  for (const auto& [reason, count] : input.now->drops) {
    if (count == 0) continue;
    Json row = {{"reason", reason}, {"count", count}};
    if (input.before != nullptr) {
      const auto before = input.before->drops.find(reason);
      const uint64_t was = before == input.before->drops.end() ? 0 : before->second;
      row["per_second"] = Rate(Rise(was, count), input.seconds);
    }
    rows.push_back(std::move(row));
  }
}

// One histogram of all SAs for each window that they have: the window's edge differs.
void AddLateness(const std::vector<Json>& sas, Json* view) {
  struct Sum {
    std::map<uint64_t, std::pair<uint64_t, uint64_t>> rows;
    uint64_t sas = 0;
    uint64_t advice = 0;
  };
  std::map<uint64_t, Sum> windows;
  for (const Json& sa : sas) {
    const Json& lateness = Child(sa, "lateness");
    if (!sa.contains("lateness") || Number(Child(sa, "replay"), "seq") == 0) continue;
    Sum& sum = windows[Number(sa, "replay_window")];
    ++sum.sas;
    sum.advice = std::max(sum.advice, Number(sa, "window_for_all"));
    for (const Json& row : lateness) {
      auto& [accepted, rejected] = sum.rows[Number(row, "from")];
      accepted += Number(row, "accepted");
      rejected += Number(row, "rejected");
    }
  }
  Json& all = (*view)["lateness"] = Json::array();
  for (const auto& [window, sum] : windows) {
    Json rows = Json::array();
    for (const auto& [from, counts] : sum.rows) {
      rows.push_back({{"from", from}, {"accepted", counts.first}, {"rejected", counts.second}});
    }
    all.push_back({{"window", window},
                   {"sas", sum.sas},
                   {"window_for_all", sum.advice},
                   {"rows", std::move(rows)}});
  }
}

void AddLedger(const Readings& readings, Json* view) {
  std::vector<const Json*> keys;
  std::vector<const Json*> moves;
  for (const Json& item : readings.of(Reading::kKeysHeld)) {
    if (Text(item, "kind") == "key") keys.push_back(&item);
  }
  for (const Json& item : readings.of(Reading::kLedger)) {
    const std::string kind = Text(item, "kind");
    if (kind == "key" && Number(item, "until_ms") != 0) keys.push_back(&item);
    if (kind == "placement") moves.push_back(&item);
    if (kind == "summary") (*view)["ledger"] = item;
  }
  const auto last = [](const std::vector<const Json*>& rows, const char* time) {
    std::vector<const Json*> sorted(rows);
    std::stable_sort(sorted.begin(), sorted.end(), [time](const Json* a, const Json* b) {
      return Number(*a, time) < Number(*b, time);
    });
    Json list = Json::array();
    const std::size_t first = sorted.size() - std::min(sorted.size(), kMostLedgerRows);
    for (std::size_t i = first; i < sorted.size(); ++i) list.push_back(*sorted[i]);
    return list;
  };
  (*view)["keys"] = last(keys, "from_ms");
  (*view)["moves"] = last(moves, "time_ms");
}

void AddEngines(const std::vector<Json>& engines, Json* view) {
  Json& rows = (*view)["engines"] = Json::array();
  for (const Json& engine : engines) {
    if (Number(engine, "order") != 0 || !Text(engine, "failure").empty()) rows.push_back(engine);
  }
}

}  // namespace

Json MakeView(const ViewInput& input) {
  const Json& stat = input.readings->one(Reading::kStat);
  Json view = {{"time_ms", input.time_ms}, {"seconds", input.seconds}};
  view["daemon"] = {{"up", true}, {"error", ""}};
  Copy(stat, {"uptime_seconds", "workers", "engine"}, &view["daemon"]);
  AddFlows(input, &view);
  AddDevices(input, &view);
  AddEngines(input.readings->of(Reading::kEngines), &view);
  AddDrops(input, &view);
  AddLateness(input.readings->of(Reading::kSas), &view);
  AddLedger(*input.readings, &view);
  view["cluster"] = input.readings->one(Reading::kCluster);
  return view;
}

}  // namespace cygnet::web
