#include "daemon/fence/fence_command.h"

#include <gmock/gmock.h>

#include "daemon/fence/fence_means.h"
#include "netlink/doorstep.h"
#include "netlink/fence_name.h"
#include "support/fence_fixture.h"

namespace cygnet {
namespace {

class FenceCommandTest : public test::FenceTest {
 protected:
  static Config ConfigOf(const std::string& wire) { return DefaultConfig(wire); }
};

TEST(WiresNamedIn, AreThoseOfATextThatIsNoConfiguration) {
  EXPECT_EQ(WiresNamedIn("[[device]\nwire = \"eth1\"\n  wire='w.0' # x\nwire = \"a/b\"\n"
                         "#wire = \"eth9\"\nwired = \"no\"\nwire = \"longer than a name is\"\n"),
            (std::vector<std::string>{"eth1", "w.0"}));
  EXPECT_EQ(
      WiresNamedIn("device = [{name = \"a\", wire = \"e0\"}, {\"wire\"='e1'}]\n # wire = \"e9\"\n"),
      (std::vector<std::string>{"e0", "e1"}));
}

TEST_F(FenceCommandTest, ShutsWhatIsThereAndWhatIsNot) {
  ASSERT_TRUE(ShutWires({"wa", "late0"}));
  FenceMeans means = *FenceMeans::Open();
  EXPECT_TRUE(means.Exists("wa"));
  EXPECT_TRUE(means.Exists("late0"));
  EXPECT_FALSE(LeavesBy("wa"));
  ASSERT_TRUE(ShutWires({"wa", "late0"})) << "once more";
}

// nft's iifname and oifname never equal an alternative name.
TEST_F(FenceCommandTest, AnAlternativeNameIsRefusedAndItsInterfaceShut) {
  ASSERT_TRUE(Run("ip link property add dev wa altname enp3s0"));
  const Status status = ShutWires({"enp3s0"});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().message, "enp3s0: enp3s0 is another name of wa: write wa");
  EXPECT_TRUE(FenceMeans::Open()->Exists("wa"));
  EXPECT_FALSE(LeavesBy("wa"));
  ASSERT_TRUE(ReleaseWire("wa", nullptr));
  EXPECT_FALSE(FenceMeans::Open()->Exists("enp3s0")) << "nothing was made for the other name";
}

TEST_F(FenceCommandTest, TheLoopbackInterfaceIsNeverShut) {
  const Status status = ShutWires({"lo", "wa"});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, testing::HasSubstr("lo is the loopback interface"));
  EXPECT_FALSE(FenceMeans::Open()->Exists("lo"));
  EXPECT_TRUE(FenceMeans::Open()->Exists("wa")) << "the others are";
}

TEST_F(FenceCommandTest, GuardNoneIsNotFenced) {
  Config config = ConfigOf("wa");
  EXPECT_EQ(FencedWires(config), std::vector<std::string>{"wa"});
  config.devices[0].wire_fence = FenceMode::kNone;
  EXPECT_TRUE(FencedWires(config).empty());
}

TEST_F(FenceCommandTest, ReleasesByTheNameOfWireOrDevice) {
  const Config config = ConfigOf("wa");
  for (const char* name : {"wa", "nic0"}) {
    ASSERT_TRUE(ShutWires({"wa"}));
    const auto wire = ReleaseWire(name, &config);
    ASSERT_TRUE(wire) << wire.error().message;
    EXPECT_EQ(*wire, "wa");
    EXPECT_TRUE(LeavesBy("wa"));
  }
  const auto none = ReleaseWire("wa", nullptr);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message, "no fence of Cygnet's on 'wa'");
}

TEST_F(FenceCommandTest, ReleasesWhatOtherNamesOfTheWireLeft) {
  ASSERT_TRUE(ShutWires({"wa", "other0"}));
  ASSERT_TRUE(Run("ip link set wa down; ip link set wa name w-x; ip link set w-x up"));
  ASSERT_TRUE(ShutWires({"w-x"}));
  const auto wire = ReleaseWire("w-x", nullptr);
  ASSERT_TRUE(wire) << wire.error().message;
  EXPECT_TRUE(LeavesBy("w-x"));
  EXPECT_FALSE(FenceMeans::Open()->Exists("wa"));
  EXPECT_TRUE(FenceMeans::Open()->Exists("other0")) << "it belongs to another interface";
}

TEST_F(FenceCommandTest, ReleasesByANameThatTheFenceWasNotMadeWith) {
  ASSERT_TRUE(ShutWires({"wa"}));
  ASSERT_TRUE(Run("ip link set wa down; ip link set wa name wx; ip link set wx up"));
  (void)Run("tc qdisc del dev wx clsact");
  EXPECT_FALSE(LeavesBy("wx"));
  ASSERT_TRUE(ReleaseWire("wx", nullptr));
  EXPECT_TRUE(LeavesBy("wx"));
}

TEST_F(FenceCommandTest, AWireThatTookTheNameOfAnotherStaysShut) {
  ASSERT_TRUE(MakePair("wb"));
  ASSERT_TRUE(ShutWires({"wa", "wb"}));
  ASSERT_TRUE(
      Run("ip link set wa down; ip link set wb down; ip link set wa name wt; "
          "ip link set wb name wa; ip link set wt name wb; ip link set wa up; "
          "ip link set wb up"));
  ASSERT_TRUE(ReleaseWire("wa", nullptr));
  (void)Run("tc qdisc del dev wb clsact");
  EXPECT_TRUE(FenceMeans::Open()->Exists("wb"));
  EXPECT_FALSE(LeavesBy("wb")) << "it was not named";
}

TEST(WireOfTable, IsWhatTheNameWasMadeOf) {
  for (const char* wire : {"w0", "w_0", "w.0", "w*-0"}) {
    EXPECT_EQ(WireOfTable(FenceTableName(wire)), wire);
  }
  for (const char* table : {"filter", "cygnet_", "cygnet_a_", "cygnet_a_zz", "cygnet_a_2"}) {
    EXPECT_EQ(WireOfTable(table), "") << table;
  }
}

TEST_F(FenceCommandTest, NotWhileADaemonRuns) {
  ASSERT_TRUE(ShutWires({"wa"}));
  const auto instance = Doorstep::Claim();
  ASSERT_TRUE(instance);
  const auto wire = ReleaseWire("wa", nullptr);
  ASSERT_FALSE(wire);
  EXPECT_EQ(wire.error().code, Errc::kBusy);
  EXPECT_FALSE(LeavesBy("wa"));
}

TEST_F(FenceCommandTest, WhatARunningDaemonOwnsIsShutAlready) {
  const auto instance = Doorstep::Claim();
  FenceMeans daemon = *FenceMeans::Open();
  ASSERT_TRUE(daemon.Shut("wa"));
  EXPECT_TRUE(ShutWires({"wa"}));
  EXPECT_TRUE(daemon.Read("wa").complete);
}

}  // namespace
}  // namespace cygnet
