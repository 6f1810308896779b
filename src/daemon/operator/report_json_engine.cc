// Engines, and the explanation of an MTU.
#include "daemon/operator/report_words.h"

namespace cygnet {
namespace {

std::string_view VerdictName(MtuVerdict verdict) {
  switch (verdict) {
    case MtuVerdict::kProtected:
      return "protected";
    case MtuVerdict::kClear:
      return "clear";
    case MtuVerdict::kBlocked:
      return "blocked";
    case MtuVerdict::kNoSa:
      return "no-sa";
    case MtuVerdict::kNotOurs:
      return "not-ours";
    case MtuVerdict::kDepends:
      return "depends";
  }
  return "unknown";
}

Json MtuSaJson(const MtuSaReport& sa) {
  Json json = {{"src", ToString(sa.saddr, sa.family)},
               {"dst", ToString(sa.daddr, sa.family)},
               {"spi", Hex32(sa.spi.value)},
               {"mode", ModeName(sa.mode)},
               {"reqid", sa.reqid.value}};
  if (sa.path_mtu != 0) json["path_mtu"] = sa.path_mtu;
  json["outer_mtu"] = sa.outer_mtu;
  json["overhead"] = Json::array();
  for (const OverheadPart& part : sa.overhead) {
    json["overhead"].push_back({{"name", part.name}, {"bytes", part.bytes}});
  }
  json["inner_mtu"] = sa.inner_mtu;
  return json;
}

}  // namespace

Json ToJson(const EngineReport& report) {
  return {{"name", report.name},
          {"help", report.help},
          {"kind", report.kind},
          {"version", report.version},
          {"module", report.module},
          {"denied", report.denied},
          {"failure", report.failure},
          {"priority", report.priority},
          {"order", report.order},
          {"algorithms", report.algorithms},
          {"sa_halves", report.sa_halves},
          {"jobs", report.stats.jobs},
          {"refused", report.stats.refused},
          {"not_done", report.stats.not_done},
          {"sessions", report.stats.sessions},
          {"session_limit", report.stats.session_limit},
          {"in_flight", report.stats.in_flight}};
}

Json ToJson(const MtuReport& report) {
  const FlowKey& flow = report.flow;
  Json json = {{"src", ToString(flow.saddr, flow.family)},
               {"dst", ToString(flow.daddr, flow.family)},
               {"family", flow.family == IpFamily::kV6 ? 6 : 4},
               {"proto", flow.proto},
               {"dport", flow.dport},
               {"verdict", VerdictName(report.verdict)},
               {"explanation", report.explanation},
               {"device", report.device},
               {"wire_mtu", report.wire_mtu}};
  if (!report.tunnel.empty()) {
    json["tunnel"] = report.tunnel;
    json["tunnel_mtu"] = report.tunnel_mtu;
  }
  AddHostLimit(report, &json);
  if (report.policy) json["policy"] = PolicyBriefJson(*report.policy);
  json["sas"] = Json::array();
  for (const MtuSaReport& sa : report.sas) json["sas"].push_back(MtuSaJson(sa));
  json["inner_mtu"] = report.inner_mtu;
  json["tcp_mss"] = report.tcp_mss;
  return json;
}

}  // namespace cygnet
