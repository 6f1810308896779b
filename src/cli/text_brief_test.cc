// -br: one line for each entry, in 80 columns with IPv4 addresses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "cli/text.h"
#include "daemon/operator/report_json.h"
#include "support/fake_operator_control.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;

std::string Brief(Object object, const std::vector<Json>& items, bool statistics = false) {
  Arguments arguments;
  arguments.object = object;
  arguments.statistics = statistics;
  return BriefText(arguments, items, Ink());
}

Json SampleSa(uint32_t spi = 0x1000) {
  return ToJson(test::SampleSaReport(spi), KeyVisibility::kHidden);
}

TEST(BriefTest, AnSaIsOneLine) {
  EXPECT_EQ(Brief(Object::kSa, {SampleSa()}),
            "0x00001000 out crypto nic0 valid 3 192.0.2.1 192.0.2.2\n");
  EXPECT_EQ(Brief(Object::kSa, {SampleSa()}, /*statistics=*/true),
            "0x00001000 out crypto nic0 valid 10 840B 3 192.0.2.1 192.0.2.2\n");
  EXPECT_EQ(Brief(Object::kSa, {}), "");
}

TEST(BriefTest, TheLongestIpv4SaFitsEightyColumns) {
  Json sa = SampleSa();
  sa["src"] = "192.168.100.200";
  sa["dst"] = "192.168.100.201";
  sa["state"] = "expired";
  sa["drops"] = {{"in-auth-failed", ~uint64_t{0} / 2}};
  sa["placements"][0]["effective"] = "look-aside";
  sa["placements"][0]["engine"] = "thread_offload_with_a_long_name";
  const std::string line = Brief(Object::kSa, {sa});
  EXPECT_LE(line.size(), 81u) << line;
  EXPECT_THAT(line, HasSubstr("look-aside thread~"));
}

// Long addresses come last: the other columns stay where they are.
TEST(BriefTest, Ipv6AddressesMoveNoColumn) {
  Json sa = SampleSa();
  sa["src"] = "2001:db8:1111:2222:3333:4444:5555:6666";
  const std::string text = Brief(Object::kSa, {SampleSa(), sa});
  std::istringstream lines(text);
  std::string first;
  std::string second;
  std::getline(lines, first);
  std::getline(lines, second);
  EXPECT_EQ(first.substr(0, 35), second.substr(0, 35));
}

TEST(BriefTest, TwoHalvesInTwoPlacesAreOneLine) {
  Json sa = SampleSa();
  sa["placements"].push_back(sa["placements"][0]);
  EXPECT_THAT(Brief(Object::kSa, {sa}), HasSubstr(" any crypto nic0 "));
  sa["placements"][1]["effective"] = "software";
  EXPECT_THAT(Brief(Object::kSa, {sa}), HasSubstr(" any crypto+software "));
  sa["placements"] = Json::array();
  EXPECT_THAT(Brief(Object::kSa, {sa}), HasSubstr("0x00001000 - - valid"));
}

TEST(BriefTest, OtherObjectsAreOneLineEach) {
  EXPECT_EQ(Brief(Object::kDevice, {ToJson(test::SampleDeviceReport())}),
            "nic0 up link-no-carrier sim_nic crypto 1+0/8 SAs 1 keys eth1\n");
  EXPECT_EQ(Brief(Object::kEngine, {ToJson(test::SampleEngineReport())}),
            "openssl cpu in-use/1 2 halves 3 jobs 3.0\n");
  PolicyReport policy;
  policy.spec.selector.family = IpFamily::kV4;
  policy.spec.action = PolicyAction::kBlock;
  EXPECT_THAT(Brief(Object::kPolicy, {ToJson(policy)}), HasSubstr(" block 0 - src 0.0.0.0/0"));
  EXPECT_EQ(Brief(Object::kStatSa, {SampleSa()}),
            "in-auth-failed 3 0x00001000 192.0.2.1 192.0.2.2\n");
  EXPECT_EQ(Brief(Object::kStat, {{{"xfrm", {{"XfrmInError", 0}}}, {"drops", {{"in-x", 12}}}}}),
            "in-x 12\n");
}

}  // namespace
}  // namespace cygnet
