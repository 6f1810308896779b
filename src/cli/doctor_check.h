// The checks of `cygnet doctor`: what each looks at, and what it finds. One table has them all, the
// daemon's own included; each is a function of what was read, so that tests can fill that in.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/doctor_host.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

enum class Level : uint8_t {
  kOk,
  kNote,     // worth knowing; nothing is wrong
  kWarning,  // traffic is lost, slow, or less protected than asked for, or will be
  kFault,    // the protection itself is in question, or traffic has stopped
  kUnknown,  // it could not look
};
std::string_view Name(Level level);

struct Finding {
  std::string check{};
  Level level = Level::kOk;
  std::string text{};
  std::string advice{};  // empty if all is well
};

// What the checks look at: reports of the daemon (cygnet-json(7)) and settings of the host.
struct DoctorSubject {
  std::vector<Json> devices{};
  std::vector<Json> policies{};
  std::vector<Json> sas{};
  std::vector<Json> tunnels{};
  std::vector<Json> engines{};
  std::vector<Json> mtus{};  // answers of "mtu explain" for policies that forward
  Json stat = Json::object();
  Json fips = Json::object();
  Json stored = Json::object();
  Json ruleset = Json::object();  // nftables
  HostFacts host{};
  uint64_t now = 0;          // wall-clock seconds
  uint64_t lost_lately = 0;  // packets, for want of an SA, while the doctor looked
};

struct Check {
  std::string_view name;
  // What a row says if there is nothing to find; empty: the daemon's check, whose rows it makes.
  std::string_view well;
  // Of the daemon's rows that are not ok.
  Level bad = Level::kWarning;
  std::vector<Finding> (*look)(const DoctorSubject& subject) = nullptr;
};
std::span<const Check> AllChecks();

// Every check of this command, each with at least one finding.
std::vector<Finding> LookAtAll(const DoctorSubject& subject);
// Fences, which outlive the daemon, and the kernel's own XFRM. In doctor_alone.cc.
std::vector<Finding> LookWithoutDaemon();
// A row of the daemon: check, ok, text, advice.
Finding FindingOf(const Json& row);
Json RowOf(const Finding& finding);

// doctor_sas.cc
std::vector<Finding> CheckOffload(const DoctorSubject& subject);
std::vector<Finding> CheckReplay(const DoctorSubject& subject);
std::vector<Finding> CheckNumbers(const DoctorSubject& subject);
std::vector<Finding> CheckRekeying(const DoctorSubject& subject);
// doctor_states.cc
// Packets that were dropped for want of an SA, since the start.
uint64_t LostForWantOfStates(const Json& stat);
std::vector<Finding> CheckStates(const DoctorSubject& subject);
// doctor_devices.cc
std::vector<Finding> CheckDevices(const DoctorSubject& subject);
std::vector<Finding> CheckSlots(const DoctorSubject& subject);
std::vector<Finding> CheckGuard(const DoctorSubject& subject);
std::vector<Finding> CheckEngines(const DoctorSubject& subject);
std::vector<Finding> CheckInside(const DoctorSubject& subject);
std::vector<Finding> CheckTunnels(const DoctorSubject& subject);
// doctor_drops.cc
std::vector<Finding> CheckDrops(const DoctorSubject& subject);
// doctor_policies.cc
std::vector<Finding> CheckPolicyPairs(const DoctorSubject& subject);
std::vector<Finding> CheckSegmentSize(const DoctorSubject& subject);
std::vector<Finding> CheckForwarding(const DoctorSubject& subject);
std::vector<Finding> CheckReversePath(const DoctorSubject& subject);
// Requests for "mtu explain" of at most `most` policies that protect networks behind this host.
std::vector<Json> MtuRequests(const std::vector<Json>& policies, std::size_t most);
// doctor_machine.cc
std::vector<Finding> CheckVersions(const DoctorSubject& subject);
std::vector<Finding> CheckClock(const DoctorSubject& subject);
std::vector<Finding> CheckHugePages(const DoctorSubject& subject);
std::vector<Finding> CheckFips(const DoctorSubject& subject);

}  // namespace cygnet
