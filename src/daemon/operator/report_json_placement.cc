// Placement: where SAs run and ran, and who held their keys.
#include <algorithm>

#include "daemon/operator/report_words.h"

namespace cygnet {
namespace {

// The history entries of each half that fit into a datagram.
constexpr std::size_t kHistory = 16;

Json HalfJson(const char* kind, const SaHalf& half) {
  return {{"kind", kind},
          {"src", ToString(half.saddr, half.family)},
          {"dst", ToString(half.daddr, half.family)},
          {"spi", Hex32(half.spi.value)},
          {"proto", ProtoName(half.proto)},
          {"reqid", half.reqid.value},
          {"direction", Name(half.half)}};
}

void AddDecision(const PlacementEntry& entry, Json* json) {
  (*json)["requested"] = entry.requested;
  (*json)["requested_by"] = entry.requested_by;
  (*json)["effective"] = entry.effective;
  (*json)["where"] = entry.where;
  (*json)["reason"] = entry.reason;
  (*json)["explanation"] = entry.explanation;
  if (!entry.really.empty()) (*json)["really"] = entry.really;
}

Json HistoryJson(const std::vector<PlacementEntry>& history) {
  Json json = Json::array();
  const std::size_t first = history.size() - std::min(history.size(), kHistory);
  for (std::size_t i = first; i < history.size(); ++i) {
    Json row = {{"time", history[i].time_ms / 1000}};
    AddDecision(history[i], &row);
    json.push_back(std::move(row));
  }
  return json;
}

}  // namespace

Json PlacementJson(const PlacementReport& placement) {
  Json json = {{"direction", Name(placement.half)},
               {"requested", placement.requested},
               {"requested_by", placement.requested_by},
               {"pinned", placement.pinned},
               {"effective", placement.effective},
               {"device", placement.device},
               {"simulated", placement.simulated},
               {"engine", placement.engine},
               {"reason", placement.reason},
               {"explanation", placement.explanation},
               {"since", placement.since},
               {"history", HistoryJson(placement.history)}};
  if (!placement.really.empty()) json["really"] = placement.really;
  if (placement.verified_one_of != 0) json["verified_one_of"] = placement.verified_one_of;
  if (!placement.not_verified.empty()) json["not_verified"] = placement.not_verified;
  if (placement.counters_age.has_value()) json["counters_age"] = *placement.counters_age;
  return json;
}

Json BriefPlacementJson(const PlacementReport& placement) {
  return {{"direction", Name(placement.half)}, {"effective", placement.effective},
          {"device", placement.device},        {"engine", placement.engine},
          {"reason", placement.reason},        {"since", placement.since}};
}

Json ToJson(const PlacementEntry& entry) {
  Json json = HalfJson("placement", entry.half);
  json["time"] = entry.time_ms / 1000;
  json["time_ms"] = entry.time_ms;
  AddDecision(entry, &json);
  json["simulated"] = entry.simulated;
  return json;
}

Json ToJson(const KeyEntry& entry) {
  Json json = HalfJson("key", entry.half);
  json["holder"] = entry.holder;
  json["holder_kind"] = entry.holder_kind;
  json["identity"] = entry.identity;
  json["from"] = entry.from_ms / 1000;
  json["from_ms"] = entry.from_ms;
  json["until"] = entry.until_ms / 1000;
  json["until_ms"] = entry.until_ms;
  json["erased"] = entry.erased;
  json["note"] = entry.note;
  return json;
}

Json ToJson(const LedgerReport& report) {
  return {{"kind", "summary"},           {"since", report.since_ms / 1000},
          {"since_ms", report.since_ms}, {"dropped", report.dropped},
          {"file", report.file},         {"write_error", report.write_error}};
}

Json ToJson(const OperatorOrder& order) {
  Json json = {{"kind", order.kind}};
  const PlacementCommand& words = order.placement;
  if (!order.name.empty()) json["name"] = order.name;
  if (words.spi) json["spi"] = Hex32(words.spi->value);
  if (words.daddr) json["dst"] = ToString(*words.daddr, words.family);
  if (words.reqid) json["reqid"] = words.reqid->value;
  if (order.kind == "placement") {
    json["mode"] = Name(words.mode);
    json["device"] = words.device.value_or("");
    json["pinned"] = words.pinned;
    json["ends_with_sa"] = words.spi.has_value();
  }
  json["since"] = order.mark.since;
  if (order.mark.uid != ~uint32_t{0}) json["uid"] = order.mark.uid;
  json["pid"] = order.mark.pid;
  return json;
}

Json ToJson(const ExplainReport& report) {
  Json rows = Json::array();
  for (const ExplainRow& row : report.rows) {
    rows.push_back({{"direction", row.direction},
                    {"requirement", row.requirement},
                    {"ok", row.ok},
                    {"reason", row.reason},
                    {"explanation", row.explanation}});
  }
  Json verdicts = Json::array();
  for (const ExplainReport::Verdict& verdict : report.verdicts) {
    verdicts.push_back({{"direction", verdict.direction},
                        {"offloaded", verdict.offloaded},
                        {"effective", verdict.effective},
                        {"where", verdict.where},
                        {"reason", verdict.reason},
                        {"explanation", verdict.explanation}});
  }
  return {{"device", report.device}, {"rows", std::move(rows)}, {"verdicts", std::move(verdicts)}};
}

}  // namespace cygnet
