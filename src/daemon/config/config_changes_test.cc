#include "daemon/config/config_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

PlacementRuleConfig Rule(const std::string& name) {
  PlacementRuleConfig rule;
  rule.name = name;
  return rule;
}

TEST(ConfigChangesTest, NothingDiffersFromItself) {
  Config config = DefaultConfig("eth1");
  config.placement.push_back(Rule("a"));
  const ConfigChanges changes = CompareConfigs(config, config);
  EXPECT_THAT(changes.live, IsEmpty());
  EXPECT_THAT(changes.restart, IsEmpty());
}

TEST(ConfigChangesTest, NamesEachKeyAndWhetherItIsTakenOver) {
  const Config before = DefaultConfig("eth1");
  Config after = before;
  after.workers = 2;
  after.log_level = LogLevel::kDebug;
  after.ike_bypass = !before.ike_bypass;
  after.pass_ether_types = {0x88cc};
  after.fips.boundary = "/etc/cygnet/b.toml";
  after.ledger.keep = 9;
  after.numbers.store = NumbersKept::kFile;
  after.audit.journal = false;
  after.devices[0].trusted = false;
  after.devices[0].allow = {"crypto"};
  after.devices[0].rekey_reserve = 3;
  after.devices[0].verify = 16;
  for (TomlEntry& entry : after.devices[0].options.entries) {
    if (entry.key == "sa_limit") entry.value = TomlValue(int64_t{7});
  }
  after.devices[0].wire = "eth2";
  after.scheduler.enabled = true;
  const ConfigChanges changes = CompareConfigs(before, after);
  EXPECT_THAT(changes.live,
              ElementsAre("audit.journal", "daemon.ike_bypass", "daemon.log_level",
                          "daemon.pass_ether_types", "device nic0.allow",
                          "device nic0.rekey_reserve", "device nic0.trusted", "device nic0.verify",
                          "fips.boundary", "scheduler.enabled"));
  EXPECT_THAT(changes.restart, ElementsAre("daemon.workers", "device nic0.sa_limit",
                                           "device nic0.wire", "ledger.keep", "numbers.store"));
}

// The window that depends on the workers was not set, so it is not a change of its own.
TEST(ConfigChangesTest, WorkersAloneAreOneChange) {
  const auto parse = [](const std::string& daemon) {
    const auto config =
        ParseConfig("[daemon]\n" + daemon + "[[device]]\nname = \"nic0\"\nwire = \"w\"\n", "f");
    EXPECT_TRUE(config);
    return *config;
  };
  const Config before = parse("workers = 1\n");
  ConfigChanges changes = CompareConfigs(before, parse("workers = 2\n"));
  EXPECT_THAT(changes.live, IsEmpty());
  EXPECT_THAT(changes.restart, ElementsAre("daemon.workers"));
  changes = CompareConfigs(before, parse("workers = 1\nreplay_window_min = 64\n"));
  EXPECT_THAT(changes.live, ElementsAre("daemon.replay_window_min"));
  EXPECT_THAT(changes.restart, IsEmpty());
}

TEST(ConfigChangesTest, InsideInterfacesNeedARestart) {
  const Config before = DefaultConfig("eth1");
  Config after = before;
  after.devices[0].inside = {"lan0"};
  EXPECT_THAT(CompareConfigs(before, after).restart, ElementsAre("device nic0.inside"));
  EXPECT_THAT(CompareConfigs(after, before).restart, ElementsAre("device nic0.inside"));
}

TEST(ConfigChangesTest, TheOrderOfRulesIsAChange) {
  Config before = DefaultConfig("eth1");
  before.placement = {Rule("a"), Rule("b")};
  Config after = before;
  std::swap(after.placement[0], after.placement[1]);
  EXPECT_THAT(CompareConfigs(before, after).live, ElementsAre("placement"));
  after.placement.clear();
  EXPECT_THAT(CompareConfigs(before, after).live, ElementsAre("placement"));
}

// A name with a dot in it (eth0.100) does not make a table of its own.
TEST(ConfigChangesTest, ADeviceThatCameOrWentIsOneChange) {
  const Config before = DefaultConfig("eth1");
  Config after = before;
  after.devices.push_back({.name = "nic1.5", .wire = "eth0.5"});
  EXPECT_THAT(CompareConfigs(before, after).restart, ElementsAre("device nic1.5"));
  EXPECT_THAT(CompareConfigs(after, before).restart, ElementsAre("device nic1.5"));
  Config changed = after;
  changed.devices[1].trusted = false;
  changed.devices[1].mtu = 1400;
  EXPECT_THAT(CompareConfigs(after, changed).live, ElementsAre("device nic1.5.trusted"));
  EXPECT_THAT(CompareConfigs(after, changed).restart, ElementsAre("device nic1.5.mtu"));
}

TEST(ConfigChangesTest, AClusterTakesEffectAtARestart) {
  const auto config = [](const std::string& rest) {
    const auto parsed = ParseConfig(
        "[cluster]\nname = \"c\"\nnode = \"n\"\nendpoints = [\"http://127.0.0.1:2379\"]\n"
        "heartbeat = \"192.0.2.2:4712\"\nsecret_file = \"/s\"\n"
        "[[device]]\nname = \"nic0\"\nwire = \"w\"\n"
        "[[cluster_group]]\nname = \"a\"\naddresses = [\"192.0.2.1/24 dev nic0\"]\n" +
            rest,
        "f");
    EXPECT_TRUE(parsed);
    return *parsed;
  };
  const Config before = config("");
  ConfigChanges changes = CompareConfigs(before, config("prefer = \"n\"\n"));
  EXPECT_THAT(changes.live, IsEmpty());
  EXPECT_THAT(changes.restart, ElementsAre("cluster_group a.prefer"));
  changes = CompareConfigs(
      before, config("[[cluster_group]]\nname = \"b\"\naddresses = [\"192.0.2.3/24 dev nic0\"]\n"));
  EXPECT_THAT(changes.restart, ElementsAre("cluster_group b"));
}

}  // namespace
}  // namespace cygnet
