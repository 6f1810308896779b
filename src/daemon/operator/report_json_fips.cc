// FIPS mode, moves, reloads and the doctor.
#include "daemon/operator/report_words.h"

namespace cygnet {

Json ToJson(const FipsReport& report) {
  Json json = {{"mode", report.mode},
               {"enforced", report.enforced},
               {"list_file", report.list_file},
               {"rows", Json::array()}};
  for (const FipsRow& row : report.rows) {
    json["rows"].push_back({{"kind", row.kind},
                            {"name", row.name},
                            {"inside", row.inside},
                            {"identity", row.identity},
                            {"certificate", row.certificate},
                            {"expires", row.expires},
                            {"reason", row.reason},
                            {"explanation", row.explanation}});
  }
  return json;
}

Json ToJson(const MoveReport& report) {
  return {{"moved", report.moved},
          {"stayed", report.stayed},
          {"blocked", report.blocked},
          {"took_us", report.took_us}};
}

Json ToJson(const ReloadReport& report) {
  Json json = {{"applied", report.applied}, {"needs_restart", report.needs_restart}};
  json.update(ToJson(report.moved));
  return json;
}

Json ToJson(const DoctorRow& row) {
  return {{"check", row.check}, {"ok", row.ok}, {"text", row.text}, {"advice", row.advice}};
}

}  // namespace cygnet
