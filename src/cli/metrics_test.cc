// Metrics: the text format and the source of each number.
#include "cli/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

#include "daemon/operator/report_json.h"
#include "support/fake_operator_control.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

MetricsInput SampleInput() {
  MetricsInput input;
  input.sas = {ToJson(test::SampleSaReport(), KeyVisibility::kHidden)};
  input.devices = {ToJson(test::SampleDeviceReport())};
  input.engines = {ToJson(test::SampleEngineReport())};
  KeyEntry held = test::SampleKeyEntry();
  held.until_ms = 0;
  input.ledger = {ToJson(held), ToJson(test::SampleKeyEntry()), ToJson(test::SampleLedgerReport())};
  input.stat = Json::parse(R"({"xfrm": {"XfrmInError": 1}, "drops": {"nested": 2},
                               "uptime_seconds": 3, "workers": 4})");
  return input;
}

TEST(MetricsTest, TakesNumbersFromTheReports) {
  const std::string text = MetricsText(SampleInput());
  for (const char* line :
       {"cygnet_sas{state=\"valid\"} 1", "cygnet_device_up{device=\"nic0\",state=\"up\"} 1",
        "cygnet_device_sa_slots_used{device=\"nic0\",direction=\"out\"} 1",
        "cygnet_device_sa_slots_limit{device=\"nic0\",direction=\"in\"} 8",
        "cygnet_device_sa_slots_high_water{device=\"nic0\"} 2",
        "cygnet_device_receive_addresses_used{device=\"nic0\"} 1",
        "cygnet_device_receive_addresses_limit{device=\"nic0\"} 4",
        "cygnet_packets_sealed_total{device=\"nic0\"} 3",
        "cygnet_packets_returned_total{device=\"nic0\"} 9",
        "cygnet_engine_jobs_total{engine=\"openssl\"} 3",
        "cygnet_port_packets_total{device=\"nic0\",side=\"wire\",direction=\"tx\"} 8",
        "cygnet_key_holders{holder=\"nic0\",kind=\"device\"} 1", "cygnet_ledger_dropped_total 2",
        "cygnet_drops_total{reason=\"nested\"} 2", "cygnet_xfrm_stat_total{name=\"XfrmInError\"} 1",
        "cygnet_link_up{device=\"nic0\",wire=\"eth1\",state=\"no-carrier\"} 0",
        "cygnet_link_changes_total{device=\"nic0\"} 3", "cygnet_uptime_seconds 3"}) {
    EXPECT_THAT(text, HasSubstr("\n" + std::string(line) + "\n"));
  }
}

// Each name appears once, with HELP and TYPE before its samples. Only counters end in _total.
TEST(MetricsTest, FollowsTheFormat) {
  std::istringstream lines(MetricsText(SampleInput()));
  const std::regex sample(R"re(([a-z_]+)(\{([a-z]+="([^"\\]|\\.)*",?)+\})? [0-9]+)re");
  std::set<std::string> seen;
  std::string current;
  std::string type;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string hash, keyword, name;
    words >> hash >> keyword >> name;
    if (line.starts_with("# HELP ")) {
      EXPECT_TRUE(seen.insert(name).second) << name;
      current = name;
    } else if (line.starts_with("# TYPE ")) {
      EXPECT_EQ(name, current);
      words >> type;
      EXPECT_EQ(type == "counter", name.ends_with("_total")) << name;
    } else {
      std::smatch match;
      ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
      EXPECT_EQ(match[1], current);
    }
  }
  EXPECT_GT(seen.size(), 30u);
}

TEST(MetricsTest, EscapesLabels) {
  MetricsInput input;
  input.stat = Json::parse(R"({"drops": {"a\"b\\c\nd": 1}})");
  EXPECT_THAT(MetricsText(input), HasSubstr("{reason=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

TEST(MetricsTest, FencesAreCounted) {
  MetricsInput input;
  input.devices = {
      Json::parse(R"({"name": "nic0", "fence": {"state": "in-force", "restored": 3}})"),
      Json::parse(R"({"name": "nic1", "fence": {"state": "broken", "restored": 0}})")};
  const std::string text = MetricsText(input);
  EXPECT_THAT(text, HasSubstr("cygnet_wire_fenced{device=\"nic0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("cygnet_wire_fenced{device=\"nic1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("cygnet_fence_restored_total{device=\"nic0\"} 3\n"));
}

TEST(MetricsTest, DeviceThatCannotOffloadHasNoSlots) {
  MetricsInput input;
  input.devices = {Json::parse(R"({"name": "eth0", "offload": {"capable": false}})")};
  const std::string text = MetricsText(input);
  EXPECT_THAT(text, HasSubstr("cygnet_port_packets_total{device=\"eth0\""));
  EXPECT_THAT(text, Not(HasSubstr("cygnet_device_")));
}

}  // namespace
}  // namespace cygnet
