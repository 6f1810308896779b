#include "conformance/report.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cygnet/types.h"

namespace cygnet::conformance {
namespace {

std::string Rate(double value) {
  std::string digits = std::to_string(static_cast<uint64_t>(value));
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, " ");
  return digits;
}

std::string Line(const Result& result) {
  constexpr std::size_t kWidth = 26;
  const Outcome& outcome = result.outcome;
  std::string line = outcome.verdict == Verdict::kKept     ? "  kept    "
                     : outcome.verdict == Verdict::kBroken ? "  BROKEN  "
                                                           : "  n/a     ";
  line += result.check->name;
  line.append(line.size() < 10 + kWidth ? 10 + kWidth - line.size() : 1, ' ');
  if (outcome.verdict == Verdict::kNotApplicable) return line + outcome.detail + "\n";
  line += result.check->promise;
  if (!outcome.detail.empty()) line += "\n            → " + outcome.detail;
  return line + "\n";
}

}  // namespace

uint32_t Count(const Report& report, Verdict verdict) {
  return static_cast<uint32_t>(
      std::count_if(report.results.begin(), report.results.end(),
                    [verdict](const Result& r) { return r.outcome.verdict == verdict; }));
}

bool Conforms(const Report& report) {
  return Count(report, Verdict::kBroken) == 0 && Count(report, Verdict::kKept) > 0;
}

std::string TextOf(const Report& report) {
  std::string text = report.kind + " " + report.name + " " + report.version + " by " +
                     report.vendor + "\nfile " + report.path + "\nSHA-256 " + report.sha256 +
                     "\ninterface version " + std::to_string(CYGNET_ABI) + ", tested by Cygnet " +
                     CYGNET_VERSION + "\n\n";
  for (const Result& result : report.results) text += Line(result);
  if (!report.measurements.empty()) text += "\n";
  for (const Measurement& m : report.measurements) {
    text += "  " + m.name + ": " + Rate(m.value) + " " + m.unit + "\n";
  }
  const auto count = [&report](Verdict v) { return std::to_string(Count(report, v)); };
  return text + "\n" + count(Verdict::kKept) + " promises kept, " + count(Verdict::kBroken) +
         " broken, " + count(Verdict::kNotApplicable) +
         " not applicable: " + (Conforms(report) ? "it conforms\n" : "it does NOT conform\n");
}

std::string JsonOf(const Report& report) {
  nlohmann::ordered_json json = {{"kind", report.kind},
                                 {"file", report.path},
                                 {"sha256", report.sha256},
                                 {"name", report.name},
                                 {"version", report.version},
                                 {"vendor", report.vendor},
                                 {"interface", CYGNET_ABI},
                                 {"cygnet", CYGNET_VERSION},
                                 {"conforms", Conforms(report)},
                                 {"kept", Count(report, Verdict::kKept)},
                                 {"broken", Count(report, Verdict::kBroken)},
                                 {"not-applicable", Count(report, Verdict::kNotApplicable)}};
  json["checks"] = nlohmann::ordered_json::array();
  for (const Result& result : report.results) {
    nlohmann::ordered_json row = {{"name", result.check->name},
                                  {"promise", result.check->promise},
                                  {"verdict", Name(result.outcome.verdict)}};
    if (!result.outcome.detail.empty()) row["detail"] = result.outcome.detail;
    json["checks"].push_back(row);
  }
  json["measurements"] = nlohmann::ordered_json::array();
  for (const Measurement& m : report.measurements) {
    json["measurements"].push_back({{"name", m.name}, {"unit", m.unit}, {"value", m.value}});
  }
  using Handler = nlohmann::ordered_json::error_handler_t;
  return json.dump(2, ' ', false, Handler::replace) + "\n";
}

}  // namespace cygnet::conformance
