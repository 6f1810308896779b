// SAs with packet offload as clients and listeners see them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/packet_offload_fixture.h"

namespace cygnet {
namespace {

using test::Events;
using test::kNic0;
using test::MakeSpec;
using testing::IsEmpty;

class PacketSaTest : public test::PacketOffloadTest {
 protected:
  ConstSaPtr Get(uint32_t spi) {
    const auto sa = control_->GetSa(IdOf(spi));
    return sa.has_value() ? *sa : nullptr;
  }
  SaView View(uint32_t spi) { return control_->Inspect(*Get(spi)); }
  void Traffic(int network = 2) {
    const auto policy =
        path_.spd.FindFirst(PolicyDirection::kOut, PolicyType::kMain, FlowTo(network), kNic0);
    const DataPathEvent event{.kind = DataPathEvent::Kind::kAcquire,
                              .policy_number = policy->number,
                              .flow = FlowTo(network)};
    path_.events[0]->Push({&event, 1});
    control_->OnBell();
  }
};

TEST_F(PacketSaTest, ADumpShowsTheRequestAsLongAsTheSaIsThere) {
  ASSERT_TRUE(Add(PacketSa(0x100)).has_value());
  ASSERT_TRUE(Add(PacketSa(0x101, /*inbound=*/true)).has_value());
  EXPECT_EQ(View(0x100).offload, Request());
  EXPECT_EQ(View(0x101).offload, Request(/*inbound=*/true));
  card_.Become(DeviceState::kRemoved);
  control_->OnBell();
  EXPECT_EQ(View(0x100).offload, Request()) << "no policy without offload finds it";
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x102})).has_value());
  EXPECT_EQ(View(0x102).offload, std::nullopt);
}

TEST_F(PacketSaTest, ThereIsNoFallBack) {
  card_.refuse_sa = DeviceRefusal{InstallError::kRefused, Errc::kInvalid,
                                  "mlx5_core: Cannot offload without reqid"};
  const Status refused = Add(PacketSa(0x100));
  EXPECT_EQ(refused.error().code, Errc::kInvalid);
  EXPECT_THAT(TextOf(refused), testing::HasSubstr("mlx5_core: Cannot offload without reqid"));
  card_.refuse_sa = DeviceRefusal{InstallError::kRefused, Errc::kNotSupported, "no"};
  EXPECT_EQ(Add(PacketSa(0x100)).error().code, Errc::kNotSupported);
  EXPECT_EQ(Get(0x100), nullptr);
  SaSpec elsewhere = PacketSa(0x100);
  elsewhere.offload->ifindex = 99;
  EXPECT_EQ(Add(std::move(elsewhere)).error().code, Errc::kInvalid);
}

// Nothing tells when the cause of a refusal ends.
TEST_F(PacketSaTest, WhatADeviceRefusedWhenItCameBackAsksAgain) {
  ASSERT_TRUE(Add(PacketSa(0x100)).has_value());
  card_.refuse_sa = DeviceRefusal{InstallError::kRefused, Errc::kBusy, "nic0: busy"};
  card_.Reset();
  control_->OnBell();
  Settle();
  EXPECT_EQ(Where(0x100), "blocked device-refused");
  Pass(5);
  EXPECT_EQ(Where(0x100), "blocked device-refused");
  card_.refuse_sa.reset();
  Pass(10);
  Settle();
  EXPECT_EQ(Where(0x100), "packet returned");
}

// --- UPDSA ---

class PacketEncapTest : public PacketSaTest {
 protected:
  static SaSpec InUdp(uint16_t dport) {
    SaSpec spec = PacketSa(0x100);
    spec.encap = test::NatT(4500, dport);
    spec.direction = SaDirection::kOut;
    return spec;
  }
  std::optional<UdpEncap> Given() {
    const auto* held = card_.Sa(0x100);
    return held == nullptr ? std::nullopt : held->encap;
  }
};

// The peer's NAT has another mapping: the device builds the UDP header, so it must know.
TEST_F(PacketEncapTest, TheDeviceGetsTheNewPorts) {
  ASSERT_TRUE(Add(InUdp(4500)).has_value());
  ASSERT_TRUE(control_->UpdateSa(InUdp(1024), {}).has_value());
  Settle();
  ASSERT_EQ(card_.sas.size(), 1u) << "the old entry is released";
  EXPECT_EQ(Given(), test::NatT(4500, 1024));
  EXPECT_EQ(Placement(0x100).effective, "packet");
  const OffloadHandle before = card_.sas[0].handle;
  ASSERT_TRUE(control_->UpdateSa(InUdp(1024), {}).has_value());
  Settle();
  EXPECT_EQ(card_.sas[0].handle, before) << "nothing changed";
}

TEST_F(PacketEncapTest, WhatTheDeviceRefusesIsBlockedUntilItTakesIt) {
  ASSERT_TRUE(Add(InUdp(4500)).has_value());
  card_.refuse_sa = DeviceRefusal{InstallError::kTableFull, Errc::kNoSpace, "nic0: full"};
  ASSERT_TRUE(control_->UpdateSa(InUdp(1024), {}).has_value());
  Settle();
  EXPECT_EQ(Placement(0x100).effective, "blocked") << "not by the old ports";
  EXPECT_EQ(card_.sas.size(), 0u);
  card_.refuse_sa.reset();
  Pass(2);
  Settle();
  EXPECT_EQ(Placement(0x100).effective, "packet");
  EXPECT_EQ(Given(), test::NatT(4500, 1024));
}

// --- ACQUIRE ---

// Kernel: xfrm_state_find gives the temporary state the policy's device.
TEST_F(PacketSaTest, AnAcquireOfAnOffloadedPolicyMakesALarvalStateWithItsOffload) {
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x90})).has_value()) << "in software: no answer";
  ASSERT_TRUE(Add(Offloaded(PolicyTo(2))).has_value());
  recorder_.Take();
  Traffic();
  Traffic();
  EXPECT_EQ(recorder_.Take(), Events{"acquire 1"});
  const auto larval = path_.sad.FindByAcquireSeq(1);
  ASSERT_NE(larval, nullptr);
  EXPECT_EQ(control_->Inspect(*larval).offload, Request());
  // ALLOCSPI in it, then UPDSA, as key management answers.
  SpiRequest request{.spec = MakeSpec(), .min = 0x300, .max = 0x300, .larval_lifetime_seconds = 30};
  request.spec.acquire_seq = 1;
  ASSERT_TRUE(control_->AllocateSpi(std::move(request)).has_value());
  EXPECT_EQ(View(0x300).offload, Request());
  SaSpec answer = PacketSa(0x300);
  answer.direction = SaDirection::kOut;
  ASSERT_TRUE(control_->UpdateSa(std::move(answer), {}).has_value());
  EXPECT_EQ(View(0x300).state, SaState::kValid);
  EXPECT_EQ(View(0x300).offload, Request());
  recorder_.Take();
  Traffic();
  EXPECT_EQ(recorder_.Take(), Events{}) << "answered";
}

TEST_F(PacketSaTest, OnlyALarvalStateWithTheSameOffloadIsAnAnswerOnItsWay) {
  ASSERT_TRUE(Add(PolicyTo(2)).has_value());
  ASSERT_TRUE(Add(Offloaded(PolicyTo(3))).has_value());
  recorder_.Take();
  Traffic(2);
  Traffic(3);
  EXPECT_EQ(recorder_.Take(), (Events{"acquire 1", "acquire 2"}));
  Traffic(2);
  Traffic(3);
  EXPECT_EQ(recorder_.Take(), Events{});
}

// --- MIGRATE ---

class PacketMigrateTest : public PacketSaTest {
 protected:
  static Migration Move(std::optional<OffloadRequest> offload = Request()) {
    MigrateEntry entry;
    entry.old_saddr = test::Ip("192.0.2.1");
    entry.old_daddr = test::Ip("192.0.2.2");
    entry.new_saddr = test::Ip("192.0.2.3");
    entry.new_daddr = test::Ip("192.0.2.4");
    entry.old_family = entry.new_family = IpFamily::kV4;
    entry.proto = kProtoEsp;
    entry.mode = static_cast<uint8_t>(SaMode::kTunnel);
    entry.reqid = Reqid(1);
    Migration migration;
    migration.selector = test::MakeSelector("10.1.0.1", "10.2.0.1");
    migration.entries = {entry};
    migration.offload = offload;
    return migration;
  }
};

TEST_F(PacketMigrateTest, TheDeviceGetsThePolicyWithItsNewTemplate) {
  ASSERT_TRUE(Add(Offloaded(PolicyTo(2))).has_value());
  ASSERT_TRUE(Add(PacketSa(0x100)).has_value());
  ASSERT_TRUE(control_->Migrate(Move()).has_value());
  EXPECT_EQ(control_->ListPolicies()[0].spec.offload, Request());
  Settle();
  ASSERT_EQ(Held(), "2");
  EXPECT_EQ(card_.policies[0].spec.templates[0].daddr, test::Ip("192.0.2.4"));
  SaId id = IdOf(0x100);
  id.daddr = test::Ip("192.0.2.4");
  ASSERT_TRUE(control_->GetSa(id).has_value());
  EXPECT_EQ(control_->Inspect(**control_->GetSa(id)).offload, Request());
  // The policy goes once, although it was there in two forms.
  ASSERT_TRUE(control_->DeletePolicy(IdOf(PolicyTo(2)), {}).has_value());
  Settle();
  EXPECT_EQ(Held(), "");
}

TEST_F(PacketMigrateTest, IfTheDeviceRefusesThePolicyNothingMoves) {
  ASSERT_TRUE(Add(Offloaded(PolicyTo(2))).has_value());
  ASSERT_TRUE(Add(PacketSa(0x100)).has_value());
  card_.policy_limit = 1;
  EXPECT_EQ(control_->Migrate(Move()).error().code, Errc::kNoData);
  Settle();
  EXPECT_EQ(card_.policies[0].spec.templates[0].daddr, test::Ip("192.0.2.2"));
  EXPECT_EQ(Held(), "2");
  EXPECT_NE(Get(0x100), nullptr);
  EXPECT_EQ(card_.sas.size(), 1u);
}

class PacketRuleMigrateTest : public PacketMigrateTest {
 protected:
  PacketRuleMigrateTest() {
    EXPECT_TRUE(
        control_
            ->SetPlacement(
                {.reqid = Reqid(1), .mode = PlacementMode::kPacket, .device = std::string("nic0")})
            .has_value());
  }
};

TEST_F(PacketRuleMigrateTest, ThePolicyOfAnSaThatWasPlacedThereFollowsIt) {
  ASSERT_TRUE(Add(MakeSpec({.spi = 0x100, .direction = SaDirection::kOut})).has_value());
  ASSERT_TRUE(Add(PolicyTo(2)).has_value());
  ASSERT_EQ(Held(), "2");
  ASSERT_TRUE(control_->Migrate(Move(std::nullopt)).has_value());
  Settle();
  ASSERT_EQ(Held(), "2");
  EXPECT_EQ(card_.policies[0].spec.templates[0].daddr, test::Ip("192.0.2.4"));
  SaId id = IdOf(0x100);
  id.daddr = test::Ip("192.0.2.4");
  ASSERT_TRUE(control_->DeleteSa(id, {}).has_value());
  Settle();
  EXPECT_EQ(Held(), "");
}

}  // namespace
}  // namespace cygnet
