#include "device/host/tap_interface.h"

#include <sys/socket.h>

#include "support/port_fixture.h"

namespace cygnet {
namespace {

class TapInterfaceTest : public test::PortTest {
 protected:
  void SetUp() override {
    if (!OwnNetwork() || access("/dev/net/tun", R_OK | W_OK) != 0) {
      GTEST_SKIP() << "no TAP interface of our own";
    }
  }
  static TapParams Params(uint32_t queues, bool persist) {
    return {.name = "nic0",
            .queues = queues,
            .mtu = 1400,
            .mac = {2, 0, 0, 0, 0, 9},
            .persist = persist};
  }
  static bool Exists() { return Run("ip link show nic0"); }
  static bool Shows(const std::string& what) {
    return Run("ip addr show nic0 | grep -q '" + what + "'");
  }
  // Kept and closed.
  static void Leave(uint32_t queues) {
    auto tap = OpenTapInterface(Params(queues, true));
    ASSERT_TRUE(tap) << tap.error().message;
    ASSERT_TRUE(KeepTapInterface(tap->queues[0].get()));
    ASSERT_TRUE(Run("ip addr add 192.0.2.2/24 dev nic0"));
    ASSERT_TRUE(Run("ip route add 10.0.0.0/8 via 192.0.2.1 dev nic0"));
  }
  static std::string Refusal(const TapParams& params) {
    const auto tap = OpenTapInterface(params);
    return tap ? "" : tap.error().message;
  }
};

TEST_F(TapInterfaceTest, GoesWithItsDescriptorsUnlessKept) {
  for (const bool persist : {false, true}) {
    ASSERT_TRUE(OpenTapInterface(Params(2, persist)));
    EXPECT_FALSE(Exists()) << "not kept yet";
  }
}

TEST_F(TapInterfaceTest, OneThatStayedIsTakenUpWithAddressesAndRoutes) {
  Leave(1);
  EXPECT_TRUE(Shows("NO-CARRIER")) << "nobody has it open: nothing leaves by it";
  for (const uint32_t workers : {1u, 4u, 2u}) {  // for any number of workers
    auto tap = OpenTapInterface(Params(workers, true));
    ASSERT_TRUE(tap) << tap.error().message;
    EXPECT_EQ(tap->queues.size(), workers);
    EXPECT_FALSE(Shows("NO-CARRIER"));
    EXPECT_TRUE(Shows("192.0.2.2/24"));
    EXPECT_TRUE(Shows("02:00:00:00:00:09"));
    EXPECT_TRUE(Shows("mtu 1400"));
    EXPECT_TRUE(Run("ip route get 10.1.1.1 | grep -q 'dev nic0'"));
  }
  EXPECT_TRUE(Exists());
  EXPECT_TRUE(Run("ip link del nic0"));
}

TEST_F(TapInterfaceTest, WhoSetsItUpMayBeAnother) {
  TapParams params = Params(1, true);
  params.state = HostState::kAsIs;
  {
    const auto tap = OpenTapInterface(params);
    ASSERT_TRUE(tap) << tap.error().message;
    EXPECT_TRUE(Shows("state DOWN"));
    ASSERT_TRUE(KeepTapInterface(tap->queues[0].get()));
    ASSERT_TRUE(Run("ip link set nic0 up"));
  }
  const auto again = OpenTapInterface(params);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(Shows("[<,]UP[,>]"));
}

TEST_F(TapInterfaceTest, TheWiresNewAddressAndMtuAreSet) {
  Leave(1);
  TapParams params = Params(1, true);
  params.mac = {2, 0, 0, 0, 0, 7};
  params.mtu = 1300;
  ASSERT_TRUE(OpenTapInterface(params));
  EXPECT_TRUE(Shows("02:00:00:00:00:07"));
  EXPECT_TRUE(Shows("mtu 1300"));
  EXPECT_TRUE(Shows("192.0.2.2/24"));
}

TEST_F(TapInterfaceTest, OneThatAnotherProgramHasOpenIsNotShared) {
  const auto other = OpenTapInterface(Params(1, true));
  ASSERT_TRUE(other);
  EXPECT_EQ(Refusal(Params(1, true)), "interface nic0: another program has it open");
}

TEST_F(TapInterfaceTest, OneThatIsThereIsTakenUpOnlyWhenAsked) {
  Leave(1);
  EXPECT_EQ(Refusal(Params(1, false)),
            "interface nic0 exists already: set persist = true to reuse it, or remove it with `ip "
            "link del nic0`");
}

TEST_F(TapInterfaceTest, WhatIsNoTapIsRefused) {
  for (const char* command :
       {"ip link add nic0 type veth peer name other", "ip tuntap add nic0 mode tun"}) {
    ASSERT_TRUE(Run(command));
    EXPECT_EQ(Refusal(Params(1, true)), "interface nic0 exists already and is not a TAP interface");
    EXPECT_EQ(Refusal(Params(1, false)),
              "interface nic0 exists already and is not a TAP interface");
    ASSERT_TRUE(Run("ip link del nic0"));
  }
}

// Made by `ip tuntap` or a network manager.
TEST_F(TapInterfaceTest, OneOfOneQueueIsEnoughForOneWorker) {
  ASSERT_TRUE(Run("ip tuntap add nic0 mode tap"));
  EXPECT_EQ(Refusal(Params(2, true)),
            "interface nic0 has one queue, but each worker needs one: remove it with `ip link del "
            "nic0`");
  EXPECT_EQ(Refusal(Params(1, true)), "");
}

}  // namespace
}  // namespace cygnet
