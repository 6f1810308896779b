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

// Issue 18: routes by the tunnel would move at each restart.
TEST_F(TunnelControlTest, CarriersStayUntilTheSasOfTheProcessBeforeAreBack) {
  control_->HoldCarriers();
  ASSERT_TRUE(
      control_->AddTunnel({.name = "ipsec7", .if_id = 7, .carrier = TunnelCarrier::kWithSa}));
  ASSERT_TRUE(
      control_->AddTunnel({.name = "ipsec8", .if_id = 8, .carrier = TunnelCarrier::kWithSa}));
  AddSa(0x1000, 7);
  EXPECT_TRUE(carriers_.empty());
  control_->ShowCarriers();
  EXPECT_EQ(carriers_, (std::vector{LinkStatus::kUp, LinkStatus::kNoCarrier}));
  control_.reset();
  EXPECT_EQ(carriers_.size(), 2u) << "the next process shows them";
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
    spec.rare.Change()->set_mark_value = 42;
    spec.rare.Change()->set_mark_mask = ~uint32_t{0};
    return spec;
  };
  EXPECT_EQ(control_->AddSa(with_set_mark(), {}).error().message,
            "No [[tunnel]] has mark 0x2a, which the SA sets for opened packets");
  ASSERT_TRUE(control_->AddTunnel({.name = "vti0", .mark = 42}));
  ASSERT_TRUE(control_->AddSa(with_set_mark(), {}));
  EXPECT_NE(path_.sad.Find(IdOf(0x1000))->tunnel.load(), 0);
}

// An if_id names the tunnel already: another mark would be lost.
TEST_F(TunnelControlTest, AMarkForOpenedPacketsBesideAnIfIdIsRefused) {
  SaSpec spec = test::MakeSpec({.spi = 0x1000});
  spec.direction = SaDirection::kIn;
  spec.if_id = 7;
  spec.rare.Change()->set_mark_value = 42;
  spec.rare.Change()->set_mark_mask = ~uint32_t{0};
  EXPECT_THAT(control_->AddSa(spec.Clone(), {}).error().message, HasSubstr("mark 0x2a"));
  spec.rare.Change()->set_mark_value = 7;  // as libreswan does
  EXPECT_TRUE(control_->AddSa(std::move(spec), {}));
}

class KeysOfAVtiTest : public TunnelControlTest {
 protected:
  KeysOfAVtiTest() {
    EXPECT_TRUE(control_->AddTunnel({.name = "vti0", .mark = 0x130, .mark_in = 0x131}));
  }
  static PolicySpec PolicyWith(PolicyDirection direction, uint32_t mark, uint32_t mask) {
    PolicySpec spec = test::MakePolicy(direction, "10.1.0.0/16", "10.2.0.0/16", {});
    spec.mark_value = mark;
    spec.mark_mask = mask;
    return spec;
  }
  uint16_t NumberOfSa(SaDirection direction, uint32_t mark, uint32_t mask) {
    SaSpec spec = test::MakeSpec({.spi = ++spi_});
    spec.direction = direction;
    spec.mark_value = mark;
    spec.mark_mask = mask;
    EXPECT_TRUE(control_->AddSa(std::move(spec), {}));
    SaId id = IdOf(spi_);
    id.mark = mark & mask;
    return path_.sad.Find(id)->tunnel.load();
  }
  uint32_t spi_ = 0x1000;
};

TEST_F(KeysOfAVtiTest, EachDirectionHasItsKeyUnderTheMask) {
  using enum PolicyDirection;
  EXPECT_TRUE(control_->AddPolicy(PolicyWith(kOut, 0x30, 0xff), {}));
  EXPECT_TRUE(control_->AddPolicy(PolicyWith(kIn, 0x31, 0xff), {}));
  EXPECT_TRUE(control_->AddPolicy(PolicyWith(kForward, 0x131, ~uint32_t{0}), {}));
  EXPECT_EQ(control_->AddPolicy(PolicyWith(kOut, 0x131, ~uint32_t{0}), {}).error().message,
            "No [[tunnel]] has mark 0x131");
  EXPECT_EQ(control_->AddPolicy(PolicyWith(kIn, 0x30, 0xff), {}).error().message,
            "No [[tunnel]] has mark 0x30 (mask 0xff)");
  EXPECT_EQ(control_->ReportTunnels()[0].policies, 3u);
  const uint16_t number = NumberOfSa(SaDirection::kOut, 0x30, 0xff);
  EXPECT_NE(number, Tunnels::kMissing);
  EXPECT_EQ(NumberOfSa(SaDirection::kIn, 0x31, 0xff), number);
  EXPECT_EQ(NumberOfSa(SaDirection::kUnspec, 0x31, 0xff), number)
      << "the host may get the address later";
  EXPECT_EQ(NumberOfSa(SaDirection::kIn, 0x30, 0xff), Tunnels::kMissing);
}

TEST_F(KeysOfAVtiTest, NoOtherHasOneOfThem) {
  EXPECT_EQ(control_->AddTunnel({.name = "x", .mark = 0x130, .mark_in = 9}).error().code,
            Errc::kExists);
  EXPECT_THAT(control_->AddTunnel({.name = "x", .mark = 0x131}).error().message,
              HasSubstr("vti0 has mark 0x130, inbound 0x131"));
  EXPECT_TRUE(control_->AddTunnel({.name = "x", .mark = 0x131, .mark_in = 0x130}))
      << "the other end of vti0";
  EXPECT_EQ(control_->AddTunnel({.name = "y", .if_id = 7, .mark_in = 9}).error().code,
            Errc::kInvalid);
}

TEST_F(TunnelControlTest, AnSaMovesToAnotherTunnelWithItsNumbers) {
  ASSERT_TRUE(control_->AddTunnel({.name = "ipsec7", .if_id = 7}));
  ASSERT_TRUE(control_->AddTunnel({.name = "ipsec8", .if_id = 8}));
  const Sa* before = AddSa(0x1000, 7);
  const uint64_t reserved = before->outbound()->sequence.Reserve(3).first;
  SaSpec spec = test::MakeSpec({.spi = 0x1000});
  spec.if_id = 8;
  ASSERT_TRUE(control_->UpdateSa(std::move(spec), {}));
  const auto after = path_.sad.Find(IdOf(0x1000));
  EXPECT_EQ(after->spec().if_id, 8u);
  EXPECT_EQ(after->tunnel.load(), NumberOf(8));
  EXPECT_EQ(path_.sad.size(), 1u);
  EXPECT_EQ(after->outbound()->sequence.Reserve(1).first, reserved + 3);
  SaSpec same = test::MakeSpec({.spi = 0x1000});
  ASSERT_TRUE(control_->UpdateSa(std::move(same), {}));
  EXPECT_EQ(path_.sad.Find(IdOf(0x1000)), after) << "0 leaves it where it is";
}

}  // namespace
}  // namespace cygnet
