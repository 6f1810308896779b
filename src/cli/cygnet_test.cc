// The command against the daemon's own server, over a real socket.
#include "cli/cygnet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/command_test.h"
#include "support/scripted_daemon.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using Json = nlohmann::ordered_json;

using test::CommandTest;
using test::Nobody;
using test::Outcome;
using test::RunAgainst;

using CygnetTest = CommandTest;

TEST_F(CygnetTest, ShowsEnginesAndExplainsAnMtu) {
  control_.engines = {test::SampleEngineReport()};
  control_.mtu = test::SampleMtuReport();
  EXPECT_THAT(Run({"engine"}).out,
              StartsWith("openssl: cpu engine, priority 10, in use, number 1"));
  EXPECT_EQ(Json::parse(Run({"-j", "engine"}).out)[0]["sa_halves"], 2);
  EXPECT_THAT(Run({"mtu", "explain", "10.2.0.1"}).out, HasSubstr("\tmtu 1380, TCP MSS 1340\n"));
  EXPECT_EQ(Json::parse(Run({"-j", "mtu", "explain", "10.2.0.1"}).out)["inner_mtu"], 1380);
}

TEST_F(CygnetTest, ShowsAndChangesFipsMode) {
  control_.fips = test::SampleFipsReport();
  control_.fips_move = MoveReport{.moved = 3, .stayed = 5, .blocked = 1, .took_us = 900};
  EXPECT_THAT(Run({"fips"}).out, StartsWith("FIPS mode on, in force; boundary list /etc/"));
  EXPECT_EQ(Json::parse(Run({"-j", "fips"}).out)["mode"], "on");
  const Outcome moved = Run({"fips", "mode", "off"});
  EXPECT_EQ(moved.status, 0);
  EXPECT_EQ(moved.out, "3 halves of SAs moved, 5 stayed, 1 blocked, in 900 us\n");
  EXPECT_EQ(Json::parse(Run({"-j", "fips", "reload"}).out)["blocked"], 1);
  const std::vector<std::optional<std::string>> expected = {"off", std::nullopt};
  EXPECT_EQ(control_.fips_modes_set, expected);
  control_.fips_move = MakeError(Errc::kInvalid, "boundary.toml:3: module.kind: missing");
  const Outcome refused = Run({"fips", "reload"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_EQ(refused.err, "cygnet: boundary.toml:3: module.kind: missing\n");
}

TEST_F(CygnetTest, DoctorsExitStatusIsTheAnswer) {
  control_.fips = test::SampleFipsReport();  // an unapproved algorithm does not count
  Outcome outcome = Run({"doctor", "--fips"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\tdevice nic0: inside, Acme CX-9"));
  control_.fips.rows.push_back(test::DeniedFipsRow());
  outcome = Run({"doctor", "--fips"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.out, HasSubstr("\tengine ipsec_mb: outside (fips-unlisted)"));
  outcome = Run({"-j", "doctor", "--fips"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_EQ(Json::parse(outcome.out)["rows"].size(), 3u);
  control_.fips.enforced = false;
  EXPECT_EQ(Run({"doctor", "--fips"}).status, 0);
  EXPECT_EQ(RunAgainst(Nobody, {"doctor", "--fips"}).status, 2);
}

TEST_F(CygnetTest, ReloadSaysWhatWasAppliedAndWhatNeedsARestart) {
  control_.reload = ReloadReport{.applied = {"daemon.log_level", "placement"},
                                 .needs_restart = {"daemon.workers"},
                                 .moved = {}};
  EXPECT_EQ(Run({"reload"}).out,
            "applied: daemon.log_level placement\nneeds a restart of cygnetd: daemon.workers\n");
  EXPECT_EQ(Json::parse(Run({"-j", "reload"}).out)["needs_restart"][0], "daemon.workers");
  control_.reload = MakeError(Errc::kInvalid, "cygnetd.toml:3: daemon.workers: must be a number");
  const Outcome refused = Run({"reload"});
  EXPECT_EQ(refused.status, kExitFailed);
  EXPECT_EQ(refused.err, "cygnet: cygnetd.toml:3: daemon.workers: must be a number\n");
}

TEST_F(CygnetTest, DoctorSaysByItsStatusThatSomethingWasFound) {
  control_.doctor = {{.check = "kernel-xfrm", .ok = true, .text = "empty", .advice = ""}};
  Outcome outcome = Run({"doctor"});
  // The other rows depend on the firewall of the machine that runs the test.
  EXPECT_THAT(outcome.out, HasSubstr("\nok       kernel-xfrm: empty\n"));
  EXPECT_THAT(outcome.out, HasSubstr("\nok       offload: every SA runs where it was requested\n"));
  EXPECT_THAT(outcome.out, HasSubstr(" firewall: "));
  control_.doctor.push_back({.check = "routes", .ok = false, .text = "by gre1", .advice = "do"});
  outcome = Run({"doctor"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_THAT(outcome.out, HasSubstr("WARNING  routes: by gre1\n         do\n"));
  outcome = Run({"-j", "doctor"});
  EXPECT_EQ(outcome.status, 3);
  const Json rows = Json::parse(outcome.out);
  const auto routes = std::find_if(rows.begin(), rows.end(),
                                   [](const Json& row) { return row["check"] == "routes"; });
  ASSERT_NE(routes, rows.end());
  EXPECT_EQ((*routes)["advice"], "do");
  EXPECT_EQ((*routes)["level"], "warning");
  EXPECT_EQ(RunAgainst(Nobody, {"doctor"}).status, 2);
}

TEST_F(CygnetTest, WhyIsOneParagraphAndItsStatusTheAnswer) {
  control_.why = test::SampleWhyReport();
  Outcome outcome = Run({"why", "10.2.0.1"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "A packet from 10.1.0.1 to 10.2.0.1 leaves by nic0. The policy src 10.1.0.0/16\n"
            "protects it. Not looked at: the host's firewall, and whether neighbours of the\n"
            "host answer.\n");
  control_.why->steps.back().ok = false;
  EXPECT_EQ(Run({"why", "10.2.0.1"}).status, 3);
  outcome = Run({"-j", "why", "10.2.0.1"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_EQ(Json::parse(outcome.out)["verdict"], "protected");
  control_.why = MakeError(Errc::kNoDevice, "dev: \"x0\" is not a device");
  EXPECT_EQ(Run({"why", "10.2.0.1", "dev", "x0"}).status, 2);
}

TEST_F(CygnetTest, NoErrorOfTheDaemonMovesTheCursor) {
  control_.why = MakeError(Errc::kNoDevice, "dev: \"\x1b[2J\" is not a device\nnor a tunnel");
  EXPECT_EQ(Run({"why", "10.2.0.1"}).err, "cygnet: dev: \"?[2J\" is not a device\nnor a tunnel\n");
  control_.why = test::SampleWhyReport();
  control_.why->steps.back().text = "It leaves by \x1b[2J.";
  EXPECT_THAT(Run({"why", "10.2.0.1"}).out, HasSubstr("It leaves by ?[2J."));
}

TEST_F(CygnetTest, AnMtuThatCannotBeExplainedIsAnError) {
  control_.mtu = MakeError(Errc::kInvalid, "src: must be of the same family as dst");
  const Outcome outcome = Run({"mtu", "explain", "10.2.0.1", "src", "fd01::1"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_EQ(outcome.err, "cygnet: src: must be of the same family as dst\n");
}

TEST_F(CygnetTest, ExplainsOffloadAndSaysItByItsStatus) {
  control_.explain = test::SampleExplainReport();
  const std::vector<std::string> words = {"offload", "explain", "aead", "x", "dev", "nic0"};
  const Outcome no = Run(words);
  EXPECT_EQ(no.status, 3);
  EXPECT_THAT(no.out, HasSubstr("no  esn"));
  control_.explain->verdicts[0].offloaded = true;
  EXPECT_EQ(Run(words).status, 0);
  auto as_json = words;
  as_json.insert(as_json.begin(), "-j");
  EXPECT_EQ(Json::parse(Run(as_json).out)["verdicts"][0]["offloaded"], true);
  control_.explain->verdicts.emplace_back();  // the other direction is not offloaded
  EXPECT_EQ(Run(as_json).status, 3);
  control_.explain = MakeError(Errc::kNoDevice, "no device");
  EXPECT_EQ(Run(words).status, kExitFailed);
}

TEST_F(CygnetTest, MovesSas) {
  control_.move = MoveReport{.moved = 12, .stayed = 0, .blocked = 0, .took_us = 800};
  EXPECT_EQ(Run({"offload", "disable", "dev", "nic0"}).out,
            "moved 12 halves of SAs in 0.8 ms, 0 blocked\n");
  EXPECT_EQ(Json::parse(Run({"-j", "placement", "unset", "spi", "1"}).out)["moved"], 12);
}

TEST_F(CygnetTest, PlaysFaultsSilently) {
  const Outcome outcome = Run({"sim", "dev", "nic0", "link-down"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(Run({"-j", "sim", "dev", "nic0", "link-down"}).out, "{\"done\":true}\n");
  EXPECT_EQ(Run({"sim", "dev", "nic0", "unknown"}).err, "cygnet: no such fault\n");
}

TEST_F(CygnetTest, ShowsTheLedger) {
  control_.ledger = test::SampleLedgerReport();
  EXPECT_THAT(Run({"ledger"}).out, HasSubstr("keys given to device nic0 (Cygnet NIC"));
  EXPECT_EQ(Json::parse(Run({"-j", "ledger"}).out)[2]["kind"], "summary");
}

TEST_F(CygnetTest, ShowsTheKeyLogOnRequest) {
  EXPECT_THAT(Run({"dev"}).out, Not(HasSubstr("key log")));
  EXPECT_THAT(Run({"dev", "-s"}).out, HasSubstr("own key log:\n"));
}

TEST_F(CygnetTest, PrintsMetrics) {
  control_.ledger = test::SampleLedgerReport();
  control_.engines = {test::SampleEngineReport()};
  control_.stat.drops = {{"in-no-state", 3}};
  const Outcome outcome = Run({"metrics"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              HasSubstr("cygnet_sa_halves{direction=\"out\",effective=\"crypto\",where=\"nic0\","
                        "reason=\"requested\"} 2\n"));
  EXPECT_THAT(outcome.out, HasSubstr("cygnet_drops_total{reason=\"in-no-state\"} 3\n"));
}

TEST_F(CygnetTest, ShowsWhatWentWrongWithEachSa) {
  const Outcome outcome = Run({"stat", "sa"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, HasSubstr("spi 0x00002000\n\tin-auth-failed                  3\n"));
}

TEST_F(CygnetTest, ListsSas) {
  const Outcome outcome = Run({"sa"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("spi 0x00001000"));
  EXPECT_THAT(outcome.out, HasSubstr("spi 0x00002000"));
  EXPECT_THAT(outcome.out, HasSubstr("placement out: crypto offload, device nic0, since "));
}

TEST_F(CygnetTest, FiltersSas) {
  const Outcome outcome = Run({"sa", "spi", "0x2000"});
  EXPECT_THAT(outcome.out, Not(HasSubstr("spi 0x00001000")));
  EXPECT_THAT(outcome.out, HasSubstr("spi 0x00002000"));
}

TEST_F(CygnetTest, HidesKeysUnlessAskedNot) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"sa"}, {"-j", "sa"}}) {
    EXPECT_THAT(Run(words).out, Not(HasSubstr("000102030405")));
    auto with_keys = words;
    with_keys.emplace_back("--show-keys");
    EXPECT_THAT(Run(with_keys).out, HasSubstr("0x000102030405060708090a0b0c0d0e0f10111213"));
  }
}

TEST_F(CygnetTest, PrintsJsonArrays) {
  const Json sas = Json::parse(Run({"-j", "sa"}).out);
  ASSERT_EQ(sas.size(), 2u);
  EXPECT_EQ(sas[1]["spi"], "0x00002000");
  EXPECT_EQ(Json::parse(Run({"-j", "sa", "spi", "5"}).out), Json::array());
  EXPECT_EQ(Json::parse(Run({"-j", "policy"}).out), Json::array());
  EXPECT_EQ(Json::parse(Run({"-j", "dev"}).out)[0]["name"], "nic0");
}

TEST_F(CygnetTest, PrintsStatAsOneJsonObject) {
  const Json stat = Json::parse(Run({"-j", "stat"}).out);
  EXPECT_EQ(stat["xfrm"]["XfrmInError"], 0);
  EXPECT_EQ(stat["xfrm"]["XfrmInNoStates"], 3);
}

TEST_F(CygnetTest, StatShowsZerosOnRequest) {
  EXPECT_THAT(Run({"stat"}).out, Not(HasSubstr("XfrmInError")));
  EXPECT_THAT(Run({"stat", "-a"}).out, HasSubstr("XfrmInError"));
}

TEST_F(CygnetTest, ShowsDevicesWholeHoweverManyKeysTheyHold) {
  control_.devices[0].held.assign(20'000, control_.devices[0].held[0]);
  const Outcome outcome = Run({"-j", "dev", "show", "dev", "nic0"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(Json::parse(outcome.out)[0]["held"].size(), 20'000u);
}

TEST_F(CygnetTest, SaysWhatTheDaemonRefuses) {
  for (const auto& words : {std::vector<std::string>{"dev", "dev", "nic9"}, {"dev", "nic9"}}) {
    const Outcome outcome = Run(words);
    EXPECT_EQ(outcome.status, kExitFailed);
    EXPECT_EQ(outcome.err, "cygnet: no device \"nic9\"; devices: nic0\n");
  }
}

TEST_F(CygnetTest, SaysThatThereIsNothingToShow) {
  control_.sas.clear();
  control_.policies.clear();
  const std::pair<std::vector<std::string>, std::string> kCases[] = {
      {{"sa"}, "cygnet: no SAs\n"},
      {{"sa", "spi", "0x9"}, "cygnet: no matching SA\n"},
      {{"stat", "sa"}, "cygnet: no SAs\n"},
      {{"policy"}, "cygnet: no policies\n"}};
  for (const auto& [words, said] : kCases) {
    const Outcome outcome = Run(words);
    EXPECT_EQ(outcome.status, 0) << words[0];
    EXPECT_EQ(outcome.out, "") << words[0];
    EXPECT_EQ(outcome.err, said);
    std::vector<std::string> json = {"-j"};
    json.insert(json.end(), words.begin(), words.end());
    const Outcome list = Run(json);
    EXPECT_EQ(Json::parse(list.out), Json::array()) << words[0];
    EXPECT_EQ(list.err, "") << words[0];
  }
}

TEST(CygnetAloneTest, SaysThatThereIsNoDaemon) {
  const Outcome outcome = RunAgainst(Nobody, {"sa"});
  EXPECT_EQ(outcome.status, kExitFailed);
  EXPECT_EQ(outcome.err, "cygnet: no cygnetd here\n");
}

// The fences of this machine are unknown here.
TEST(CygnetAloneTest, TheDoctorLooksForFencesWhereThereIsNoDaemon) {
  const Outcome outcome = RunAgainst(Nobody, {"-j", "doctor"});
  EXPECT_EQ(outcome.status, kExitFailed);
  EXPECT_EQ(outcome.err, "cygnet: no cygnetd here\n");
  const Json rows = Json::parse(outcome.out);
  EXPECT_FALSE(rows.empty());
  EXPECT_EQ(rows[0]["check"], "kernel-xfrm");
  EXPECT_EQ(rows[1]["check"], "fence");
  const auto refused = [] { return Result<OperatorClient>(MakeError(Errc::kPermission, "no")); };
  EXPECT_EQ(RunAgainst(refused, {"-j", "doctor"}).out, "");
}

TEST(CygnetAloneTest, WrongUsageIsAnotherStatus) {
  const Outcome outcome = RunAgainst(Nobody, {"nonsense"});
  EXPECT_EQ(outcome.status, kExitUsage);
  EXPECT_THAT(outcome.err, StartsWith("cygnet: unknown object \"nonsense\""));
}

TEST(CygnetAloneTest, HelpAndVersionNeedNoDaemon) {
  EXPECT_THAT(RunAgainst(Nobody, {"help"}).out, StartsWith("Usage: cygnet"));
  EXPECT_EQ(RunAgainst(Nobody, {"version"}).out, "cygnet " CYGNET_VERSION "\n");
  const Json version = Json::parse(RunAgainst(Nobody, {"-j", "version"}).out);
  EXPECT_EQ(version["version"], CYGNET_VERSION);
  EXPECT_EQ(version["json"], kJsonVersion);
}

TEST(CygnetAloneTest, PartOfAReplyIsNotTakenForTheWhole) {
  const test::ScriptedDaemon daemon({R"({"item":{"spi":"0x1"}})"}, test::Ending::kClose);
  const Outcome outcome = RunAgainst(daemon.connector(), {"-j", "sa"});
  EXPECT_EQ(outcome.status, kExitFailed);
  EXPECT_THAT(outcome.err, HasSubstr("closed the connection"));
  EXPECT_TRUE(Json::parse(outcome.out, nullptr, false).is_discarded());
}

TEST(CygnetAloneTest, StrangeAnswerIsAnErrorAndNoCrash) {
  const test::ScriptedDaemon daemon({R"({"item":{"spi":5}})"}, test::Ending::kClose);
  const Outcome outcome = RunAgainst(daemon.connector(), {"sa"});
  EXPECT_EQ(outcome.status, kExitFailed);
  EXPECT_NE(outcome.err, "");
}

}  // namespace
}  // namespace cygnet
