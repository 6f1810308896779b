// Metrics: the text format and the source of each number.
#include "client/metrics.h"

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

Readings SampleInput() {
  Readings input;
  input.of(Reading::kSas) = {ToJson(test::SampleSaReport(), KeyVisibility::kHidden)};
  input.of(Reading::kDevices) = {ToJson(test::SampleDeviceReport())};
  input.of(Reading::kEngines) = {ToJson(test::SampleEngineReport())};
  KeyEntry held = test::SampleKeyEntry();
  held.until_ms = 0;
  input.of(Reading::kKeysHeld) = {ToJson(held), ToJson(test::SampleKeyEntry()),
                                  ToJson(test::SampleLedgerReport())};
  input.of(Reading::kStat) = {Json::parse(R"({"xfrm": {"XfrmInError": 1}, "drops": {"nested": 2},
                               "uptime_seconds": 3, "workers": 4})")};
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
        "cygnet_host_side_present{device=\"nic0\",state=\"present\"} 1",
        "cygnet_link_changes_total{device=\"nic0\"} 3", "cygnet_uptime_seconds 3"}) {
    EXPECT_THAT(text, HasSubstr("\n" + std::string(line) + "\n"));
  }
}

// Each name appears once, with HELP and TYPE before its samples. Only counters end in _total.
TEST(MetricsTest, FollowsTheFormat) {
  std::istringstream lines(MetricsText(SampleInput()));
  const std::regex sample(R"re(([a-z_]+)(\{([a-z]+="([^"\\]|\\.)*",?)+\})? [0-9.e+-]+)re");
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
  Readings input;
  input.of(Reading::kStat) = {Json::parse(R"({"drops": {"a\"b\\c\nd": 1}})")};
  EXPECT_THAT(MetricsText(input), HasSubstr("{reason=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

TEST(MetricsTest, FencesAreCounted) {
  Readings input;
  input.of(Reading::kDevices) = {
      Json::parse(R"({"name": "nic0", "fence": {"state": "in-force", "restored": 3}})"),
      Json::parse(R"({"name": "nic1", "fence": {"state": "broken", "restored": 0}})")};
  const std::string text = MetricsText(input);
  EXPECT_THAT(text, HasSubstr("cygnet_wire_fenced{device=\"nic0\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("cygnet_wire_fenced{device=\"nic1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("cygnet_fence_restored_total{device=\"nic0\"} 3\n"));
}

TEST(MetricsTest, DeviceThatCannotOffloadHasNoSlots) {
  Readings input;
  input.of(Reading::kDevices) = {Json::parse(R"({"name": "eth0", "offload": {"capable": false}})")};
  const std::string text = MetricsText(input);
  EXPECT_THAT(text, HasSubstr("cygnet_port_packets_total{device=\"eth0\""));
  EXPECT_THAT(text, Not(HasSubstr("cygnet_device_")));
}

Json SaWith(const char* spi, uint64_t bytes, uint64_t window_for_all) {
  return {{"src", "192.0.2.1"},
          {"dst", "192.0.2.2"},
          {"spi", spi},
          {"state", "valid"},
          {"replay_window", 64},
          {"window_for_all", window_for_all},
          {"replay", {{"oseq", 1u << 30}, {"seq", 0}}},
          {"usage", {{"bytes", bytes}, {"packets", 7}}},
          {"placements", Json::array({{{"direction", "out"},
                                       {"requested", "crypto"},
                                       {"effective", "software"},
                                       {"engine", "openssl"},
                                       {"reason", "device-lost"}}})}};
}

TEST(MetricsTest, SingleSasAreBounded) {
  Readings input;
  input.of(Reading::kSas) = {SaWith("0x00000001", 10, 1), SaWith("0x00000002", 30, 128),
                             SaWith("0x00000003", 20, 1)};
  EXPECT_THAT(MetricsText(input), Not(HasSubstr("cygnet_sa_bytes_total")));
  const std::string text = MetricsText(input, {.per_sa = 2});
  EXPECT_THAT(text, HasSubstr("cygnet_sa_bytes_total{src=\"192.0.2.1\",dst=\"192.0.2.2\","
                              "spi=\"0x00000002\"} 30\n"));
  EXPECT_THAT(text, HasSubstr("spi=\"0x00000003\"} 20\n"));
  EXPECT_THAT(text, Not(HasSubstr("spi=\"0x00000001\"")));
  EXPECT_THAT(text, HasSubstr("cygnet_sas_not_listed 1\n"));
}

TEST(MetricsTest, SumsOfSasShowWhatAlertsAskFor) {
  Readings input;
  input.of(Reading::kSas) = {SaWith("0x00000001", 10, 1), SaWith("0x00000002", 30, 128)};
  const std::string text = MetricsText(input);
  EXPECT_THAT(text, HasSubstr("cygnet_sas_replay_window_short 1\n"));
  EXPECT_THAT(text, HasSubstr("cygnet_sa_numbers_used_ratio 0.25\n"));
  EXPECT_THAT(text, HasSubstr("cygnet_sa_halves_not_offloaded{requested=\"crypto\","
                              "reason=\"device-lost\"} 2\n"));
}

TEST(MetricsTest, NodeExportersNamesOnRequest) {
  EXPECT_THAT(MetricsText(SampleInput()), Not(HasSubstr("node_xfrm")));
  EXPECT_THAT(MetricsText(SampleInput(), {.node_exporter_names = true}),
              HasSubstr("\nnode_xfrm_in_error_packets_total 1\n"));
}

}  // namespace
}  // namespace cygnet
