#include "cli/sums.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

Json Sa(const char* direction, const char* peer, const char* effective, const char* reason) {
  const bool in = std::string_view(direction) == "in";
  return {{"src", in ? peer : "192.0.2.1"},
          {"dst", in ? "192.0.2.1" : peer},
          {"usage", {{"packets", 10}, {"bytes", 1000}}},
          {"drops", {{"in-auth-failed", 2}, {"in-replay-old", 1}}},
          {"placements",
           {{{"direction", direction},
             {"effective", effective},
             {"device", "nic0"},
             {"engine", "openssl"},
             {"reason", reason}}}}};
}

SaSums Sums(const char* by) {
  SaSums sums(by);
  sums.Add(Sa("out", "192.0.2.2", "crypto", "requested"));
  sums.Add(Sa("in", "192.0.2.2", "software", "table-full"));
  sums.Add(Sa("out", "192.0.2.3", "software", "table-full"));
  return sums;
}

TEST(SumsTest, OfAPeerAreBothDirections) {
  const Json json = Sums("peer").AsJson();
  EXPECT_EQ(json["groups"][0].dump(),
            R"({"name":"192.0.2.2","sas":2,"packets":20,"bytes":2000,"drops":6})");
  EXPECT_EQ(json["groups"][1]["name"], "192.0.2.3");
  EXPECT_EQ(json["total"].dump(), R"({"sas":3,"packets":30,"bytes":3000,"drops":9})");
}

TEST(SumsTest, AreBySeatAndByReason) {
  const Json seats = Sums("device").AsJson();
  EXPECT_EQ(seats["groups"][0]["name"], "openssl software");
  EXPECT_EQ(seats["groups"][1]["name"], "nic0 crypto");
  EXPECT_EQ(Sums("reason").AsJson()["groups"][0]["name"], "table-full");
}

// The groups add up to the total.
TEST(SumsTest, AnSaWithTwoHalvesIsInOneGroup) {
  Json sa = Sa("out", "192.0.2.2", "crypto", "requested");
  sa["placements"].push_back(Sa("in", "", "software", "table-full")["placements"][0]);
  SaSums sums("device");
  sums.Add(sa);
  EXPECT_EQ(sums.AsJson()["groups"][0]["name"], "nic0 crypto, openssl software");
  EXPECT_EQ(sums.AsJson()["groups"].size(), 1u);
}

TEST(SumsTest, AsTextHaveAHeadAndATotal) {
  EXPECT_EQ(Sums("peer").AsText(),
            "peer      SAs packets bytes drops\n"
            "192.0.2.2   2      20  2000     6\n"
            "192.0.2.3   1      10  1000     3\n"
            "total       3      30  3000     9\n");
  EXPECT_EQ(SaSums("peer").AsJson()["total"]["sas"], 0);
}

}  // namespace
}  // namespace cygnet
