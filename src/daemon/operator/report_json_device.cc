// Devices and counters.
#include <fmt/format.h>

#include <string_view>

#include "daemon/operator/report_words.h"

namespace cygnet {
namespace {

Json CapabilitiesJson(const OffloadCaps& caps) {
  Json algorithms = Json::array();
  Json key_bits = Json::array();
  Json icv_bits = Json::array();
  for (const std::string_view name : caps.algorithms) algorithms.push_back(name);
  for (const uint16_t bytes : caps.key_bytes) key_bits.push_back(bytes * 8);
  for (const uint8_t bytes : caps.icv_bytes) icv_bits.push_back(bytes * 8);
  return {{"crypto_offload", caps.crypto_offload},
          {"packet_offload", caps.packet_offload},
          {"inbound", caps.inbound},
          {"outbound", caps.outbound},
          {"transport", caps.transport},
          {"tunnel", caps.tunnel},
          {"beet", caps.beet},
          {"ipv4", caps.ipv4},
          {"ipv6", caps.ipv6},
          {"esn", caps.esn},
          {"udp_encap", caps.udp_encap},
          {"algorithms", std::move(algorithms)},
          {"key_bits", std::move(key_bits)},
          {"icv_bits", std::move(icv_bits)},
          {"max_replay_window", caps.max_replay_window}};
}

Json OffloadJson(const DeviceReport& report) {
  const OffloadStats& stats = report.offload;
  return {{"capable", report.offload_capable},
          {"up", report.offload_up},
          {"mode", report.offload_mode},
          {"slots_used", stats.slots_used},
          {"slots_limit", stats.slots_limit},
          {"slots_high_water", stats.slots_high_water},
          {"outbound_used", stats.outbound_used},
          {"inbound_used", stats.inbound_used},
          {"direction_limit", stats.direction_limit},
          {"addresses_used", stats.addresses_used},
          {"addresses_limit", stats.addresses_limit},
          {"addresses_high_water", stats.addresses_high_water},
          {"rekey_reserve", report.rekey_reserve},
          {"sealed", stats.sealed},
          {"opened", stats.opened},
          {"auth_failed", stats.auth_failed},
          {"passed_unknown", stats.passed_unknown},
          {"refusals", stats.refusals},
          {"dropped_stale", stats.dropped_stale},
          {"returned", stats.returned},
          {"resets", stats.resets},
          {"capabilities", report.offload_capable ? CapabilitiesJson(report.caps) : Json(nullptr)}};
}

Json SelfTestJson(const DeviceSelfTest& test) {
  Json withdrawn = Json::array();
  for (const WithdrawnCapability& capability : test.withdrawn) {
    withdrawn.push_back({{"capability", capability.name}, {"text", capability.text}});
  }
  return {{"ran", test.ran},           {"not_tested", test.not_tested},
          {"packets", test.packets},   {"took_us", test.took_us},
          {"evidence", test.evidence}, {"withdrawn", std::move(withdrawn)}};
}

Json ShadowJson(const DeviceReport& report) {
  Json json = {{"verify", report.verify}, {"caught", report.caught}, {"evidence", report.evidence}};
  for (const Half half : kHalves) {
    json[std::string(Name(half))] = {{"verified", report.shadow.verified[IndexOf(half)]},
                                     {"wrong", report.shadow.wrong[IndexOf(half)]},
                                     {"unverified", report.shadow.unverified[IndexOf(half)]}};
  }
  return json;
}

Json PortStatsJson(const PortStats& stats) {
  return {{"rx_packets", stats.rx_packets}, {"rx_bytes", stats.rx_bytes},
          {"tx_packets", stats.tx_packets}, {"tx_bytes", stats.tx_bytes},
          {"rx_dropped", stats.rx_dropped}, {"tx_copied", stats.tx_copied}};
}

Json KeyLogJson(const std::vector<KeyLogEntry>& log) {
  Json json = Json::array();
  for (const KeyLogEntry& entry : log) {
    json.push_back({{"time", entry.time},
                    {"dst", ToString(entry.id.daddr, entry.id.family)},
                    {"spi", Hex32(entry.id.spi.value)},
                    {"direction", Name(entry.half)},
                    {"taken", entry.taken},
                    {"erased", entry.erased}});
  }
  return json;
}

Json LinesJson(std::string_view text) {
  Json json = Json::array();
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    json.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return json;
}

Json InsideJson(const InsideReport& inside) {
  return {{"name", inside.name},
          {"state", inside.state},
          {"explanation", inside.explanation},
          {"rx_packets", inside.in_packets},
          {"rx_bytes", inside.in_bytes},
          {"tx_packets", inside.out_packets},
          {"tx_bytes", inside.out_bytes},
          {"rx_dropped", inside.dropped},
          {"misses", inside.misses},
          {"hosts", inside.hosts},
          {"prefixes", inside.prefixes},
          {"left_to_host", inside.left_to_host}};
}

}  // namespace

Json ToJson(const DeviceReport& report) {
  const MacAddress& m = report.mac;
  Json held = Json::array();
  for (const SaId& id : report.held) {
    held.push_back({{"dst", ToString(id.daddr, id.family)}, {"spi", Hex32(id.spi.value)}});
  }
  Json json = {{"name", report.name},
               {"wire", report.wire},
               {"driver", report.driver},
               {"ifindex", report.ifindex},
               {"mtu", report.mtu},
               {"mac", fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2],
                                   m[3], m[4], m[5])},
               {"identity",
                {{"model", report.identity.model},
                 {"serial", report.identity.serial},
                 {"firmware", report.identity.firmware},
                 {"simulated", report.identity.simulated}}},
               {"state", report.state},
               {"failure", report.failure},
               {"link",
                {{"state", report.link},
                 {"explanation", report.link_explanation},
                 {"changes", report.wire_stats.link_changes}}},
               {"host_side",
                {{"state", report.host_side.state}, {"explanation", report.host_side.explanation}}},
               {"trusted", report.trusted},
               {"allow_modes", report.allow_modes},
               {"disabled", report.disabled},
               {"denied", report.denied},
               {"denied_explanation", report.denied_explanation},
               {"loss", report.loss},
               {"offload", OffloadJson(report)},
               {"guard",
                {{"frames_checked", report.guard.frames_checked},
                 {"clear_stopped", report.guard.clear_stopped},
                 {"unsealed_stopped", report.guard.unsealed_stopped},
                 {"engine_unsealed", report.guard.engine_unsealed},
                 {"changed_stopped", report.guard.changed_stopped}}},
               {"shadow", ShadowJson(report)},
               {"fence",
                {{"state", report.fence.state},
                 {"owned", report.fence.owned},
                 {"by_tc", report.fence.by_tc},
                 {"restored", report.fence.restored},
                 {"explanation", report.fence.explanation}}},
               {"held", std::move(held)},
               {"held_known_by", report.held_by_ledger ? "ledger" : "device"},
               {"key_log", KeyLogJson(report.key_log)},
               {"host", PortStatsJson(report.host)},
               {"wire_stats", PortStatsJson(report.wire_stats)}};
  if (report.offload_capable) json["self_test"] = SelfTestJson(report.self_test);
  for (const InsideReport& inside : report.inside) json["inside"].push_back(InsideJson(inside));
  if (!report.driver_view.empty()) json["driver_view"] = LinesJson(report.driver_view);
  for (const DeviceStatistic& statistic : report.statistics) {
    json["statistics"][statistic.name] = statistic.value;
  }
  return json;
}

Json ToJson(const DeviceStatistic& statistic) {
  return {{"name", statistic.name}, {"value", statistic.value}};
}

Json ToJson(const StatReport& report) {
  return {{"xfrm", CountsJson(report.xfrm)},
          {"drops", CountsJson(report.drops)},
          {"acquires_refused", report.acquires_refused},
          {"uptime_seconds", report.uptime_seconds},
          {"workers", report.workers},
          {"engine", report.engine},
          {"version", report.version}};
}

}  // namespace cygnet
