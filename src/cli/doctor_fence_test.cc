#include "cli/doctor_fence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netfilter.h>

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST(DoctorFenceTest, FindsWiresByTheirTables) {
  EXPECT_THAT(FencesIn({{NFPROTO_NETDEV, "cygnet_eth1"},
                        {NFPROTO_INET, "cygnet_eth1"},
                        {NFPROTO_ARP, "cygnet_w_2d0"},
                        {NFPROTO_IPV4, "nat"},
                        {NFPROTO_IPV4, "cygnet_w-0"}}),
              ElementsAre(Pair("eth1", ElementsAre("nftables netdev", "nftables inet")),
                          Pair("w-0", ElementsAre("nftables arp"))));
}

TEST(DoctorFenceTest, IgnoresTablesOfOthers) {
  EXPECT_THAT(FencesIn({{NFPROTO_INET, ""}, {NFPROTO_INET, "cygnet"}}), IsEmpty());
}

}  // namespace
}  // namespace cygnet
