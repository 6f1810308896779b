// The machine: versions, clock, memory, FIPS mode.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/doctor_check.h"
#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

bool HasLimitInSeconds(const Json& sa) {
  const Json& limits = Child(sa, "limits");
  return std::any_of(limits.items().begin(), limits.items().end(), [](const auto& limit) {
    return limit.key().find("seconds") != std::string::npos;
  });
}

}  // namespace

std::vector<Finding> CheckVersions(const DoctorSubject& subject) {
  const std::string version = Text(subject.stat, "version");
  if (version == CYGNET_VERSION) return {};
  return {{.level = Level::kWarning,
           .text = fmt::format("cygnetd is {}, this command is {}",
                               version.empty() ? "of an older version" : version, CYGNET_VERSION),
           .advice = "restart cygnetd after an upgrade; it keeps its SAs (systemctl restart)"}};
}

// Limits in seconds, certificates and the ledger's times depend on it.
std::vector<Finding> CheckClock(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  constexpr uint64_t kTolerance = 2;
  uint64_t ahead = 0;
  for (const Json& sa : subject.sas) {
    const uint64_t added = Number(Child(sa, "usage"), "add_time");
    if (added > subject.now) ahead = std::max(ahead, added - subject.now);
  }
  if (ahead > kTolerance) {
    rows.push_back({.level = Level::kWarning,
                    .text = fmt::format("the clock was set back by {} seconds or more since an SA "
                                        "was made: limits in seconds come later by so much",
                                        ahead),
                    .advice = "rekey, and let a time service move the clock slowly"});
  }
  if (!subject.host.clock_synchronized) {
    rows.push_back({.level = Level::kUnknown,
                    .text = "cannot ask the kernel whether the clock is synchronized",
                    .advice = "run: timedatectl"});
  } else if (!*subject.host.clock_synchronized) {
    const bool matters = !Text(subject.stored, "ledger_file").empty() ||
                         std::any_of(subject.sas.begin(), subject.sas.end(), HasLimitInSeconds);
    rows.push_back({.level = matters ? Level::kWarning : Level::kNote,
                    .text = matters ? "not synchronized: the times of the ledger and the limits of "
                                      "SAs in seconds are only as good as it"
                                    : "not synchronized",
                    .advice = "run a time service: systemd-timesyncd or chrony"});
  }
  return rows;
}

std::vector<Finding> CheckHugePages(const DoctorSubject& subject) {
  constexpr std::size_t kMany = 1000;  // SAs whose memory the TLB does not cover
  if (subject.sas.size() < kMany) return {};
  if (!subject.host.huge_pages) {
    return {{.level = Level::kUnknown,
             .text = "cannot read whether transparent huge pages are available",
             .advice = "look at /sys/kernel/mm/transparent_hugepage/enabled"}};
  }
  if (*subject.host.huge_pages != "never") return {};
  return {
      {.level = Level::kNote,
       .text = fmt::format("transparent huge pages are off: with {} SAs, packets of many SAs are "
                           "slower",
                           subject.sas.size()),
       .advice = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled, then restart "
                 "cygnetd"}};
}

std::vector<Finding> CheckFips(const DoctorSubject& subject) {
  const std::string mode = Text(subject.fips, "mode");
  const bool enforced = subject.fips.value("enforced", false);
  if (mode.empty()) {
    return {{.level = Level::kUnknown,
             .text = "the daemon does not report FIPS mode",
             .advice = "use cygnetd and cygnet of the same version"}};
  }
  if (!enforced && subject.host.kernel_fips.value_or(false)) {
    return {{.level = Level::kWarning,
             .text = fmt::format("the kernel is in FIPS mode, and Cygnet's is {}", mode),
             .advice = "set [fips] mode = \"auto\" in cygnetd.toml, or: cygnet fips mode auto"}};
  }
  if (FipsDenies(subject.fips)) {
    return {{.level = Level::kWarning,
             .text = "FIPS mode is in force and denies something that is configured",
             .advice = "cygnet fips names it: list it with its certificate, or do not use it"}};
  }
  if (!enforced) return {{.level = Level::kOk, .text = "FIPS mode is not in force"}};
  return {{.level = Level::kOk, .text = "FIPS mode is in force and denies nothing"}};
}

}  // namespace cygnet
