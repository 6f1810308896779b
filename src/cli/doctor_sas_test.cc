// The checks of the doctor that are about SAs and policies without them, for each outcome.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/doctor_check.h"
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
  EXPECT_EQ(One(CheckStates(subject)).level, Level::kNote) << "lost some time ago";
  EXPECT_THAT(One(CheckStates(subject)).text, HasSubstr("it is idle; 20 packets were lost"));
  subject.sas = {SaOf(1, R"({"state":"larval"})")};  // asked lately
  EXPECT_EQ(One(CheckStates(subject)).level, Level::kWarning);
  subject.sas = {SaOf(1, R"({"state":"larval","reqid":2})")};
  EXPECT_EQ(One(CheckStates(subject)).level, Level::kNote) << "asked for another";
  subject.lost_lately = 3;
  EXPECT_EQ(One(CheckStates(subject)).level, Level::kWarning);
  EXPECT_THAT(One(CheckStates(subject)).text, HasSubstr("policy src 10.1.0.0/16"));
  EXPECT_THAT(One(CheckStates(subject)).text, HasSubstr("3 packets were lost"));
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

}  // namespace
}  // namespace cygnet
