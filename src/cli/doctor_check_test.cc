// Each check of the doctor, for each of its outcomes. doctor_sas_test.cc has those of SAs.
#include "cli/doctor_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

#include "support/doctor_subject.h"

namespace cygnet {
namespace {

using test::kNow;
using test::One;
using test::Parse;
using test::Place;
using test::PolicyOf;
using test::SaOf;
using test::WellSubject;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(DoctorCheckTest, OfAWellHostEveryCheckIsFine) {
  std::set<std::string> names;
  for (const Finding& finding : LookAtAll(WellSubject())) {
    EXPECT_EQ(finding.level, Level::kOk) << finding.check;
    EXPECT_FALSE(finding.text.empty()) << finding.check;
    names.insert(finding.check);
  }
  for (const Check& check : AllChecks()) {
    EXPECT_EQ(names.count(std::string(check.name)) != 0, check.look != nullptr) << check.name;
  }
}

TEST(DoctorCheckTest, ReportsOfAnotherVersionAreNotTakenForWell) {
  DoctorSubject subject = WellSubject();
  subject.stat["drops"] = {{"no-buffers", "many"}};
  const std::vector<Finding> findings = LookAtAll(subject);
  const auto drops = std::find_if(findings.begin(), findings.end(),
                                  [](const Finding& row) { return row.check == "drops"; });
  ASSERT_NE(drops, findings.end());
  EXPECT_EQ(drops->level, Level::kUnknown);
}

TEST(DoctorCheckTest, RowsSayWhetherTheyAreWell) {
  for (const auto& [level, ok] : {std::pair(Level::kOk, true),
                                  {Level::kNote, true},
                                  {Level::kWarning, false},
                                  {Level::kFault, false},
                                  {Level::kUnknown, false}}) {
    const Json row = RowOf({.check = "clock", .level = level, .text = "t", .advice = "a"});
    EXPECT_EQ(row["ok"], ok);
    EXPECT_EQ(row["level"], std::string(Name(level)));
  }
}

TEST(DoctorCheckTest, RowsOfTheDaemonGetTheLevelOfTheirCheck) {
  const auto level_of = [](const char* check, bool ok) {
    return FindingOf({{"check", check}, {"ok", ok}, {"text", "t"}, {"advice", ""}}).level;
  };
  EXPECT_EQ(level_of("fence", true), Level::kOk);
  EXPECT_EQ(level_of("fence", false), Level::kFault);
  EXPECT_EQ(level_of("kernel-xfrm", false), Level::kWarning);
  EXPECT_EQ(level_of("of-a-later-version", false), Level::kWarning);
}

TEST(DoctorDevicesTest, AnInterfaceThatIsDown) {
  DoctorSubject subject = WellSubject();
  subject.devices = {Parse(R"({"name":"nic0"})")};
  EXPECT_THAT(CheckDevices(subject), IsEmpty());
  subject.host.interface_up["nic0"] = false;
  EXPECT_EQ(One(CheckDevices(subject)).level, Level::kFault);
  subject.host.interface_up["nic0"] = true;
  EXPECT_THAT(CheckDevices(subject), IsEmpty());
}

// The wire has its link all the while.
TEST(DoctorDevicesTest, TheHostsInterfaceThatIsGone) {
  DoctorSubject subject = WellSubject();
  subject.stat["drops"] = {{"port-down", 3}};
  subject.devices = {Parse(R"({"name":"nic0","host_side":{"state":"present","explanation":""}})")};
  EXPECT_THAT(CheckDevices(subject), IsEmpty());
  EXPECT_EQ(One(CheckDrops(subject)).level, Level::kNote);
  subject.devices[0]["host_side"] = {{"state", "removed"}, {"explanation", "it was removed"}};
  const Finding finding = One(CheckDevices(subject));
  EXPECT_EQ(finding.level, Level::kFault);
  EXPECT_THAT(finding.text, HasSubstr("device nic0: it was removed"));
  EXPECT_EQ(finding.advice, "restart cygnetd");
  EXPECT_THAT(One(CheckDrops(subject)).advice, HasSubstr("removed or moved: restart cygnetd"));
}

// Bug: nothing was said, and the drops were called packets "while the wire had no link".
TEST(DoctorDevicesTest, ADeviceThatDropsEverything) {
  DoctorSubject subject = WellSubject();
  subject.stat["drops"] = {{"port-down", 7}};
  const auto look = [&](const char* state, const char* explanation) {
    Json device = Parse(R"({"name":"nic0","link":{"changes":0}})");
    device["link"]["state"] = state;
    device["link"]["explanation"] = explanation;
    subject.devices = {device};
    return CheckDevices(subject);
  };
  EXPECT_THAT(look("up", ""), IsEmpty());
  EXPECT_THAT(One(CheckDrops(subject)).advice, testing::Not(HasSubstr("nic0")));
  EXPECT_EQ(One(look("no-carrier", "wire eth1 has no carrier")).level, Level::kWarning);
  const Finding removed = One(look("gone", "device nic0 is removed"));
  EXPECT_EQ(removed.level, Level::kFault);
  EXPECT_THAT(removed.text, HasSubstr("all packets of nic0 are dropped (port-down) until this "
                                      "ends: device nic0 is removed"));
  EXPECT_THAT(One(CheckDrops(subject)).advice, HasSubstr("device nic0 is removed"));
}

TEST(DoctorDevicesTest, WhatADeviceMayHave) {
  const auto look = [](const std::string& changes) {
    DoctorSubject subject = WellSubject();
    Json device = Parse(R"({"name":"nic0","state":"up","disabled":false,"denied":"",
      "offload":{"capable":true,"mode":"crypto"},"shadow":{"caught":""},
      "self_test":{"withdrawn":[],"evidence":"/e"}})");
    device.merge_patch(Parse(changes));
    subject.devices = {device};
    return CheckDevices(subject);
  };
  EXPECT_THAT(look("{}"), IsEmpty());
  EXPECT_EQ(One(look(R"({"shadow":{"caught":"wrong ICV","evidence":"/e"}})")).level, Level::kFault);
  EXPECT_EQ(One(look(R"({"state":"failed","failure":"firmware"})")).level, Level::kFault);
  EXPECT_EQ(One(look(R"({"state":"resetting"})")).level, Level::kWarning);
  EXPECT_EQ(One(look(R"({"disabled":true})")).level, Level::kNote);
  EXPECT_EQ(One(look(R"({"denied":"not-trusted"})")).level, Level::kWarning);
  EXPECT_THAT(One(look(R"({"self_test":{"withdrawn":[{"capability":"esn","text":"t"}]}})")).text,
              HasSubstr("claims esn"));
  EXPECT_THAT(look(R"({"state":"failed","offload":{"mode":"no"}})"), IsEmpty());
  EXPECT_THAT(look(R"({"state":"","offload":{"capable":false}})"), IsEmpty());
}

TEST(DoctorDevicesTest, SlotsGuardEnginesInsideAndTunnels) {
  DoctorSubject subject = WellSubject();
  subject.devices = {Parse(R"({"name":"nic0","offload":{"slots_used":8,"slots_limit":10},
    "guard":{"clear_stopped":0,"changed_stopped":5},"inside":[{"name":"lan0","explanation":""}]})")};
  subject.engines = {Parse(R"({"name":"openssl","failure":""})")};
  subject.tunnels = {Parse(R"({"name":"vti0","policies":2,"unprotected":0})")};
  EXPECT_THAT(CheckSlots(subject), IsEmpty());
  EXPECT_THAT(CheckGuard(subject), IsEmpty());
  EXPECT_THAT(CheckEngines(subject), IsEmpty());
  EXPECT_THAT(CheckInside(subject), IsEmpty());
  EXPECT_THAT(CheckTunnels(subject), IsEmpty());
  subject.devices[0]["offload"]["slots_used"] = 9;
  subject.devices[0]["guard"]["clear_stopped"] = 1;
  subject.devices[0]["inside"][0]["explanation"] = "no XDP";
  subject.engines[0]["failure"] = "the device is gone";
  subject.tunnels[0]["unprotected"] = 3;
  EXPECT_EQ(One(CheckSlots(subject)).level, Level::kWarning);
  EXPECT_EQ(One(CheckGuard(subject)).level, Level::kFault);
  EXPECT_EQ(One(CheckEngines(subject)).level, Level::kWarning);
  EXPECT_EQ(One(CheckInside(subject)).level, Level::kWarning);
  EXPECT_EQ(One(CheckTunnels(subject)).level, Level::kNote);
  subject.tunnels[0]["policies"] = 0;
  EXPECT_EQ(One(CheckTunnels(subject)).level, Level::kWarning);
}

TEST(DoctorDropsTest, TheWorstComesFirstAndEachHasARemedy) {
  DoctorSubject subject = WellSubject();
  subject.stat["drops"] = {
      {"in-no-state", 3}, {"out-guard", 1}, {"in-fragment-memory", 2}, {"out-no-state", 0}};
  const std::vector<Finding> findings = CheckDrops(subject);
  ASSERT_THAT(findings, SizeIs(3));
  EXPECT_THAT(findings[0].text, HasSubstr("out-guard: 1 packets"));
  EXPECT_EQ(findings[0].level, Level::kFault);
  for (const Finding& finding : findings) EXPECT_FALSE(finding.advice.empty());
  subject.stat.erase("drops");
  EXPECT_EQ(One(CheckDrops(subject)).level, Level::kUnknown);
}

TEST(DoctorPoliciesTest, PoliciesWithoutTheirCounterparts) {
  DoctorSubject subject = WellSubject();
  subject.policies = {PolicyOf("out", "10.1.0.0/16", "10.2.0.0/16")};
  EXPECT_THAT(One(CheckPolicyPairs(subject)).advice, HasSubstr("src 10.2.0.0/16 dst 10.1.0.0/16"));
  subject.policies.push_back(PolicyOf("fwd", "10.2.0.0/16", "10.1.0.0/16"));
  EXPECT_THAT(CheckPolicyPairs(subject), IsEmpty());
  subject.policies = {PolicyOf("out", "10.1.0.0/16", "10.2.0.0/16", "transport")};
  EXPECT_THAT(CheckPolicyPairs(subject), IsEmpty());
  subject.policies = {PolicyOf("out", "10.1.0.1/32", "10.2.0.0/16"),
                      PolicyOf("in", "0.0.0.0/0", "10.1.0.1/32")};
  EXPECT_THAT(CheckPolicyPairs(subject), IsEmpty());
  subject.policies[1]["if_id"] = 7;
  EXPECT_THAT(CheckPolicyPairs(subject), SizeIs(1));
  subject.policies[0]["if_id"] = 7;
  EXPECT_THAT(CheckPolicyPairs(subject), IsEmpty());
  subject.policies[0]["mark"] = Parse(R"({"value":"0x00000001","mask":"0xffffffff"})");
  EXPECT_THAT(CheckPolicyPairs(subject), SizeIs(1));
  subject.policies = {PolicyOf("out", "10.1.0.1/32", "10.2.0.0/16"),
                      PolicyOf("in", "10.2.1.0/24", "10.1.0.1/32")};
  EXPECT_THAT(CheckPolicyPairs(subject), SizeIs(1));
}

TEST(DoctorPoliciesTest, TheSizeOfForwardedSegments) {
  DoctorSubject subject = WellSubject();
  EXPECT_THAT(CheckSegmentSize(subject), IsEmpty());
  subject.mtus = {Parse(R"({"dst":"10.2.0.0","verdict":"protected","tcp_mss":1406})"),
                  Parse(R"({"dst":"10.3.0.0","verdict":"protected","tcp_mss":1300})"),
                  Parse(R"({"dst":"10.4.0.0","verdict":"no-sa","tcp_mss":0})")};
  EXPECT_THAT(One(CheckSegmentSize(subject)).text, HasSubstr("at most 1300 bytes fit to 10.3.0.0"));
  EXPECT_EQ(One(CheckSegmentSize(subject)).level, Level::kNote);
  subject.ruleset = Parse(R"({"nftables":[{"rule":{"expr":[{"mangle":{"key":{"tcp option":
    {"name":"maxseg","field":"size"}},"value":1300}}]}}]})");
  EXPECT_EQ(One(CheckSegmentSize(subject)).level, Level::kOk);
  subject.ruleset = Parse(R"({"nftables":[{"rule":{"expr":[{"xt":{"type":"target",
    "name":"TCPMSS"}}]}}]})");
  EXPECT_EQ(One(CheckSegmentSize(subject)).level, Level::kOk);
}

TEST(DoctorPoliciesTest, MtusAreAskedForNetworksBehindThisHost) {
  const std::vector<Json> policies = {PolicyOf("out", "10.1.0.0/16", "10.2.0.0/16"),
                                      PolicyOf("out", "10.1.0.1/32", "10.3.0.0/16"),
                                      PolicyOf("in", "10.2.0.0/16", "10.1.0.0/16")};
  const std::vector<Json> requests = MtuRequests(policies, 5);
  ASSERT_THAT(requests, SizeIs(1));
  EXPECT_EQ(requests[0]["dst"], "10.2.0.0");
  EXPECT_EQ(requests[0]["src"], "10.1.0.0");
  EXPECT_THAT(MtuRequests(policies, 0), IsEmpty());
}

TEST(DoctorPoliciesTest, AHostThatDoesNotForward) {
  DoctorSubject subject = WellSubject();
  subject.policies = {PolicyOf("out", "10.1.0.0/16", "10.2.0.0/16"),
                      PolicyOf("out", "fd01::/16", "fd02::/16")};
  EXPECT_THAT(CheckForwarding(subject), IsEmpty());
  subject.host.forwards_v4 = false;
  EXPECT_EQ(One(CheckForwarding(subject)).level, Level::kWarning);
  subject.host.forwards_v6 = std::nullopt;
  EXPECT_THAT(CheckForwarding(subject), SizeIs(2));
  EXPECT_EQ(CheckForwarding(subject)[1].level, Level::kUnknown);
  subject.policies = {PolicyOf("out", "10.1.0.1/32", "10.2.0.0/16")};
  EXPECT_THAT(CheckForwarding(subject), IsEmpty());
}

TEST(DoctorPoliciesTest, AStrictReversePathFilter) {
  DoctorSubject subject = WellSubject();
  subject.devices = {Parse(R"({"name":"nic0"})")};
  EXPECT_THAT(CheckReversePath(subject), IsEmpty());
  subject.policies = {PolicyOf("in", "10.2.0.0/16", "10.1.0.0/16")};
  EXPECT_EQ(One(CheckReversePath(subject)).level, Level::kUnknown);
  subject.host.reverse_path["nic0"] = 2;
  EXPECT_THAT(CheckReversePath(subject), IsEmpty());
  subject.host.reverse_path["nic0"] = 1;
  EXPECT_EQ(One(CheckReversePath(subject)).level, Level::kNote);
}

TEST(DoctorMachineTest, Versions) {
  DoctorSubject subject = WellSubject();
  subject.stat["version"] = "0.0.9";
  EXPECT_THAT(One(CheckVersions(subject)).text, HasSubstr("cygnetd is 0.0.9"));
  subject.stat.erase("version");
  EXPECT_EQ(One(CheckVersions(subject)).level, Level::kWarning);
}

TEST(DoctorMachineTest, TheClock) {
  DoctorSubject subject = WellSubject();
  subject.host.clock_synchronized = false;
  EXPECT_EQ(One(CheckClock(subject)).level, Level::kNote);
  subject.stored = {{"ledger_file", "/var/lib/cygnet/ledger"}};
  EXPECT_EQ(One(CheckClock(subject)).level, Level::kWarning);
  subject.stored = Json::object();
  subject.sas = {SaOf(1, R"({"limits":{"hard_add_seconds":3600}})")};
  EXPECT_EQ(One(CheckClock(subject)).level, Level::kWarning);
  subject.host.clock_synchronized = std::nullopt;
  EXPECT_EQ(One(CheckClock(subject)).level, Level::kUnknown);
  subject.host.clock_synchronized = true;
  subject.sas[0]["usage"]["add_time"] = kNow + 60;
  EXPECT_THAT(One(CheckClock(subject)).text, HasSubstr("set back by 60 seconds"));
}

TEST(DoctorMachineTest, HugePagesMatterWithManySas) {
  DoctorSubject subject = WellSubject();
  subject.host.huge_pages = "never";
  EXPECT_THAT(CheckHugePages(subject), IsEmpty());
  subject.sas.assign(1000, SaOf(1));
  EXPECT_EQ(One(CheckHugePages(subject)).level, Level::kNote);
  subject.host.huge_pages = std::nullopt;
  EXPECT_EQ(One(CheckHugePages(subject)).level, Level::kUnknown);
  subject.host.huge_pages = "always";
  EXPECT_THAT(CheckHugePages(subject), IsEmpty());
}

TEST(DoctorMachineTest, FipsMode) {
  DoctorSubject subject = WellSubject();
  subject.host.kernel_fips = true;
  EXPECT_EQ(One(CheckFips(subject)).level, Level::kWarning);
  subject.fips["enforced"] = true;
  EXPECT_EQ(One(CheckFips(subject)).level, Level::kOk);
  subject.fips["rows"] = Parse(R"([{"kind":"device","inside":false}])");
  EXPECT_EQ(One(CheckFips(subject)).level, Level::kWarning);
  subject.fips = Json::object();
  EXPECT_EQ(One(CheckFips(subject)).level, Level::kUnknown);
}

TEST(DoctorHostTest, TheChosenWord) {
  EXPECT_EQ(ChosenWord("always [madvise] never"), "madvise");
  EXPECT_EQ(ChosenWord("always"), "");
  EXPECT_EQ(ChosenWord("]["), "");
}

TEST(DoctorHostTest, ReadsThisHostAndLeavesOpenWhatItCannotRead) {
  const HostFacts facts = ReadHost({"lo", "no-such-interface"});
  EXPECT_EQ(facts.reverse_path.count("no-such-interface"), 0u);
  EXPECT_EQ(facts.reverse_path.count("lo"), facts.forwards_v4.has_value() ? 1u : 0u);
}

}  // namespace
}  // namespace cygnet
