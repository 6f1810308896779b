// Forms of reports: brief, sums, JSON in lines, colours.
#include "cli/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/watch.h"
#include "support/command_test.h"

namespace cygnet {
namespace {

using test::Outcome;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using ReportTest = test::CommandTest;

TEST_F(ReportTest, JsonIsCompactOrPretty) {
  EXPECT_THAT(Run({"sa", "-j"}).out, StartsWith("[\n{\"src\":\"192.0.2.1\","));
  const std::string pretty = Run({"sa", "-j", "-p"}).out;
  EXPECT_THAT(pretty, StartsWith("[\n    {\n        \"src\": \"192.0.2.1\",\n"));
  EXPECT_EQ(Json::parse(pretty), Json::parse(Run({"-j", "sa"}).out));
  EXPECT_THAT(Run({"-j", "-p", "stat"}).out,
              StartsWith("{\n    \"xfrm\": {\n        \"XfrmInError\""));
  EXPECT_EQ(Run({"-j", "-p", "sa", "spi", "5"}).out, "[]\n");
}

TEST_F(ReportTest, PrintsBriefListsAndSums) {
  EXPECT_EQ(Run({"sa", "-br"}).out,
            "0x00001000 out crypto nic0 valid 3 192.0.2.1 192.0.2.2\n"
            "0x00002000 out crypto nic0 valid 3 192.0.2.1 192.0.2.2\n");
  EXPECT_EQ(Run({"sa", "-br", "-c", "spi", "0x2000"}).out,
            "0x00002000 out \033[32mcrypto nic0\033[0m \033[32mvalid\033[0m "
            "\033[31m3\033[0m 192.0.2.1 192.0.2.2\n");
  EXPECT_THAT(Run({"sa", "--sum", "reason"}).out, HasSubstr("requested   2"));
  EXPECT_EQ(Json::parse(Run({"sa", "--sum", "peer", "-j"}).out)["total"]["sas"], 2);
  EXPECT_EQ(Run({"policy", "-br"}).out, "");
}

TEST_F(ReportTest, StatisticsAlsoHaveWhatDidNotHappen) {
  control_.sas[0].drops.clear();
  EXPECT_THAT(Run({"sa", "spi", "0x1000"}).out, Not(HasSubstr("drops")));
  EXPECT_THAT(Run({"sa", "spi", "0x1000", "-s"}).out, HasSubstr("\tdrops none\n"));
}

TEST(WatchTest, TheTopOfALongListStaysOnTheScreen) {
  EXPECT_EQ(FirstRows("a\nb\nc\n", 2, 80), "a\nb\n");
  EXPECT_EQ(FirstRows("a\nb\n", 5, 80), "a\nb\n");
  EXPECT_EQ(FirstRows("12345678901\nb\n", 2, 10), "12345678901\n");
  EXPECT_EQ(FirstRows("\033[32m1234567890\033[0m\nb\n", 2, 10), "\033[32m1234567890\033[0m\nb\n");
  EXPECT_EQ(FirstRows("\t123\nb\nc\n", 3, 10), "\t123\nb\n");
  EXPECT_EQ(FirstRows("no end", 1, 80), "no end");
  EXPECT_EQ(FirstRows("", 1, 80), "");
}

TEST_F(ReportTest, ListsOrdersInForce) {
  EXPECT_EQ(Run({"offload"}).err, "cygnet: no order of an operator is in force\n");
  control_.orders_in_force = {
      {.kind = "device", .name = "nic0", .mark = {.uid = 0, .pid = 7, .since = 1'700'000'000}},
      {.kind = "placement",
       .placement = {.spi = Spi{0x1000}, .mode = PlacementMode::kNo, .pinned = true},
       .mark = {}}};
  const Outcome outcome = Run({"offload", "list"});
  EXPECT_THAT(outcome.out, StartsWith("device nic0: disabled\n\tsince "));
  EXPECT_THAT(outcome.out, HasSubstr("by root (process 7)\n"
                                     "\tuntil \"cygnet offload enable dev nic0\" or the end of"));
  EXPECT_THAT(outcome.out, HasSubstr("placement spi 0x00001000: mode no pin\n"));
  EXPECT_THAT(outcome.out, HasSubstr("unset spi 0x00001000\", the end of the SA or the end of"));
  EXPECT_EQ(Json::parse(Run({"offload", "-j"}).out)[0]["uid"], 0);
}

}  // namespace
}  // namespace cygnet
