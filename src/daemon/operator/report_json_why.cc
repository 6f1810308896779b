// What would happen to a packet.
#include "daemon/operator/report_words.h"

namespace cygnet {
namespace {

std::string_view VerdictName(WhyVerdict verdict) {
  switch (verdict) {
    case WhyVerdict::kProtected:
      return "protected";
    case WhyVerdict::kClear:
      return "clear";
    case WhyVerdict::kWaits:
      return "waits";
    case WhyVerdict::kDropped:
      return "dropped";
    case WhyVerdict::kNotOurs:
      return "not-ours";
    case WhyVerdict::kHostDrops:
      return "host-drops";
    case WhyVerdict::kDepends:
      return "depends";
  }
  return "unknown";
}

std::string_view AnswerName(WhyAnswers::Verdict verdict) {
  switch (verdict) {
    case WhyAnswers::Verdict::kUnknown:
      return "unknown";
    case WhyAnswers::Verdict::kAccepted:
      return "accepted";
    case WhyAnswers::Verdict::kDropped:
      return "dropped";
    case WhyAnswers::Verdict::kDepends:
      return "depends";
  }
  return "unknown";
}

std::string_view DropName(DropReason reason) {
  return reason == DropReason::kNone ? std::string_view() : Describe(reason).name;
}

Json SaJson(const WhySa& sa) {
  return {{"src", ToString(sa.saddr, sa.id.family)},
          {"dst", ToString(sa.id.daddr, sa.id.family)},
          {"spi", Hex32(sa.id.spi.value)},
          {"reqid", sa.reqid.value},
          {"mode", ModeName(sa.mode)},
          {"effective", sa.effective},
          {"where", sa.where},
          {"reason", sa.reason}};
}

}  // namespace

// What only some answers have.
void AddHostLimit(const MtuReport& report, Json* json) {
  if (report.host_mtu != 0) {
    (*json)["host_mtu"] = report.host_mtu;
    (*json)["host_mtu_of"] = report.host_mtu_of;
  }
  if (!report.open.empty()) (*json)["open"] = report.open;
}

Json PolicyBriefJson(const PolicySpec& policy) {
  return {{"selector", ToString(policy.selector)},
          {"priority", policy.priority},
          {"index", policy.index}};
}

Json ToJson(const WhyReport& report) {
  const MtuReport& mtu = report.mtu;
  const FlowKey& flow = mtu.flow;
  Json json = {{"src", ToString(flow.saddr, flow.family)},
               {"dst", ToString(flow.daddr, flow.family)},
               {"family", flow.family == IpFamily::kV6 ? 6 : 4},
               {"proto", flow.proto},
               {"sport", flow.sport},
               {"dport", flow.dport},
               {"verdict", VerdictName(report.verdict)},
               {"drop", DropName(report.drop)},
               {"device", mtu.device}};
  if (!mtu.tunnel.empty()) json["tunnel"] = mtu.tunnel;
  if (!report.inside.empty()) json["inside"] = report.inside;
  AddHostLimit(mtu, &json);
  if (mtu.policy) json["policy"] = PolicyBriefJson(*mtu.policy);
  json["sas"] = Json::array();
  for (const WhySa& sa : report.sas) json["sas"].push_back(SaJson(sa));
  json["inner_mtu"] = mtu.inner_mtu;
  json["tcp_mss"] = mtu.tcp_mss;
  json["answers"] = {{"verdict", AnswerName(report.answers.verdict)},
                     {"drop", DropName(report.answers.drop)}};
  if (report.answers.policy) {
    json["answers"]["policy"] = PolicyBriefJson(*report.answers.policy);
  }
  json["steps"] = Json::array();
  for (const WhyStep& step : report.steps) {
    json["steps"].push_back({{"step", step.step}, {"ok", step.ok}, {"text", step.text}});
  }
  return json;
}

}  // namespace cygnet
