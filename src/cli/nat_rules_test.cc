#include "cli/nat_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kTunnel[] = "src 10.1.0.0/16 dst 10.2.0.0/16";

Json Policy(const std::string& direction, const std::string& selector,
            const std::string& action = "allow") {
  return {{"dir", direction},
          {"selector", selector},
          {"action", action},
          {"templates", action == "allow" ? Json::array({{{"proto", "esp"}}}) : Json::array()}};
}

// The text of the rules that defeat a policy. The device is nic0 with 192.0.2.1.
std::vector<std::string> Found(const NatTable& table, const std::vector<Json>& policies) {
  const std::vector<PolicyTraffic> traffic = TrafficOf(policies);
  const std::vector<OutDevice> devices = {
      {.name = "nic0", .addresses = {*ParseRange("192.0.2.1"), *ParseRange("fe80::1")}}};
  std::vector<std::string> rules;
  for (const NatFinding& finding : FindTranslations(table, traffic, devices)) {
    rules.push_back(finding.rule);
  }
  return rules;
}

std::vector<std::string> InSaved(const std::string& rules,
                                 const std::vector<Json>& policies = {Policy("out", kTunnel)}) {
  return Found(ReadSavedNat("*nat\n" + rules + "COMMIT\n", AF_INET), policies);
}

bool Warns(const std::string& rules, const Json& policy = Policy("out", kTunnel)) {
  return !InSaved(rules, {policy}).empty();
}

// As printed by nft 1.0.6: one base chain and one regular chain.
std::vector<std::string> InNft(const std::vector<std::string>& expressions,
                               const std::vector<Json>& policies = {Policy("out", kTunnel)}) {
  Json list = Json::array();
  list.push_back(Json::parse(
      R"({"set":{"family":"ip","table":"n","name":"s","elem":[{"prefix":{"addr":"10.2.0.0","len":16}},)"
      R"({"range":["10.9.0.1","10.9.0.7"]},"10.8.0.1"]}})"));
  list.push_back(Json::parse(R"({"chain":{"family":"ip","table":"n","name":"post","type":"nat",)"
                             R"("hook":"postrouting","prio":100,"policy":"accept"}})"));
  uint64_t handle = 1;
  for (const std::string& expression : expressions) {
    list.push_back({{"rule",
                     {{"family", "ip"},
                      {"table", "n"},
                      {"chain", "post"},
                      {"handle", handle++},
                      {"expr", Json::parse("[" + expression + "]")}}}});
  }
  std::vector<std::string> found;
  for (const NatTable& table : ReadNatTables({{"nftables", list}})) {
    for (std::string& rule : Found(table, policies)) found.push_back(std::move(rule));
  }
  return found;
}

TEST(NatRulesTest, NamesTheRuleThatTakesThePolicysTraffic) {
  EXPECT_THAT(InSaved("-A POSTROUTING -o nic0 -j MASQUERADE\n"),
              ElementsAre("table nat: -A POSTROUTING -o nic0 -j MASQUERADE"));
  EXPECT_TRUE(Warns("-A POSTROUTING -j MASQUERADE\n"));
  EXPECT_TRUE(Warns("-A POSTROUTING -o nic+ -j SNAT --to-source 192.0.2.1:1024-2048\n"));
  EXPECT_TRUE(Warns("-A POSTROUTING ! -o eth0 -m comment --comment \"a -j b\" -j MASQUERADE\n"));
  EXPECT_TRUE(Warns("-A POSTROUTING -s 10.1.7.0/24 -m mark --mark 0x1 -j MASQUERADE\n"));
  EXPECT_TRUE(Warns("-A POSTROUTING ! -d 10.0.0.0/16 -o nic0 -j MASQUERADE\n"));
  EXPECT_TRUE(Warns("-A POSTROUTING -o nic0 -j NETMAP --to 10.7.0.0/16\n"));
}

TEST(NatRulesTest, OtherTrafficIsNone) {
  EXPECT_FALSE(Warns("-A POSTROUTING -o eth0 -j MASQUERADE\n"));
  EXPECT_FALSE(Warns("-A POSTROUTING ! -o nic0 -j MASQUERADE\n"));
  EXPECT_FALSE(Warns("-A POSTROUTING -s 192.168.0.0/16 ! -d 192.168.0.0/16 -j MASQUERADE\n"));
  EXPECT_FALSE(Warns("-A POSTROUTING ! -d 10.0.0.0/8 -o nic0 -j MASQUERADE\n"));
  EXPECT_FALSE(Warns("-A PREROUTING -j MASQUERADE\n-A OTHER -j MASQUERADE\n"));
  EXPECT_FALSE(Warns("-A POSTROUTING -o nic0 -j MASQUERADE\n", Policy("in", kTunnel)));
  EXPECT_FALSE(Warns("-A POSTROUTING -o nic0 -j MASQUERADE\n",
                     Policy("out", "src fd01::/16 dst fd02::/16")));
  Json bypass = Policy("out", kTunnel);
  bypass["templates"].clear();
  EXPECT_FALSE(Warns("-A POSTROUTING -o nic0 -j MASQUERADE\n", bypass));
  EXPECT_THAT(InSaved("-A POSTROUTING -o nic0 -j MASQUERADE\n", {}), IsEmpty());
}

TEST(NatRulesTest, AnExemptionBeforeTheRuleCountsAndOneBehindItDoesNot) {
  const std::string all = "-A POSTROUTING -o nic0 -j MASQUERADE\n";
  EXPECT_FALSE(Warns("-A POSTROUTING -d 10.2.0.0/16 -o nic0 -j ACCEPT\n" + all));
  EXPECT_FALSE(Warns("-A POSTROUTING -d 10.0.0.0/8 -j RETURN\n" + all));
  EXPECT_TRUE(Warns(all + "-A POSTROUTING -d 10.2.0.0/16 -j ACCEPT\n"));
  // A rule for a part of the traffic, or with an unknown condition, does not exempt all of it.
  EXPECT_TRUE(Warns("-A POSTROUTING -d 10.2.0.0/17 -j ACCEPT\n" + all));
  EXPECT_TRUE(Warns("-A POSTROUTING -d 10.2.0.0/16 -p tcp -m tcp --dport 5 -j ACCEPT\n" + all));
  EXPECT_TRUE(Warns("-A POSTROUTING -m policy --dir out --pol ipsec -j ACCEPT\n" + all));
}

TEST(NatRulesTest, ChainsAreFollowed) {
  const std::string sub = "-A SUB -d 10.2.0.0/16 -j RETURN\n-A SUB -j MASQUERADE\n";
  EXPECT_FALSE(Warns(sub + "-A POSTROUTING -j SUB\n"));
  EXPECT_TRUE(Warns(sub + "-A POSTROUTING -j SUB\n-A POSTROUTING -j MASQUERADE\n"));
  EXPECT_FALSE(Warns("-A SUB -j ACCEPT\n-A POSTROUTING -j SUB\n-A POSTROUTING -j MASQUERADE\n"));
  EXPECT_TRUE(Warns("-A SUB -j MASQUERADE\n-A POSTROUTING -o nic0 -g SUB\n"));
  EXPECT_FALSE(Warns("-A SUB -j MASQUERADE\n-A POSTROUTING -o eth0 -j SUB\n"));
  EXPECT_TRUE(Warns("-A POSTROUTING -j POSTROUTING\n-A POSTROUTING -j MASQUERADE\n"));
}

// The policy still matches if the new address is inside its selector.
TEST(NatRulesTest, ANewAddressThatThePolicyIsForChangesNothing) {
  const std::string all = "-A POSTROUTING -o nic0 -j MASQUERADE\n";
  EXPECT_FALSE(Warns(all, Policy("out", "src 192.0.2.1/32 dst 192.0.2.2/32")));
  EXPECT_FALSE(Warns(all, Policy("out", "src 0.0.0.0/0 dst 10.2.0.0/16")));
  EXPECT_FALSE(Warns("-A POSTROUTING -o nic0 -j SNAT --to-source 10.1.0.9\n"));
  EXPECT_TRUE(Warns("-A POSTROUTING -o nic0 -j SNAT --to-source 10.1.0.9-10.3.0.9\n"));
  // Direction fwd does not apply to the host's own packets.
  EXPECT_TRUE(Warns(all, Policy("fwd", "src 0.0.0.0/0 dst 10.2.0.0/16", "block")));
  EXPECT_TRUE(Warns(all, Policy("out", kTunnel, "block")));
}

TEST(NatRulesTest, ReadsWhatNftPrints) {
  const std::string nic0 =
      R"({"match":{"op":"==","left":{"meta":{"key":"oifname"}},"right":"nic0"}},)";
  const std::string to_set =
      R"({"match":{"op":"==","left":{"payload":{"protocol":"ip","field":"daddr"}},"right":"@s"}},)";
  const std::string masquerade = R"({"counter":{"packets":0}},{"masquerade":null})";
  const std::string where = "table ip n, chain post, handle ";
  EXPECT_THAT(InNft({nic0 + masquerade}), ElementsAre(where + "1: masquerade"));
  EXPECT_THAT(InNft({nic0 + to_set + R"({"accept":null})", nic0 + masquerade}), IsEmpty());
  EXPECT_THAT(InNft({to_set + R"({"snat":{"addr":"192.0.2.1"}})"}), ElementsAre(where + "1: snat"));
  EXPECT_THAT(InNft({R"({"match":{"op":"!=","left":{"meta":{"key":"oifname"}},"right":)"
                     R"({"set":["lo","nic*"]}}},)" +
                     masquerade}),
              IsEmpty());
  EXPECT_THAT(InNft({nic0 + R"({"xt":{"type":"target","name":"MASQUERADE"}})"}),
              ElementsAre(where + "1: MASQUERADE"));
  // A verdict map may exempt; it is not evaluated.
  EXPECT_THAT(InNft({R"({"vmap":{"key":{"meta":{"key":"mark"}},"data":"@m"}})", masquerade}),
              ElementsAre(where + "2: masquerade"));
  EXPECT_THAT(InNft({masquerade},
                    {Policy("out", "src 10.1.0.0/16 dst 10.8.0.1/32"), Policy("out", kTunnel)}),
              ElementsAre(where + "1: masquerade"));
  EXPECT_THAT(InNft({to_set + R"({"accept":null})", masquerade},
                    {Policy("out", "src 10.1.0.0/16 dst 10.9.0.0/24")}),
              ElementsAre(where + "2: masquerade"));
}

TEST(NatRulesTest, TakesWhatItDoesNotKnow) {
  EXPECT_THAT(ReadNatTables(Json::parse(R"({"nftables":[null,1,{"rule":null},{"chain":{}},)"
                                        R"({"rule":{"expr":[1,null,{"match":{}}]}}]})")),
              IsEmpty());
  EXPECT_THAT(InSaved("-A\n-A POSTROUTING\n-A POSTROUTING -j\n-A POSTROUTING -d x -j ACCEPT \"\n"),
              IsEmpty());
  EXPECT_FALSE(ParseRange("10.0.0.0/x"));
  EXPECT_FALSE(ParseRange("10.0.0.1-fd00::1"));
  EXPECT_FALSE(ParseRange(""));
}

}  // namespace
}  // namespace cygnet
