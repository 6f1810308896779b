#include "cli/doctor_fence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST(DoctorFenceTest, TellsWiresByTheirTables) {
  const Json ruleset = Json::parse(
      R"({"nftables":[{"metainfo":{}},{"table":{"family":"netdev","name":"cygnet_eth1"}},)"
      R"({"table":{"family":"inet","name":"cygnet_eth1"}},{"table":{"family":"arp","name":)"
      R"("cygnet_w_2d0"}},{"table":{"family":"ip","name":"nat"}},{"table":{"family":"ip",)"
      R"("name":"cygnet_w-0"}},{"chain":{"family":"inet","table":"cygnet_x","name":"cygnet_y"}}]})");
  EXPECT_THAT(FencesIn(ruleset),
              ElementsAre(Pair("eth1", ElementsAre("nftables netdev", "nftables inet")),
                          Pair("w-0", ElementsAre("nftables arp"))));
}

TEST(DoctorFenceTest, TakesWhatItDoesNotKnow) {
  EXPECT_THAT(FencesIn(Json::parse(R"({"nftables":[null,1,{"table":null},{"table":{"name":7}}]})")),
              IsEmpty());
  EXPECT_THAT(FencesIn(Json(Json::value_t::discarded)), IsEmpty());
}

}  // namespace
}  // namespace cygnet
