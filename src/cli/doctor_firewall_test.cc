#include "cli/doctor_firewall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// As printed by nft 1.0.6.
std::vector<std::string> FoundIn(const std::string& expression) {
  return IpsecRulesIn(Json::parse(
      R"({"nftables":[{"metainfo":{}},{"table":{"family":"ip","name":"t"}},{"rule":{"family":"ip",)"
      R"("table":"t","chain":"c","handle":7,"expr":[)" +
      expression + R"(,{"accept":null}]}}]})"));
}

TEST(DoctorFirewallTest, FindsEachWayToAskForIpsec) {
  const std::string where = "table ip t, chain c, handle 7: ";
  EXPECT_THAT(
      FoundIn(
          R"({"match":{"op":"==","left":{"ipsec":{"key":"reqid","dir":"in","spnum":0}},"right":1}})"),
      ElementsAre(where + "ipsec in"));
  EXPECT_THAT(FoundIn(R"({"match":{"op":"==","left":{"meta":{"key":"ipsec"}},"right":true}})"),
              ElementsAre(where + "meta ipsec"));
  EXPECT_THAT(FoundIn(R"({"match":{"op":"==","left":{"meta":{"key":"secpath"}},"right":true}})"),
              ElementsAre(where + "meta ipsec"));
  EXPECT_THAT(FoundIn(R"({"match":{"op":"==","left":{"rt":{"key":"ipsec"}},"right":true}})"),
              ElementsAre(where + "rt ipsec"));
  EXPECT_THAT(FoundIn(R"({"xt":{"type":"match","name":"policy"}})"),
              ElementsAre(where + "-m policy"));
  EXPECT_THAT(FoundIn(R"({"vmap":{"key":{"concat":[{"meta":{"key":"iifname"}},)"
                      R"({"meta":{"key":"ipsec"}}]},"data":"@m"}})"),
              ElementsAre(where + "meta ipsec"));
}

TEST(DoctorFirewallTest, OtherRulesAreNone) {
  EXPECT_THAT(FoundIn(R"({"match":{"op":"==","left":{"meta":{"key":"oifname"}},"right":"ipsec"}})"),
              IsEmpty());
  EXPECT_THAT(FoundIn(R"({"xt":{"type":"match","name":"conntrack"}},{"xt":null})"), IsEmpty());
  EXPECT_THAT(IpsecRulesIn(Json::parse("{}")), IsEmpty());
  EXPECT_THAT(IpsecRulesIn(Json::parse(R"({"nftables":[null,1,{"rule":null}]})")), IsEmpty());
}

TEST(DoctorFirewallTest, FindsPolicyMatchesOfIptables) {
  EXPECT_THAT(
      PolicyRulesIn("# x\n*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -o e -m policy "
                    "--dir out --pol ipsec -j ACCEPT\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n"
                    "*filter\n-A INPUT -m policy --dir in --pol ipsec -j ACCEPT"),
      ElementsAre("table nat: -A POSTROUTING -o e -m policy --dir out --pol ipsec -j ACCEPT",
                  "table filter: -A INPUT -m policy --dir in --pol ipsec -j ACCEPT"));
  EXPECT_THAT(PolicyRulesIn(""), IsEmpty());
}

TEST(DoctorFirewallTest, FindsChainsThatInsideInterfacesPassBy) {
  EXPECT_THAT(
      ForwardChainsIn(Json::parse(
          R"({"nftables":[{"chain":{"family":"inet","table":"t","name":"f","hook":"forward",)"
          R"("policy":"accept"}},{"chain":{"family":"ip","table":"t","name":"d","hook":"forward",)"
          R"("policy":"drop"}},{"chain":{"family":"ip","table":"t","name":"empty","hook":)"
          R"("forward","policy":"accept"}},{"chain":{"family":"ip","table":"t","name":"i",)"
          R"("hook":"input"}},{"rule":{"family":"inet","table":"t","chain":"f","expr":[]}},)"
          R"({"rule":{"family":"ip","table":"t","chain":"i","expr":[]}}]})")),
      ElementsAre("table inet t, chain f", "table ip t, chain d"));
  EXPECT_TRUE(FiltersForwarded("*filter\n:FORWARD DROP [0:0]\nCOMMIT\n"));
  EXPECT_TRUE(FiltersForwarded("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j X\nCOMMIT\n"));
  EXPECT_FALSE(FiltersForwarded("*filter\n:FORWARD ACCEPT [0:0]\n-A INPUT -j X\nCOMMIT\n"));
}

}  // namespace
}  // namespace cygnet
