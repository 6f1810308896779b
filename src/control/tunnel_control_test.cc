#include "control/tunnel_control.h"

#include <gmock/gmock.h>

#include "support/control_plane_fixture.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;

class TunnelControlTest : public test::ControlPlaneTest {
 protected:
  TunnelControlTest()
      : ControlPlaneTest(2, PlacementMode::kCrypto, [this](ControlPlaneParams* params) {
          params->make_tunnel = [this](const TunnelSpec& spec, uint32_t mtu) -> Result<HostTunnel> {
            return HostTunnel{.port = std::make_unique<MemoryPort>(spec.name, mtu),
                              .ifindex = 100 + static_cast<int32_t>(spec.if_id),
                              .set_carrier = [this](LinkStatus status) -> Status {
                                carriers_.push_back(status);
                                return {};
                              }};
          };
        }) {}

  static PolicySpec PolicyOf(uint32_t if_id, PolicyAction action = PolicyAction::kAllow) {
    PolicySpec spec =
        test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {}, action);
    spec.if_id = if_id;
    return spec;
  }
  // An inbound SA, as packets find it.
  const Sa* AddSa(uint32_t spi, uint32_t if_id) {
    SaSpec spec = test::MakeSpec({.spi = spi});
    spec.if_id = if_id;
    EXPECT_TRUE(control_->AddSa(std::move(spec), {}));
    return path_.sad.Find(IdOf(spi)).get();
  }
  uint16_t NumberOf(uint32_t if_id) {
    uint16_t number = 0;
    path_.tunnels.ForEach([&](const Tunnel* tunnel) {
      if (tunnel->identity.if_id == if_id) number = tunnel->number;
    });
    return number;
  }
  bool Blocks(uint32_t if_id) {
    FlowKey flow;
    flow.family = IpFamily::kV4;
    flow.saddr = test::Ip("10.1.0.1");
    flow.daddr = test::Ip("10.2.0.1");
    flow.SetTunnel(if_id, 0);
    return path_.spd.Lookup(PolicyDirection::kOut, flow, test::kNic0).blocks();
  }

  std::vector<LinkStatus> carriers_;
};

TEST_F(TunnelControlTest, APolicyWithoutATunnelIsRefusedUnlessItBlocks) {
  const Status refused = control_->AddPolicy(PolicyOf(7), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kNotSupported);
  EXPECT_EQ(refused.error().message, "No [[tunnel]] has if_id 7");
  PolicySpec marked = PolicyOf(0);
  marked.mark_value = 0x2a;
  marked.mark_mask = ~uint32_t{0};
  EXPECT_EQ(control_->AddPolicy(marked, {}).error().message, "No [[tunnel]] has mark 0x2a");
  ASSERT_TRUE(control_->AddPolicy(PolicyOf(7, PolicyAction::kBlock), {}));
  EXPECT_TRUE(Blocks(0)) << "with or without the id";
  EXPECT_TRUE(Blocks(9));
}

TEST_F(TunnelControlTest, ABlockOfATunnelThatExistsIsForItsPackets) {
  ASSERT_TRUE(control_->AddPolicy(PolicyOf(7, PolicyAction::kBlock), {}));
  ASSERT_TRUE(control_->AddTunnel({.name = "ipsec7", .if_id = 7}));
  EXPECT_TRUE(Blocks(7));
  EXPECT_FALSE(Blocks(0));
}

TEST_F(TunnelControlTest, WhatATunnelProtectedBlocksWhenItGoes) {
  ASSERT_TRUE(control_->AddTunnel({.name = "ipsec7", .if_id = 7}));
  ASSERT_TRUE(control_->AddPolicy(PolicyOf(7), {}));
  EXPECT_FALSE(Blocks(0));
  ASSERT_TRUE(control_->RemoveTunnel("ipsec7"));
  EXPECT_TRUE(Blocks(0));
  ASSERT_TRUE(control_->AddTunnel({.name = "ipsec9", .if_id = 7}));
  EXPECT_FALSE(Blocks(0));
}

TEST_F(TunnelControlTest, APolicyOfAnEarlierProcessBlocksWithoutItsTunnel) {
  control_->SetUnmetPolicies(UnmetPolicies::kBlock);
  ASSERT_TRUE(control_->AddPolicy(PolicyOf(7), {}));
  EXPECT_TRUE(Blocks(0));
}

TEST_F(TunnelControlTest, AnSaFindsItsTunnelWheneverThatComes) {
  const Sa* sa = AddSa(0x1000, 7);
  ASSERT_NE(sa, nullptr);
  EXPECT_EQ(sa->tunnel.load(), Tunnels::kMissing);
  ASSERT_TRUE(control_->AddTunnel({.name = "ipsec7", .if_id = 7}));
  EXPECT_EQ(sa->tunnel.load(), NumberOf(7));
  ASSERT_TRUE(control_->RemoveTunnel("ipsec7"));
  EXPECT_EQ(sa->tunnel.load(), Tunnels::kMissing);
}

TEST_F(TunnelControlTest, AnSaWithoutAMarkBelongsToTheTunnelBetweenItsEnds) {
  const Sa* sa = AddSa(0x1000, 0);
  EXPECT_EQ(sa->tunnel.load(), 0);
  ASSERT_TRUE(control_->AddTunnel({.name = "vti0",
                                   .mark = 42,
                                   .local = ParsePrefix("192.0.2.0/24"),
                                   .remote = ParsePrefix("0.0.0.0/0")}));
  EXPECT_NE(sa->tunnel.load(), 0);
  ASSERT_TRUE(control_->RemoveTunnel("vti0"));
  EXPECT_EQ(sa->tunnel.load(), 0);
}

TEST_F(TunnelControlTest, TheCarrierFollowsTheSas) {
  ASSERT_TRUE(
      control_->AddTunnel({.name = "ipsec7", .if_id = 7, .carrier = TunnelCarrier::kWithSa}));
  AddSa(0x1000, 7);
  AddSa(0x1001, 7);
  ASSERT_TRUE(control_->DeleteSa(IdOf(0x1000), {}));
  ASSERT_TRUE(control_->DeleteSa(IdOf(0x1001), {}));
  EXPECT_EQ(carriers_,
            (std::vector{LinkStatus::kNoCarrier, LinkStatus::kUp, LinkStatus::kNoCarrier}));
}

TEST_F(TunnelControlTest, NameAndIdentityAreTakenOnce) {
  ASSERT_TRUE(control_->AddTunnel({.name = "ipsec7", .if_id = 7, .device = "nic0"}));
  EXPECT_EQ(control_->AddTunnel({.name = "ipsec7", .if_id = 8}).error().code, Errc::kExists);
  const Status same = control_->AddTunnel({.name = "ipsec8", .if_id = 7});
  EXPECT_THAT(same.error().message, HasSubstr("ipsec7 has if_id 7"));
  EXPECT_EQ(control_->AddTunnel({.name = "x", .if_id = 8, .device = "nic9"}).error().code,
            Errc::kNoDevice);
  EXPECT_EQ(control_->AddTunnel({.name = "x"}).error().code, Errc::kInvalid);
  EXPECT_EQ(control_->RemoveTunnel("nobody").error().code, Errc::kNoDevice);
  EXPECT_EQ(control_->ReportTunnels().size(), 1u);
}

TEST_F(TunnelControlTest, AMarkIsPartOfTheNameOfAnSa) {
  SaSpec spec = test::MakeSpec({.spi = 0x1000});
  spec.mark_value = 42;
  spec.mark_mask = 0xff;
  ASSERT_TRUE(control_->AddSa(std::move(spec), {}));
  SaId id = IdOf(0x1000);
  EXPECT_EQ(control_->DeleteSa(id, {}).error().code, Errc::kNoSuchProcess);
  id.mark = 42;
  EXPECT_TRUE(control_->DeleteSa(id, {}));
}

TEST_F(TunnelControlTest, AMarkForOpenedPacketsNeedsItsTunnel) {
  const auto with_set_mark = [] {
    SaSpec spec = test::MakeSpec({.spi = 0x1000});
    spec.direction = SaDirection::kIn;
    spec.set_mark_value = 42;
    spec.set_mark_mask = ~uint32_t{0};
    return spec;
  };
  EXPECT_EQ(control_->AddSa(with_set_mark(), {}).error().message,
            "No [[tunnel]] has mark 0x2a, which the SA sets for opened packets");
  ASSERT_TRUE(control_->AddTunnel({.name = "vti0", .mark = 42}));
  ASSERT_TRUE(control_->AddSa(with_set_mark(), {}));
  EXPECT_NE(path_.sad.Find(IdOf(0x1000))->tunnel.load(), 0);
}

}  // namespace
}  // namespace cygnet
