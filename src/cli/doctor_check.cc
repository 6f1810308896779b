#include "cli/doctor_check.h"

#include <algorithm>
#include <utility>

#include "client/json_fields.h"

namespace cygnet {
namespace {

// In the order of the output. cygnet(8) has the same names.
constexpr Check kChecks[] = {
    {"version", "the daemon and this command are of the same version", Level::kWarning,
     CheckVersions},
    {"kernel-xfrm", "", Level::kWarning},
    {"fence", "", Level::kFault},
    {"link", "", Level::kFault},
    {"device", "no device has failed or claims more than it does", Level::kWarning, CheckDevices},
    {"offload", "every SA runs where it was requested", Level::kWarning, CheckOffload},
    {"slots", "no SA table of a device is nearly full", Level::kWarning, CheckSlots},
    {"engine", "no engine has failed", Level::kWarning, CheckEngines},
    {"guard", "the seal guard has stopped no packet", Level::kFault, CheckGuard},
    {"fips", "FIPS mode is as the kernel's, and denies nothing", Level::kWarning, CheckFips},
    {"policies", "every policy that protects has one for the answers", Level::kWarning,
     CheckPolicyPairs},
    {"states", "no packet of a policy is lost for want of an SA", Level::kFault, CheckStates},
    {"rekeying", "no SA is left without a successor", Level::kWarning, CheckRekeying},
    {"numbers", "no SA is close to its last sequence number or its limits", Level::kWarning,
     CheckNumbers},
    {"replay", "no packet came later than a replay window allows", Level::kNote, CheckReplay},
    {"drops", "no packet was dropped", Level::kNote, CheckDrops},
    {"tunnel", "every packet through a tunnel interface was protected", Level::kWarning,
     CheckTunnels},
    {"inside", "no inside interface leaves its packets to the host", Level::kWarning, CheckInside},
    {"segment-size", "no policy forwards through a tunnel", Level::kNote, CheckSegmentSize},
    {"forwarding", "the host forwards what policies are for", Level::kWarning, CheckForwarding},
    {"reverse-path", "no strict reverse path filter", Level::kNote, CheckReversePath},
    {"routes", "", Level::kWarning},
    {"firewall", "", Level::kWarning},
    {"clock", "synchronized", Level::kWarning, CheckClock},
    {"huge-pages", "available, or not needed for so few SAs", Level::kNote, CheckHugePages},
    {"key-memory", "", Level::kWarning},
    {"restart-file", "", Level::kFault},
    {"restart-file-written", "", Level::kFault},
    {"restart-file-kept", "", Level::kWarning},
    {"ledger-written", "", Level::kFault},
    {"ledger-kept", "", Level::kWarning},
    {"ledger-whole", "", Level::kFault},
    {"ledger-signed", "", Level::kWarning},
    {"number-store", "", Level::kFault},
    {"number-store-kept", "", Level::kFault},
    {"audit", "", Level::kWarning},
    {"cluster-store", "", Level::kFault},
    {"cluster-lease", "", Level::kFault},
    {"cluster-peers", "", Level::kWarning},
    {"cluster-era", "", Level::kFault},
};

}  // namespace

std::string_view Name(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kNote:
      return "note";
    case Level::kWarning:
      return "warning";
    case Level::kFault:
      return "fault";
    case Level::kUnknown:
      return "unknown";
  }
  return "unknown";
}

std::span<const Check> AllChecks() { return kChecks; }

std::vector<Finding> LookAtAll(const DoctorSubject& subject) {
  std::vector<Finding> all;
  for (const Check& check : kChecks) {
    if (check.look == nullptr) continue;
    std::vector<Finding> found;
    try {
      found = check.look(subject);
    } catch (const Json::exception& error) {
      // Another version of the daemon, whose fields have other types.
      found.push_back({.level = Level::kUnknown,
                       .text = std::string("cannot read the daemon's report: ") + error.what(),
                       .advice = "use cygnetd and cygnet of the same version"});
    }
    if (found.empty()) found.push_back({.text = std::string(check.well)});
    for (Finding& finding : found) {
      finding.check = check.name;
      all.push_back(std::move(finding));
    }
  }
  return all;
}

Finding FindingOf(const Json& row) {
  Finding finding{
      .check = Text(row, "check"), .text = Text(row, "text"), .advice = Text(row, "advice")};
  if (row.value("ok", false)) return finding;
  const auto known = std::find_if(std::begin(kChecks), std::end(kChecks),
                                  [&](const Check& check) { return check.name == finding.check; });
  finding.level = known != std::end(kChecks) ? known->bad : Level::kWarning;
  return finding;
}

Json RowOf(const Finding& finding) {
  return {{"check", finding.check},
          {"ok", finding.level == Level::kOk || finding.level == Level::kNote},
          {"level", Name(finding.level)},
          {"text", finding.text},
          {"advice", finding.advice}};
}

}  // namespace cygnet
