// `cygnet cluster`: from the command line to the request, and from the report to text and metrics.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/text.h"
#include "client/metrics.h"
#include "daemon/operator/reply.h"
#include "daemon/operator/report_json.h"
#include "support/fake_operator_control.h"

namespace cygnet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

ClusterReport Sample() {
  ClusterReport report{.name = "c",
                       .node = "gw1",
                       .share = "numbers",
                       .inbound = "strict",
                       .has_lease = true,
                       .era = 3};
  report.peers.push_back(
      {.name = "gw2", .address = "192.0.2.3:4712", .heard = false, .silent_ms = 900});
  report.groups.push_back({.name = "vpn",
                           .addresses = {"192.0.2.1/24 dev nic0"},
                           .prefer = "gw1",
                           .state = "waking",
                           .owner = "gw1",
                           .epoch = 7,
                           .since = 1'700'000'000,
                           .sas = 40,
                           .waiting = 5,
                           .gained = 2,
                           .lost = 1,
                           .last = ClusterTakeOverReport{.time = 1'700'000'000,
                                                         .reason = "gw2 is silent",
                                                         .silence_us = 161'300,
                                                         .transaction_us = 8'200,
                                                         .numbers_us = 31'000,
                                                         .sas = 40}});
  return report;
}

std::string ErrorOf(const std::vector<const char*>& words) {
  const auto parsed = ParseArguments(words);
  return parsed ? "no error" : parsed.error().message;
}

TEST(ClusterCommandTest, TheWordsBecomeARequest) {
  const std::vector<const char*> show = {"cluster"};
  EXPECT_EQ(ParseArguments(show)->request.dump(), R"({"command":"cluster"})");
  const std::vector<const char*> move = {"cluster", "move", "group", "vpn", "to", "gw2"};
  EXPECT_EQ(ParseArguments(move)->request.dump(),
            R"({"command":"cluster","action":"move","group":"vpn","node":"gw2"})");
  EXPECT_THAT(ErrorOf({"cluster", "move", "group", "vpn"}),
              HasSubstr("cluster move: \"to NODE\" is missing"));
  EXPECT_THAT(ErrorOf({"cluster", "move", "vpn"}), HasSubstr("unknown keyword \"vpn\""));
}

TEST(ClusterCommandTest, TheDaemonShowsAndMoves) {
  test::FakeOperatorControl control;
  const auto ask = [&control](const std::string& request) {
    const auto reply = MakeReply(&control, request);
    std::string text;
    EXPECT_EQ(reply->MakeNext(&text), OperatorReply::Next::kDatagram);
    return text;
  };
  EXPECT_EQ(ask(R"({"command":"cluster"})"), R"({"done":true})") << "in no cluster";
  control.cluster = Sample();
  EXPECT_THAT(ask(R"({"command":"cluster"})"), HasSubstr(R"("state":"waking")"));
  (void)ask(R"({"command":"cluster","action":"move","group":"vpn","node":"gw2"})");
  EXPECT_THAT(control.orders, ElementsAre("move vpn to gw2"));
  EXPECT_THAT(ask(R"({"command":"cluster","action":"move","group":"x","node":"gw2"})"),
              HasSubstr("no group x"));
  EXPECT_THAT(ask(R"({"command":"cluster","action":"move","group":"x"})"), HasSubstr("node"));
  EXPECT_EQ(OrderOf(R"({"command":"cluster"})"), "");
  EXPECT_THAT(OrderOf(R"({"command":"cluster","action":"move"})"), HasSubstr("move"));
}

TEST(ClusterCommandTest, TheTextHasTheOwnerAndTheLastTakeOver) {
  const Json cluster = ToJson(Sample());
  const std::string text = ClusterText(cluster);
  EXPECT_THAT(text, HasSubstr("cluster c, node gw1: share numbers, inbound strict\n"));
  EXPECT_THAT(text, HasSubstr("node gw2 at 192.0.2.3:4712: SILENT for 900 ms\n"));
  EXPECT_THAT(text, HasSubstr("group vpn: waking, owner gw1 since"));
  EXPECT_THAT(text, HasSubstr("40 SAs, 5 wait for numbers; got 2 times, lost 1 times\n"));
  EXPECT_THAT(text, HasSubstr("silence 161.3 ms, transaction 8.2 ms, numbers of 40 SAs 31.0 ms\n"));
  EXPECT_TRUE(ClusterIsWell(cluster));
}

TEST(ClusterCommandTest, TheTextSaysWhatIsAmiss) {
  ClusterReport report = Sample();
  report.store_away = true;
  report.store_fault = "no answer";
  report.has_lease = false;
  report.went_back = "an older revision";
  report.refused_entries = 2;
  const Json cluster = ToJson(report);
  const std::string text = ClusterText(cluster);
  EXPECT_THAT(text, HasSubstr("store GIVES NOTHING: no answer\n"));
  EXPECT_THAT(text, HasSubstr("lease NONE"));
  EXPECT_THAT(text, HasSubstr("store LOST what it had confirmed: an older revision"));
  EXPECT_THAT(text, HasSubstr("2 entries of the store REFUSED"));
  EXPECT_FALSE(ClusterIsWell(cluster));
}

TEST(ClusterCommandTest, MetricsAreThereInAClusterOnly) {
  Readings input;
  EXPECT_THAT(MetricsText(input), Not(HasSubstr("cygnet_cluster")));
  input.of(Reading::kCluster) = {ToJson(Sample())};
  const std::string text = MetricsText(input);
  for (const char* line :
       {"cygnet_cluster_store_away 0", "cygnet_cluster_lease 1", "cygnet_cluster_era 3",
        "cygnet_cluster_peer_heard{node=\"gw2\"} 0", "cygnet_cluster_group_active{group=\"vpn\"} 1",
        "cygnet_cluster_group_epoch{group=\"vpn\"} 7", "cygnet_cluster_group_sas{group=\"vpn\"} 40",
        "cygnet_cluster_group_gained_total{group=\"vpn\"} 2",
        "cygnet_cluster_group_lost_total{group=\"vpn\"} 1"}) {
    EXPECT_THAT(text, HasSubstr(std::string(line) + "\n"));
  }
}

}  // namespace
}  // namespace cygnet
