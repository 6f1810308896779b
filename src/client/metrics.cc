#include "client/metrics.h"

#include <fmt/format.h>

#include <map>
#include <string_view>
#include <utility>

#include "client/json_fields.h"
#include "client/sa_metrics.h"
#include "client/samples.h"

namespace cygnet {
namespace {

// Maps a number of a report to a metric.
struct Field {
  const char* field;
  const char* metric;
  const char* help;
};

// Fields of "offload" in DeviceReport.
constexpr Field kDeviceGauges[] = {
    {"slots_high_water", "cygnet_device_sa_slots_high_water", "Most SA slots ever in use."},
    {"rekey_reserve", "cygnet_device_rekey_reserve_slots",
     "SA slots of each direction kept for rekeying."},
    {"addresses_used", "cygnet_device_receive_addresses_used", "Receive addresses in use."},
    {"addresses_limit", "cygnet_device_receive_addresses_limit",
     "Receive addresses that fit into the device; 0: no limit."},
    {"addresses_high_water", "cygnet_device_receive_addresses_high_water",
     "Most receive addresses ever in use."},
};
constexpr Field kDeviceCounters[] = {
    {"sealed", "cygnet_packets_sealed_total", "Packets that the device sealed."},
    {"opened", "cygnet_packets_opened_total", "Packets that the device opened."},
    {"auth_failed", "cygnet_device_auth_failed_total", "Packets whose ICV the device found wrong."},
    {"passed_unknown", "cygnet_device_passed_unknown_total",
     "Inbound ESP packets without an SA in the device, passed up unopened."},
    {"dropped_stale", "cygnet_device_dropped_stale_total",
     "Outbound packets dropped because the device no longer had their SA."},
    {"returned", "cygnet_packets_returned_total",
     "Outbound packets that the device handed back unsealed; software sealed them."},
    {"refusals", "cygnet_device_sa_refusals_total", "SAs that the device refused."},
    {"resets", "cygnet_device_resets_total", "Times the device lost its tables."},
};
constexpr Field kEngineCounters[] = {
    {"jobs", "cygnet_engine_jobs_total", "Packets that the engine was given."},
    {"refused", "cygnet_engine_jobs_refused_total", "Packets that the engine did not accept."},
    {"not_done", "cygnet_engine_jobs_not_done_total", "Packets that the engine gave up."},
};
constexpr Field kEngineGauges[] = {
    {"in_flight", "cygnet_engine_jobs_in_flight", "Packets that the engine has now."},
    {"sessions", "cygnet_engine_sessions", "Keys set up in the engine."},
    {"sa_halves", "cygnet_engine_sa_halves", "Halves of SAs that the engine serves."},
};

void AddPort(const std::string& device, const char* side, const Json& stats, Samples* metrics) {
  for (const char* direction : {"rx", "tx"}) {
    const std::string prefix = direction;
    metrics->Counter("cygnet_port_packets_total", "Packets at a side of a device.",
                     {{"device", device}, {"side", side}, {"direction", direction}},
                     Number(stats, (prefix + "_packets").c_str()));
    metrics->Counter("cygnet_port_bytes_total", "Bytes at a side of a device.",
                     {{"device", device}, {"side", side}, {"direction", direction}},
                     Number(stats, (prefix + "_bytes").c_str()));
  }
}

void AddFence(const std::string& device, const Json& fence, Samples* metrics) {
  metrics->Gauge("cygnet_wire_fenced", "1: the host's own stack is kept off the device's wire.",
                 {{"device", device}}, Text(fence, "state") == "in-force" ? 1 : 0);
  metrics->Counter("cygnet_fence_restored_total",
                   "Times others removed the wire's fence and cygnetd restored it.",
                   {{"device", device}}, Number(fence, "restored"));
}

void AddSlots(const std::string& device, const Json& offload, Samples* metrics) {
  for (const auto& [direction, field] :
       {std::pair{"out", "outbound_used"}, {"in", "inbound_used"}}) {
    metrics->Gauge("cygnet_device_sa_slots_used", "SA slots in use.",
                   {{"device", device}, {"direction", direction}}, Number(offload, field));
    metrics->Gauge("cygnet_device_sa_slots_limit", "SA slots that the device has.",
                   {{"device", device}, {"direction", direction}},
                   Number(offload, "direction_limit"));
  }
}

// Shadow verification. An older daemon does not report it.
void AddShadow(const std::string& device, const Json& shadow, Samples* metrics) {
  if (shadow.empty()) return;
  metrics->Gauge("cygnet_device_caught",
                 "1: the device was caught at a wrong or unsealed packet; no SA goes there.",
                 {{"device", device}}, Text(shadow, "caught").empty() ? 0 : 1);
  for (const char* direction : {"out", "in"}) {
    const Json& counts = Child(shadow, direction);
    for (const char* result : {"right", "wrong", "unverified"}) {
      const bool right = std::string_view(result) == "right";
      const uint64_t n =
          right ? Number(counts, "verified") - Number(counts, "wrong") : Number(counts, result);
      metrics->Counter("cygnet_device_verified_packets_total",
                       "Packets of the device that the CPU computed again, by result.",
                       {{"device", device}, {"direction", direction}, {"result", result}}, n);
    }
  }
}

void AddInside(const std::string& device, const Json& inside, Samples* metrics) {
  const std::string name = Text(inside, "name");
  for (const char* direction : {"rx", "tx"}) {
    metrics->Counter("cygnet_inside_packets_total",
                     "Packets that skipped the host's stack, by direction seen from the gateway.",
                     {{"device", device}, {"interface", name}, {"direction", direction}},
                     Number(inside, (std::string(direction) + "_packets").c_str()));
    metrics->Counter("cygnet_inside_bytes_total", "Bytes of their frames.",
                     {{"device", device}, {"interface", name}, {"direction", direction}},
                     Number(inside, (std::string(direction) + "_bytes").c_str()));
  }
  metrics->Gauge("cygnet_inside_open", "1: packets are taken from the interface.",
                 {{"device", device}, {"interface", name}, {"state", Text(inside, "state")}},
                 Text(inside, "explanation").empty() && Number(inside, "prefixes") > 0 ? 1 : 0);
}

void AddDevice(const Json& device, Samples* metrics) {
  const std::string name = Text(device, "name");
  AddPort(name, "host", Child(device, "host"), metrics);
  AddPort(name, "wire", Child(device, "wire_stats"), metrics);
  AddFence(name, Child(device, "fence"), metrics);
  const Json& all_inside = Child(device, "inside");
  for (const Json& inside : all_inside) AddInside(name, inside, metrics);
  if (!all_inside.empty()) {
    metrics->Counter("cygnet_inside_misses_total",
                     "Packets of hosts behind inside interfaces that went by the host's stack.", {},
                     Number(all_inside.front(), "misses"));
  }
  const Json& link = Child(device, "link");
  const std::string link_state = Text(link, "state");
  metrics->Gauge("cygnet_link_up", "1: the wire has a link.",
                 {{"device", name}, {"wire", Text(device, "wire")}, {"state", link_state}},
                 link_state == "up" ? 1 : 0);
  metrics->Counter("cygnet_link_changes_total", "Times the link went up or down.",
                   {{"device", name}}, Number(link, "changes"));
  const std::string host_side = Text(Child(device, "host_side"), "state");
  if (!host_side.empty()) {
    metrics->Gauge("cygnet_host_side_present",
                   "1: the interface that cygnetd made for the host is there.",
                   {{"device", name}, {"state", host_side}}, host_side == "present" ? 1 : 0);
  }
  const Json& offload = Child(device, "offload");
  if (!offload.value("capable", false)) return;
  const Json& identity = Child(device, "identity");
  metrics->Gauge("cygnet_device_up", "1: the device's offload unit accepts SAs.",
                 {{"device", name}, {"state", Text(device, "state")}},
                 offload.value("up", false) ? 1 : 0);
  metrics->Gauge("cygnet_device_info", "Always 1: the device's identity.",
                 {{"device", name},
                  {"driver", Text(device, "driver")},
                  {"model", Text(identity, "model")},
                  {"serial", Text(identity, "serial")},
                  {"firmware", Text(identity, "firmware")},
                  {"simulated", identity.value("simulated", false) ? "true" : "false"}},
                 1);
  metrics->Gauge("cygnet_device_trusted", "1: the operator trusts the device with keys.",
                 {{"device", name}}, device.value("trusted", true) ? 1 : 0);
  metrics->Gauge("cygnet_device_disabled", "1: the operator has disabled offload on the device.",
                 {{"device", name}}, device.value("disabled", false) ? 1 : 0);
  const std::string denied = Text(device, "denied");
  metrics->Gauge("cygnet_device_denied", "1: the device gets no keys, for the given reason.",
                 {{"device", name}, {"reason", denied}}, denied.empty() ? 0 : 1);
  const Json& self_test = Child(device, "self_test");
  metrics->Gauge("cygnet_device_self_tested", "1: the device's last self-test ran.",
                 {{"device", name}}, self_test.value("ran", false) ? 1 : 0);
  metrics->Gauge("cygnet_device_capabilities_withdrawn",
                 "Capabilities that the device claims and its self-test withdrew.",
                 {{"device", name}}, Child(self_test, "withdrawn").size());
  AddSlots(name, offload, metrics);
  AddShadow(name, Child(device, "shadow"), metrics);
  for (const Field& row : kDeviceGauges) {
    metrics->Gauge(row.metric, row.help, {{"device", name}}, Number(offload, row.field));
  }
  for (const Field& row : kDeviceCounters) {
    metrics->Counter(row.metric, row.help, {{"device", name}}, Number(offload, row.field));
  }
  const Json& guard = Child(device, "guard");
  metrics->Counter("cygnet_guard_frames_checked_total", "Frames that the seal guard checked.",
                   {{"device", name}}, Number(guard, "frames_checked"));
  for (const char* cause : {"clear_stopped", "unsealed_stopped", "engine_unsealed"}) {
    metrics->Counter("cygnet_guard_stopped_total", "Frames that the seal guard stopped, by cause.",
                     {{"device", name}, {"cause", cause}}, Number(guard, cause));
  }
}

void AddEngine(const Json& engine, Samples* metrics) {
  if (Number(engine, "order") == 0) return;  // not in use
  const std::string name = Text(engine, "name");
  for (const Field& row : kEngineCounters) {
    metrics->Counter(row.metric, row.help, {{"engine", name}}, Number(engine, row.field));
  }
  for (const Field& row : kEngineGauges) {
    metrics->Gauge(row.metric, row.help, {{"engine", name}}, Number(engine, row.field));
  }
}

void AddLedger(const std::vector<Json>& items, Samples* metrics) {
  std::map<std::pair<std::string, std::string>, uint64_t> holders;
  for (const Json& item : items) {
    const std::string kind = Text(item, "kind");
    if (kind == "key" && Number(item, "until") == 0) {
      ++holders[{Text(item, "holder"), Text(item, "holder_kind")}];
    }
    if (kind != "summary") continue;
    metrics->Counter("cygnet_ledger_dropped_total", "Ledger entries dropped from memory.", {},
                     Number(item, "dropped"));
    metrics->Gauge("cygnet_ledger_write_failed", "1: the ledger file is no longer written.", {},
                   Text(item, "write_error").empty() ? 0 : 1);
  }
  for (const auto& [holder, count] : holders) {
    metrics->Gauge("cygnet_key_holders", "Halves of SAs whose keys a device or engine holds.",
                   {{"holder", holder.first}, {"kind", holder.second}}, count);
  }
}

// Not in a cluster: none of these.
void AddCluster(const Json& cluster, Samples* metrics) {
  if (cluster.empty()) return;
  metrics->Gauge("cygnet_cluster_store_away", "1: the store of the cluster gives no numbers.", {},
                 cluster.value("store_away", false) ? 1 : 0);
  metrics->Gauge("cygnet_cluster_lease", "1: this node has its lease in the store.", {},
                 cluster.value("lease", false) ? 1 : 0);
  metrics->Gauge("cygnet_cluster_era", "Rises when the store lost what it had confirmed.", {},
                 Number(cluster, "era"));
  for (const Json& peer : Child(cluster, "peers")) {
    metrics->Gauge("cygnet_cluster_peer_heard", "1: heartbeats of the node arrive.",
                   {{"node", Text(peer, "name")}}, peer.value("heard", false) ? 1 : 0);
  }
  for (const Json& group : Child(cluster, "groups")) {
    const std::string name = Text(group, "name");
    const std::string state = Text(group, "state");
    metrics->Gauge("cygnet_cluster_group_active", "1: this node uses the SAs of the group.",
                   {{"group", name}}, state == "active" || state == "waking" ? 1 : 0);
    metrics->Gauge("cygnet_cluster_group_epoch", "Changes of the owner of the group.",
                   {{"group", name}}, Number(group, "epoch"));
    metrics->Gauge("cygnet_cluster_group_sas", "SAs of the group on this node.", {{"group", name}},
                   Number(group, "sas"));
    metrics->Counter("cygnet_cluster_group_gained_total", "How often this node got the group.",
                     {{"group", name}}, Number(group, "gained"));
    metrics->Counter("cygnet_cluster_group_lost_total", "How often this node lost the group.",
                     {{"group", name}}, Number(group, "lost"));
  }
}

void AddStat(const Json& stat, Samples* metrics) {
  metrics->Gauge("cygnet_uptime_seconds", "Seconds since the daemon started.", {},
                 Number(stat, "uptime_seconds"));
  metrics->Counter("cygnet_acquires_refused_total",
                   "Packets whose ACQUIRE was refused at the limit of larval states.", {},
                   Number(stat, "acquires_refused"));
  metrics->Gauge("cygnet_workers", "Threads that process packets.", {}, Number(stat, "workers"));
  for (const auto& [reason, count] : Child(stat, "drops").items()) {
    metrics->Counter("cygnet_drops_total", "Packets dropped, by reason.", {{"reason", reason}},
                     count.get<uint64_t>());
  }
  for (const auto& [name, count] : Child(stat, "xfrm").items()) {
    metrics->Counter("cygnet_xfrm_stat_total", "The counters of /proc/net/xfrm_stat.",
                     {{"name", name}}, count.get<uint64_t>());
  }
}

// XfrmInNoStates: node_xfrm_in_no_states_packets_total.
std::string NodeExporterName(std::string_view name) {
  std::string text = "node";
  for (const char c : name) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper) text += '_';
    text += upper ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return text + "_packets_total";
}

void AddNodeExporterNames(const Json& stat, Samples* metrics) {
  for (const auto& [name, count] : Child(stat, "xfrm").items()) {
    metrics->Counter(NodeExporterName(name), "As node_exporter names " + name + ".", {},
                     count.get<uint64_t>());
  }
}

}  // namespace

std::string MetricsText(const Readings& readings, const MetricsScope& scope) {
  Samples metrics;
  AddSaMetrics(readings.of(Reading::kSas), scope.per_sa, &metrics);
  for (const Json& device : readings.of(Reading::kDevices)) AddDevice(device, &metrics);
  for (const Json& engine : readings.of(Reading::kEngines)) AddEngine(engine, &metrics);
  AddLedger(readings.of(Reading::kKeysHeld), &metrics);
  AddStat(readings.one(Reading::kStat), &metrics);
  if (scope.node_exporter_names) AddNodeExporterNames(readings.one(Reading::kStat), &metrics);
  AddCluster(readings.one(Reading::kCluster), &metrics);
  return metrics.Text();
}

Status PrintMetrics(OperatorClient* client, FILE* out) {
  Readings readings;
  for (const Reading reading : {Reading::kSas, Reading::kDevices, Reading::kEngines,
                                Reading::kKeysHeld, Reading::kStat, Reading::kCluster}) {
    CYGNET_RETURN_IF_ERROR(client->ForEachItem(
        RequestFor(reading), [&](const Json& item) { readings.of(reading).push_back(item); }));
  }
  fmt::print(out, "{}", MetricsText(readings));
  return {};
}

}  // namespace cygnet
