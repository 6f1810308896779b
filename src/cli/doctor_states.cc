// Policies that protect, and the SAs that they need.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "cli/doctor_check.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

constexpr std::size_t kMostRows = 10;

bool IsAnyAddress(const std::string& address) {
  return address.empty() || address == "0.0.0.0" || address == "::";
}

// Empty destination, reqid 0: any.
std::string KeyOf(const std::string& dst, uint64_t reqid, uint64_t if_id) {
  return fmt::format("{} {} {}", IsAnyAddress(dst) ? "" : dst, reqid, if_id);
}

// What each SA that can seal a packet answers to: there may be 10,000 of them, and of policies.
std::set<std::string> UsableStates(const std::vector<Json>& sas) {
  std::set<std::string> keys;
  for (const Json& sa : sas) {
    const std::string state = Text(sa, "state");
    if (Text(sa, "direction") == "in" || (state != "valid" && state != "dying")) continue;
    const uint64_t if_id = Number(sa, "if_id");
    for (const std::string& dst : {Text(sa, "dst"), std::string()}) {
      keys.insert(KeyOf(dst, Number(sa, "reqid"), if_id));
      keys.insert(KeyOf(dst, 0, if_id));
    }
  }
  return keys;
}

// The first required template without an SA; nullptr: none.
const Json* WithoutState(const Json& policy, const std::set<std::string>& usable) {
  for (const Json& tmpl : Child(policy, "templates")) {
    if (Text(tmpl, "level") == "use") continue;
    const std::string key =
        KeyOf(Text(tmpl, "dst"), Number(tmpl, "reqid"), Number(policy, "if_id"));
    if (usable.count(key) == 0) return &tmpl;
  }
  return nullptr;
}

// Whether key management was asked for this one, which it forgets after some time.
bool IsAskedFor(const Json& policy, const Json& tmpl, const std::vector<Json>& sas) {
  const std::string dst = Text(tmpl, "dst");
  return std::any_of(sas.begin(), sas.end(), [&](const Json& sa) {
    return Text(sa, "state") == "larval" && Number(sa, "reqid") == Number(tmpl, "reqid") &&
           Number(sa, "if_id") == Number(policy, "if_id") &&
           (IsAnyAddress(dst) || dst == Text(sa, "dst"));
  });
}

Finding Missing(const Json& policy, const Json& tmpl, const DoctorSubject& subject) {
  const std::string dst = Text(tmpl, "dst");
  const std::string peer = IsAnyAddress(dst) ? "the destination of the packet" : dst;
  const std::string what = fmt::format("policy {} dir out has no SA to {} with reqid {}",
                                       Text(policy, "selector"), peer, Number(tmpl, "reqid"));
  const bool asked = IsAskedFor(policy, tmpl, subject.sas);
  if (!asked && subject.lost_lately == 0) {
    return {.level = Level::kNote,
            .text = fmt::format("{}: it is idle; {} packets were lost for want of an SA since the "
                                "start, none while the doctor looked",
                                what, LostForWantOfStates(subject.stat)),
            .advice = "if its traffic does not pass, send some and run the doctor again"};
  }
  return {.level = Level::kWarning,
          .text = what + (asked ? ", and key management was asked for it and has not made it: its "
                                  "traffic does not pass"
                                : fmt::format(", and {} packets were lost for want of an SA while "
                                              "the doctor looked: its traffic does not pass",
                                              subject.lost_lately)),
          .advice =
              "start key management, or look at its log: it was asked (ACQUIRE) and made no "
              "SA; if SAs are made by hand, add this one"};
}

}  // namespace

uint64_t LostForWantOfStates(const Json& stat) {
  uint64_t lost = 0;
  for (const char* reason :
       {"out-no-state", "out-state-expired", "out-hold-timeout", "out-hold-full"}) {
    lost += Number(Child(stat, "drops"), reason);
  }
  return lost;
}

// Answers to a source that this host does not have go elsewhere. One row for each source.
void CheckSources(const DoctorSubject& subject, std::vector<Finding>* rows) {
  if (!subject.host.addresses) return;
  std::set<std::string> foreign;
  for (const Json& sa : subject.sas) {
    const std::string src = Text(sa, "src");
    if (Text(sa, "direction") != "out" || IsAnyAddress(src)) continue;
    if (subject.host.addresses->count(src) != 0 || foreign.size() == kMostRows) continue;
    if (!foreign.insert(src).second) continue;
    rows->push_back({.level = Level::kWarning,
                     .text = fmt::format("SAs of direction out, to {} spi {} among them, have the "
                                         "source {}, which is not an address of this host",
                                         Text(sa, "dst"), Text(sa, "spi"), src),
                     .advice = fmt::format("ip addr add {} to the interface, or correct the SA; on "
                                           "a standby node of a cluster this is as it must be",
                                           src)});
  }
}

// A policy that waits for its first packet has no SA and is well; it is not once packets were lost.
std::vector<Finding> CheckStates(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  CheckSources(subject, &rows);
  if (LostForWantOfStates(subject.stat) == 0) return rows;
  const std::set<std::string> usable = UsableStates(subject.sas);
  std::size_t shown = 0;
  std::size_t more = 0;
  for (const Json& policy : subject.policies) {
    if (Text(policy, "dir") != "out" || Text(policy, "action") != "allow") continue;
    const Json* tmpl = WithoutState(policy, usable);
    if (tmpl == nullptr) continue;
    if (shown == kMostRows) {
      ++more;
    } else {
      ++shown;
      rows.push_back(Missing(policy, *tmpl, subject));
    }
  }
  if (more != 0) {
    rows.push_back({.level = subject.lost_lately == 0 ? Level::kNote : Level::kWarning,
                    .text = fmt::format("{} more policies have no SA", more),
                    .advice = "cygnet policy and cygnet sa show them all"});
  }
  return rows;
}

}  // namespace cygnet
