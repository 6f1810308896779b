#include "daemon/fence/fence_means.h"

#include "daemon/fence/wire_link.h"
#include "daemon/fence/wire_tables.h"
#include "netlink/fence_name.h"
#include "netlink/tc_fence.h"
#include "support/fence_fixture.h"

namespace cygnet {
namespace {

class FenceMeansTest : public test::FenceTest {
 protected:
  static FenceMeans Means(FenceOwnership ownership = FenceOwnership::kOwned) {
    auto means = FenceMeans::Open(ownership);
    CYGNET_CHECK(means.has_value());
    return *std::move(means);
  }
};

TEST(FenceTableName, NoTwoInterfacesShareOne) {
  EXPECT_EQ(FenceTableName("eth1"), "cygnet_eth1");
  EXPECT_EQ(FenceTableName("w-0"), "cygnet_w_2d0");
  EXPECT_EQ(FenceTableName("w_0"), "cygnet_w_5f0");
  EXPECT_EQ(FenceTableName("w.0"), "cygnet_w_2e0");
  EXPECT_EQ(FenceTableName("w_2e0"), "cygnet_w_5f2e0");
  EXPECT_EQ(FenceTableName("\xff\""), "cygnet__ff_22");
}

TEST_F(FenceMeansTest, ShutsAndReleases) {
  FenceMeans means = Means();
  ASSERT_TRUE(LeavesBy("wa")) << "before";
  EXPECT_FALSE(means.Exists("wa"));
  const Status shut = means.Shut("wa");
  ASSERT_TRUE(shut) << shut.error().message;
  const FenceReading reading = means.Read("wa");
  EXPECT_TRUE(reading.shut && reading.complete) << reading.missing;
  EXPECT_TRUE(means.Exists("wa"));
  EXPECT_FALSE(LeavesBy("wa"));
  ASSERT_TRUE(means.Release("wa"));
  EXPECT_FALSE(means.Exists("wa"));
  EXPECT_FALSE(means.Read("wa").shut);
  EXPECT_TRUE(LeavesBy("wa")) << "released";
}

TEST_F(FenceMeansTest, NamesThatDifferInPunctuationAreShutEach) {
  FenceMeans means = Means();
  const std::string names[] = {"w-0", "w_0", "w.0", "w\"0", "w;}{0", "w\\0", "\xc3\xa4 1"};
  for (const std::string& name : names) {
    if (name.find(' ') != std::string::npos) continue;  // not a valid interface name
    ASSERT_TRUE(MakePair(name)) << name;
    const Status shut = means.Shut(name);
    ASSERT_TRUE(shut) << name << ": " << shut.error().message;
  }
  for (const std::string& name : names) {
    if (name.find(' ') != std::string::npos) continue;
    EXPECT_TRUE(means.Read(name).complete) << name;
    EXPECT_EQ(std::system(("ip addr add 198.51.100.1/24 dev '" + name + "'").c_str()), 0);
    EXPECT_FALSE(Run("ping -n -c 1 -W 0.2 -I '" + name + "' 198.51.100.2"));
  }
}

TEST_F(FenceMeansTest, NobodyElseTakesAnOwnedOneAway) {
  FenceMeans means = Means();
  ASSERT_TRUE(means.Shut("wa"));
  if (!means.owned()) GTEST_SKIP() << "this kernel has no owned tables that persist";
  EXPECT_TRUE(Nft("flush ruleset"));
  EXPECT_FALSE(Nft("delete table netdev cygnet_wa"));
  EXPECT_FALSE(Nft("flush table netdev cygnet_wa"));
  EXPECT_FALSE(Nft("add rule netdev cygnet_wa egress accept"));
  EXPECT_FALSE(Nft("delete chain netdev cygnet_wa egress"));
  EXPECT_TRUE(means.Read("wa").complete);
}

TEST_F(FenceMeansTest, StaysWhenTheProcessThatMadeItEnds) {
  for (const FenceOwnership ownership : {FenceOwnership::kOwned, FenceOwnership::kPlain}) {
    { ASSERT_TRUE(Means(ownership).Shut("wa")); }
    EXPECT_TRUE(Nft("list table netdev cygnet_wa"));
    EXPECT_FALSE(LeavesBy("wa"));
    FenceMeans next = Means();  // the next start takes it over
    ASSERT_TRUE(next.Shut("wa"));
    EXPECT_TRUE(next.Read("wa").complete);
  }
}

TEST_F(FenceMeansTest, EveryWayToChangeItIsSeen) {
  FenceMeans means = Means(FenceOwnership::kPlain);
  const char* const changes[] = {"flush ruleset",
                                 "delete table netdev cygnet_wa",
                                 "delete table inet cygnet_wa",
                                 "delete table arp cygnet_wa",
                                 "flush table inet cygnet_wa",
                                 "flush chain netdev cygnet_wa egress",
                                 "add rule netdev cygnet_wa egress accept",
                                 "insert rule netdev cygnet_wa ingress accept",
                                 "add chain netdev cygnet_wa ingress { policy accept ; }",
                                 "add table netdev cygnet_wa { flags dormant ; }"};
  for (const char* change : changes) {
    ASSERT_TRUE(means.Shut("wa"));
    ASSERT_TRUE(means.Read("wa").complete) << change;
    ASSERT_TRUE(Nft(change)) << change;
    const FenceReading reading = means.Read("wa");
    EXPECT_FALSE(reading.complete) << change;
    EXPECT_NE(reading.missing, "") << change;
  }
}

TEST_F(FenceMeansTest, TcShutsTheWireWhenNftablesIsEmptied) {
  FenceMeans means = Means(FenceOwnership::kPlain);
  ASSERT_TRUE(means.Shut("wa"));
  if (!means.Read("wa").by_tc) GTEST_SKIP() << "this kernel has no cls_bpf";
  ASSERT_TRUE(Nft("flush ruleset"));
  EXPECT_FALSE(means.Read("wa").shut);
  EXPECT_FALSE(LeavesBy("wa"));
  ASSERT_TRUE(Run("ip link set wa down") && Run("ip link set wa name wx") &&
              Run("ip link set wx up"));
  EXPECT_FALSE(LeavesBy("wx")) << "a new name does not remove it";
  ASSERT_TRUE(means.Release("wx"));
  EXPECT_TRUE(LeavesBy("wx"));
  EXPECT_FALSE(Run("tc qdisc show dev wx | grep clsact"));
}

TEST_F(FenceMeansTest, FiltersOfOthersStay) {
  FenceMeans means = Means();
  ASSERT_TRUE(Run("tc qdisc add dev wa clsact"));
  ASSERT_TRUE(Run("tc filter add dev wa ingress pref 7 bpf bytecode '1,6 0 0 0' da"));
  ASSERT_TRUE(means.Shut("wa"));
  ASSERT_TRUE(means.Release("wa"));
  EXPECT_TRUE(Run("tc filter show dev wa ingress | grep 'pref 7'"));
}

TEST_F(FenceMeansTest, AnInterfaceThatIsNotThereYetIsShutByItsName) {
  FenceMeans means = Means();
  const Status shut = means.Shut("late0");
  ASSERT_TRUE(shut) << shut.error().message;
  EXPECT_TRUE(means.Read("late0").shut);
  ASSERT_TRUE(Run("ip link del wa") && (pairs_ = 0, MakePair("late0")));
  EXPECT_FALSE(LeavesBy("late0"));
}

TEST_F(FenceMeansTest, TheNameAloneKeepsTheHostOff) {
  NftClient nft = *NftClient::Open();
  for (const NftTable& table : FenceByName("wa", 0, 0)) ASSERT_TRUE(nft.Replace(table));
  EXPECT_FALSE(LeavesBy("wa"));
  const uint64_t before = Received("peer0");
  EXPECT_FALSE(
      Run("ip neigh flush dev wa; ip addr add 198.51.100.1/24 dev wa; "
          "ping -n -c 1 -W 0.2 198.51.100.7"));
  EXPECT_EQ(Received("peer0"), before) << "no ARP either";
}

TEST_F(FenceMeansTest, IndexShutsARenamedInterface) {
  NftClient nft = *NftClient::Open();
  for (const NftTable& table : FenceByName("wa", if_nametoindex("wa"), 0)) {
    ASSERT_TRUE(nft.Replace(table));
  }
  ASSERT_TRUE(Run("ip link set wa down; ip link set wa name wx; ip link set wx up"));
  EXPECT_FALSE(LeavesBy("wx"));
}

TEST_F(FenceMeansTest, KernelsOwnAddressesGoAndPeoplesAreNamed) {
  FenceMeans means = Means();
  ASSERT_TRUE(Run("sysctl -w net.ipv6.conf.wa.disable_ipv6=0"));
  const uint32_t ifindex = if_nametoindex("wa");
  ASSERT_TRUE(Run("ip addr add fe80::77/64 dev wa nodad"));
  ASSERT_TRUE(Run("ip addr add 2001:db8::5/64 dev wa nodad"));
  ASSERT_TRUE(Run("ip addr add 192.0.2.5/24 dev wa"));
  ASSERT_TRUE(means.Shut("wa"));
  EXPECT_FALSE(Run("ip -6 addr show dev wa | grep fe80"));
  EXPECT_EQ(AddressesByPeople(&means.route(), ifindex), "192.0.2.5, 2001:db8::5");
  ASSERT_TRUE(Run("ip addr flush dev wa"));
  ASSERT_TRUE(means.Shut("wa"));
  EXPECT_TRUE(AddressesOn(&means.route(), ifindex).empty());
  EXPECT_TRUE(Run("test $(cat /proc/sys/net/ipv6/conf/wa/accept_ra) = 0"));
  EXPECT_TRUE(Run("test $(cat /proc/sys/net/ipv6/conf/wa/autoconf) = 0"));
  EXPECT_TRUE(Run("test $(cat /proc/sys/net/ipv6/conf/wa/addr_gen_mode) = 1"));
  EXPECT_TRUE(Run("test $(cat /proc/sys/net/ipv6/conf/wa/disable_ipv6) = 1"));
  ASSERT_TRUE(means.Release("wa"));
  EXPECT_TRUE(Run("test $(cat /proc/sys/net/ipv6/conf/wa/disable_ipv6) = 0"));
}

}  // namespace
}  // namespace cygnet
