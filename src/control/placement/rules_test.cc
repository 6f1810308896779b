// Whose request applies, without a device or a key.
#include "control/placement/rules.h"

#include <gtest/gtest.h>

#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MakeSpec;

constexpr int32_t kNic0 = 7;
constexpr RequestFacts kUsed{.direction_is_known = true};

SaSpec Offloaded() {
  return MakeSpec({.spi = 0x100, .offload = OffloadRequest{OffloadMode::kCrypto, kNic0, false}});
}

PlacementRule RuleFor(PlacementMode mode) { return {.name = "rule", .mode = mode}; }

TEST(PlacementRulesTest, NobodyAsksForNothing) {
  const PlacementRules rules({});
  EXPECT_EQ(rules.RequestFor(MakeSpec(), Half::kOutbound, kUsed), PlacementRequest{});
}

TEST(PlacementRulesTest, OperatorIsHeardBeforeRulesAndRulesBeforeTheClient) {
  PlacementRules rules({RuleFor(PlacementMode::kNo)});
  const auto by = [&] {
    return rules.RequestFor(Offloaded(), Half::kOutbound, {.client_device = kNic0}).by;
  };
  EXPECT_EQ(by(), RequestedBy::kRule);
  const PlacementCommand command{.spi = Spi(0x100), .mode = PlacementMode::kRequired};
  ASSERT_TRUE(rules.SetCommand(command, 0));
  EXPECT_EQ(by(), RequestedBy::kOperator);
  EXPECT_FALSE(rules.ClearCommand({.spi = Spi(0x101)}));
  EXPECT_TRUE(rules.ClearCommand(command));
  EXPECT_FALSE(rules.ClearCommand(command));
  EXPECT_EQ(by(), RequestedBy::kRule);
  rules.SetRules({});
  EXPECT_EQ(by(), RequestedBy::kClient);
}

TEST(PlacementRulesTest, ClientMeansTheDeviceThatItsInterfaceStandsFor) {
  const PlacementRules rules({});
  EXPECT_EQ(rules.RequestFor(Offloaded(), Half::kOutbound, {.client_device = 12}).ifindex, 12);
}

TEST(PlacementRulesTest, CommandNamesADeviceOrLeavesItToTheClient) {
  PlacementRules rules({});
  const PlacementCommand command{.spi = Spi(0x100), .mode = PlacementMode::kAuto, .pinned = true};
  ASSERT_TRUE(rules.SetCommand(command, 0));
  EXPECT_EQ(rules.RequestFor(Offloaded(), Half::kOutbound, {}),
            (PlacementRequest{PlacementMode::kAuto, RequestedBy::kOperator, true, kNic0}));
  ASSERT_TRUE(rules.SetCommand(command, 9));
  EXPECT_EQ(rules.RequestFor(Offloaded(), Half::kOutbound, {}).ifindex, 9);
}

TEST(PlacementRulesTest, NewestCommandThatCoversTheSaCounts) {
  PlacementRules rules({});
  ASSERT_TRUE(rules.SetCommand({.spi = Spi(0x100), .mode = PlacementMode::kNo}, 0));
  ASSERT_TRUE(rules.SetCommand({.reqid = Reqid(999), .mode = PlacementMode::kAuto}, 0));
  const auto mode = [&] { return rules.RequestFor(Offloaded(), Half::kOutbound, {}).mode; };
  EXPECT_EQ(mode(), PlacementMode::kNo) << "the newer one is about another reqid";
  ASSERT_TRUE(rules.SetCommand({.daddr = Offloaded().daddr, .mode = PlacementMode::kCrypto}, 0));
  EXPECT_EQ(mode(), PlacementMode::kCrypto);
}

TEST(PlacementRulesTest, AutoOfARuleIsForHalvesThatAreUsed) {
  const PlacementRules rules({RuleFor(PlacementMode::kAuto)});
  EXPECT_EQ(rules.RequestFor(MakeSpec(), Half::kInbound, {}).by, RequestedBy::kNobody);
  EXPECT_EQ(rules.RequestFor(MakeSpec(), Half::kInbound, kUsed).by, RequestedBy::kRule);
}

TEST(PlacementRulesTest, RuleOfOneDirectionLeavesTheOtherHalf) {
  PlacementRule rule = RuleFor(PlacementMode::kCrypto);
  rule.half = Half::kInbound;
  const PlacementRules rules({rule});
  EXPECT_EQ(rules.RequestFor(MakeSpec(), Half::kInbound, kUsed).by, RequestedBy::kRule);
  EXPECT_EQ(rules.RequestFor(MakeSpec(), Half::kOutbound, kUsed).by, RequestedBy::kNobody);
}

TEST(PlacementRulesTest, DeviceAsksForWhatNobodyElseAskedForOnceTheDirectionIsKnown) {
  const PlacementRules rules({});
  const RequestFacts facts{.direction_is_known = true, .any_device_is_auto = true};
  EXPECT_EQ(rules.RequestFor(MakeSpec(), Half::kOutbound, facts),
            (PlacementRequest{.mode = PlacementMode::kAuto, .by = RequestedBy::kDevice}));
  EXPECT_EQ(rules.RequestFor(MakeSpec(), Half::kOutbound, {.any_device_is_auto = true}),
            PlacementRequest{});
}

TEST(PlacementRulesTest, CommandAboutAnSpiEndsWithItsSaUnlessAnotherIsCovered) {
  PlacementRules rules({});
  ASSERT_TRUE(rules.SetCommand({.spi = Spi(0x100), .mode = PlacementMode::kNo}, 0));
  const auto by = [&] { return rules.RequestFor(Offloaded(), Half::kOutbound, {}).by; };
  rules.ForgetSa(Offloaded(), [](const PlacementCommand&) { return true; });
  EXPECT_EQ(by(), RequestedBy::kOperator);
  rules.ForgetSa(Offloaded(), [](const PlacementCommand&) { return false; });
  EXPECT_EQ(by(), RequestedBy::kClient);
}

TEST(PlacementRulesTest, DirectionIsKnownByTheAddressesOfTheHost) {
  const SaSpec spec = MakeSpec({.src = "192.0.2.1", .dst = "192.0.2.2"});
  const HostAddresses sender({test::Addr("192.0.2.1")});
  EXPECT_TRUE(DirectionIsKnown(spec, Half::kOutbound, sender));
  EXPECT_FALSE(DirectionIsKnown(spec, Half::kInbound, sender));
  EXPECT_FALSE(DirectionIsKnown(spec, Half::kOutbound, HostAddresses{}));
  EXPECT_TRUE(DirectionIsKnown(Offloaded(), Half::kInbound, HostAddresses{}));
}

TEST(PlacementRulesTest, InterfaceOfTheClientIsResolvedAsTheKernelDoes) {
  const std::vector<ControlDevice> devices{{.name = "nic0", .ifindex = kNic0}};
  PlacementHost host;
  EXPECT_EQ(DeviceOfClient(Offloaded(), devices, host), kNic0);
  SaSpec elsewhere = Offloaded();
  elsewhere.offload = OffloadRequest{OffloadMode::kCrypto, 20, false};
  EXPECT_EQ(DeviceOfClient(elsewhere, devices, host), 20) << "an interface without a device";
  host.interface_exists = [](int32_t) { return false; };
  host.egress_of = [](const IpAddress&, IpFamily) { return 21; };
  EXPECT_EQ(DeviceOfClient(elsewhere, devices, host), 21);
  host.device_under = [](int32_t upper) { return upper == 21 ? kNic0 : 0; };
  EXPECT_EQ(DeviceOfClient(elsewhere, devices, host), kNic0) << "the route leaves by a bridge";
}

}  // namespace
}  // namespace cygnet
