// Each check of the doctor, for each of its outcomes.
#include "cli/doctor_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>

namespace cygnet {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint64_t kNow = 1'700'000'000;

Json Parse(const std::string& text) { return Json::parse(text); }

// An SA in both directions, valid, in software on request.
Json SaOf(uint32_t spi, const std::string& changes = "{}") {
  Json sa = Parse(R"({"src":"192.0.2.1","dst":"192.0.2.2","proto":"esp","reqid":1,"esn":false,
    "replay_window":64,"state":"valid","limits":{},"stats":{"replay_window":0},
    "usage":{"bytes":0,"packets":0,"add_time":1699999000,"use_time":0},"replay":{"oseq":0,"seq":0},
    "placements":[{"direction":"out","requested":"no","effective":"software",
      "reason":"not-requested","explanation":"no offload was requested"}]})");
  sa["spi"] = "0x0000" + std::to_string(spi);
  sa.merge_patch(Parse(changes));
  return sa;
}

Json Place(const std::string& requested, const std::string& effective, const std::string& reason) {
  Json place = Parse(R"({"direction":"out","explanation":"explained"})");
  place["requested"] = requested;
  place["effective"] = effective;
  place["reason"] = reason;
  Json changes = Json::object();
  changes["placements"] = Json::array({place});
  return changes;
}

Json PolicyOf(const std::string& dir, const std::string& src, const std::string& dst,
              const std::string& mode = "tunnel") {
  Json policy = Parse(R"({"action":"allow","templates":[{"level":"required"}]})");
  policy["selector"] = "src " + src + " dst " + dst;
  policy["dir"] = dir;
  policy["templates"][0]["mode"] = mode;
  return policy;
}

DoctorSubject WellSubject() {
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
Finding One(const std::vector<Finding>& findings) {
  EXPECT_THAT(findings, SizeIs(1));
  return findings.empty() ? Finding{} : findings[0];
}

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

TEST(DoctorSasTest, OffloadThatWasAskedForAndIsNotHad) {
  DoctorSubject subject = WellSubject();
  subject.sas = {SaOf(1), SaOf(2), SaOf(3)};
  EXPECT_THAT(CheckOffload(subject), IsEmpty());
  subject.sas[0].merge_patch(Place("crypto", "software", "table-full"));
  subject.sas[1].merge_patch(Place("packet", "look-aside", "table-full"));
  const Finding full = One(CheckOffload(subject));
  EXPECT_EQ(full.level, Level::kWarning);
  EXPECT_THAT(full.text, HasSubstr("2 halves of SAs, SA to 192.0.2.2 spi 0x00001 among them"));
  EXPECT_THAT(full.advice, HasSubstr("more slots"));
  subject.sas[0].merge_patch(Place("auto", "software", "table-full"));
  subject.sas[1].merge_patch(Place("crypto", "crypto", "requested"));
  EXPECT_THAT(CheckOffload(subject), IsEmpty());
  subject.sas[2].merge_patch(Place("required", "blocked", "not-trusted"));
  const Finding blocked = One(CheckOffload(subject));
  EXPECT_EQ(blocked.level, Level::kFault);
  EXPECT_THAT(blocked.text, HasSubstr("not-trusted"));
}

TEST(DoctorSasTest, EachReasonOfOffloadHasAdvice) {
  for (const char* reason : {"table-full", "not-trusted", "fips-unlisted", "operator-disabled",
                             "device-off", "no-capability:esn", "link-down"}) {
    DoctorSubject subject = WellSubject();
    subject.sas = {SaOf(1)};
    subject.sas[0].merge_patch(Place("crypto", "software", reason));
    EXPECT_FALSE(One(CheckOffload(subject)).advice.empty()) << reason;
  }
}

TEST(DoctorSasTest, PacketsBeyondTheReplayWindow) {
  DoctorSubject subject = WellSubject();
  subject.sas = {SaOf(1, R"({"stats":{"replay_window":7},"window_for_all":256,
                            "placements":[{"direction":"in"}]})")};
  EXPECT_THAT(One(CheckReplay(subject)).advice, HasSubstr("a window of 256"));
  subject.sas[0]["window_for_all"] = 32;
  EXPECT_THAT(One(CheckReplay(subject)).advice, HasSubstr("not authenticated"));
  subject.sas[0]["replay_window"] = 0;
  EXPECT_THAT(One(CheckReplay(subject)).text, HasSubstr("1 inbound SAs have no replay window"));
  subject.sas[0]["placements"][0]["direction"] = "out";
  EXPECT_THAT(CheckReplay(subject), IsEmpty());
}

TEST(DoctorSasTest, NumbersAndLimitsThatComeToTheirEnd) {
  DoctorSubject subject = WellSubject();
  subject.sas = {SaOf(1, R"({"replay":{"oseq":3865470567}})")};
  EXPECT_EQ(One(CheckNumbers(subject)).level, Level::kWarning);
  subject.sas[0]["replay"]["oseq"] = 4294967295u;
  EXPECT_EQ(One(CheckNumbers(subject)).level, Level::kFault);
  subject.sas[0]["esn"] = true;
  EXPECT_THAT(CheckNumbers(subject), IsEmpty());
  subject.sas[0]["limits"] = {{"hard_packets", 100}};
  subject.sas[0]["usage"]["packets"] = 89;
  EXPECT_THAT(CheckNumbers(subject), IsEmpty());
  subject.sas[0]["usage"]["packets"] = 90;
  EXPECT_EQ(One(CheckNumbers(subject)).level, Level::kWarning);
  subject.sas[0]["usage"]["packets"] = 100;
  EXPECT_EQ(One(CheckNumbers(subject)).level, Level::kFault);
}

TEST(DoctorSasTest, RekeyingThatFails) {
  DoctorSubject subject = WellSubject();
  subject.sas = {SaOf(1, R"({"state":"dying","limits":{"soft_add_seconds":900,
                            "hard_add_seconds":1100}})")};
  subject.now = 1'699'999'000 + 950;
  EXPECT_THAT(CheckRekeying(subject), IsEmpty());  // key management has time
  subject.now = 1'699'999'000 + 1050;
  EXPECT_EQ(One(CheckRekeying(subject)).level, Level::kWarning);
  subject.sas.push_back(SaOf(2));
  EXPECT_THAT(CheckRekeying(subject), IsEmpty());  // it has a successor
  subject.sas[1]["reqid"] = 2;
  subject.sas[0]["state"] = "expired";
  EXPECT_EQ(One(CheckRekeying(subject)).level, Level::kFault);
  subject.sas = {SaOf(1, R"({"state":"larval"})")};
  EXPECT_THAT(One(CheckRekeying(subject)).text, HasSubstr("1050 seconds ago"));
  subject.now = 1'699'999'000 + 3;
  EXPECT_THAT(CheckRekeying(subject), IsEmpty());
  subject.sas.clear();
  subject.stat["acquires_refused"] = 4;
  EXPECT_EQ(One(CheckRekeying(subject)).level, Level::kNote);
}

TEST(DoctorStatesTest, TrafficThatHasStopped) {
  DoctorSubject subject = WellSubject();
  subject.policies = {PolicyOf("out", "10.1.0.0/16", "10.2.0.0/16")};
  subject.policies[0]["templates"][0].merge_patch(Parse(R"({"dst":"192.0.2.2","reqid":1})"));
  EXPECT_THAT(CheckStates(subject), IsEmpty());  // it waits for its first packet
  subject.stat["drops"]["out-no-state"] = 20;
  EXPECT_EQ(One(CheckStates(subject)).level, Level::kWarning);
  EXPECT_THAT(One(CheckStates(subject)).text, HasSubstr("policy src 10.1.0.0/16"));
  subject.sas = {SaOf(1)};
  EXPECT_THAT(CheckStates(subject), IsEmpty());
  subject.policies[0]["templates"][0]["dst"] = "0.0.0.0";
  EXPECT_THAT(CheckStates(subject), IsEmpty());
  for (const char* change : {R"({"state":"expired"})", R"({"state":"larval"})", R"({"reqid":2})",
                             R"({"direction":"in"})", R"({"if_id":7})"}) {
    subject.sas = {SaOf(1, change)};
    EXPECT_EQ(One(CheckStates(subject)).level, Level::kWarning) << change;
  }
}

TEST(DoctorStatesTest, SourcesThatAreNotOfThisHost) {
  DoctorSubject subject = WellSubject();
  subject.sas = {SaOf(1, R"({"direction":"out"})"), SaOf(2, R"({"direction":"out"})")};
  EXPECT_THAT(CheckStates(subject), IsEmpty());  // the host's addresses cannot be read
  subject.host.addresses = {"192.0.2.9"};
  EXPECT_EQ(One(CheckStates(subject)).level, Level::kWarning);
  subject.host.addresses->insert("192.0.2.1");
  EXPECT_THAT(CheckStates(subject), IsEmpty());
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

TEST(DoctorStatesTest, ManyPoliciesWithoutSasAreCounted) {
  DoctorSubject subject = WellSubject();
  subject.stat["drops"]["out-hold-timeout"] = 1;
  subject.policies.assign(10'000, PolicyOf("out", "10.1.0.0/16", "10.2.0.0/16"));
  const std::vector<Finding> findings = CheckStates(subject);
  ASSERT_THAT(findings, SizeIs(11));
  EXPECT_EQ(findings.back().text, "9990 more policies have no SA");
}

TEST(DoctorSasTest, ManyFindingsOfOneKindAreCounted) {
  DoctorSubject subject = WellSubject();
  for (uint32_t i = 0; i < 500; ++i)
    subject.sas.push_back(SaOf(i, R"({"state":"expired","reqid":9})"));
  const std::vector<Finding> findings = CheckRekeying(subject);
  ASSERT_THAT(findings, SizeIs(11));
  EXPECT_EQ(findings.back().text, "490 more of this kind");
  EXPECT_EQ(findings.back().level, Level::kFault);
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
