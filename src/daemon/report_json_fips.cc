// FIPS mode, and what a command has moved.
#include "daemon/report_json_parts.h"

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

}  // namespace cygnet
