// What the doctor looks at, of a host that is well. For tests only.
#pragma once

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "cli/doctor_check.h"

namespace cygnet::test {

inline constexpr uint64_t kNow = 1'700'000'000;

inline Json Parse(const std::string& text) { return Json::parse(text); }

// An SA in both directions, valid, in software on request.
inline Json SaOf(uint32_t spi, const std::string& changes = "{}") {
  Json sa = Parse(R"({"src":"192.0.2.1","dst":"192.0.2.2","proto":"esp","reqid":1,"esn":false,
    "replay_window":64,"state":"valid","limits":{},"stats":{"replay_window":0},
    "usage":{"bytes":0,"packets":0,"add_time":1699999000,"use_time":0},"replay":{"oseq":0,"seq":0},
    "placements":[{"direction":"out","requested":"no","effective":"software",
      "reason":"not-requested","explanation":"no offload was requested"}]})");
  sa["spi"] = "0x0000" + std::to_string(spi);
  sa.merge_patch(Parse(changes));
  return sa;
}

inline Json Place(const std::string& requested, const std::string& effective,
                  const std::string& reason) {
  Json place = Parse(R"({"direction":"out","explanation":"explained"})");
  place["requested"] = requested;
  place["effective"] = effective;
  place["reason"] = reason;
  Json changes = Json::object();
  changes["placements"] = Json::array({place});
  return changes;
}

inline Json PolicyOf(const std::string& dir, const std::string& src, const std::string& dst,
                     const std::string& mode = "tunnel") {
  Json policy = Parse(R"({"action":"allow","templates":[{"level":"required"}]})");
  policy["selector"] = "src " + src + " dst " + dst;
  policy["dir"] = dir;
  policy["templates"][0]["mode"] = mode;
  return policy;
}

inline DoctorSubject WellSubject() {
  DoctorSubject subject;
  subject.now = kNow;
  subject.stat = {{"version", CYGNET_VERSION}, {"drops", Json::object()}};
  subject.fips = {{"mode", "auto"}, {"enforced", false}, {"rows", Json::array()}};
  subject.host = {.clock_synchronized = true,
                  .forwards_v4 = true,
                  .forwards_v6 = true,
                  .huge_pages = "madvise",
                  .kernel_fips = false};
  return subject;
}

// The only finding.
inline Finding One(const std::vector<Finding>& findings) {
  EXPECT_THAT(findings, testing::SizeIs(1));
  return findings.empty() ? Finding{} : findings[0];
}

}  // namespace cygnet::test
