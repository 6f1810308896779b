#include "control/moved_spec.h"

#include <gtest/gtest.h>

#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::Ip;
using test::MakeSpec;

// To other addresses; the selector stays.
SaMigration Move(const SaSpec& spec) {
  SaMigration migration;
  migration.id = {.daddr = spec.daddr, .spi = spec.spi, .proto = spec.proto, .family = spec.family};
  migration.new_saddr = Ip("192.0.2.3");
  migration.new_daddr = Ip("192.0.2.4");
  migration.new_family = IpFamily::kV4;
  migration.new_reqid = spec.reqid;
  migration.selector = spec.selector;
  return migration;
}

std::string TextOf(const SaSpec& spec, const SaMigration& migration) {
  const auto moved = MovedSpec(spec, migration);
  return moved ? "moved" : moved.error().message;
}

TEST(MovedSpecTest, WhatTheRequestDoesNotNameStays) {
  SaSpec spec = MakeSpec({.encap = test::NatT(), .direction = SaDirection::kOut, .tfc_pad = 100});
  spec.rare.Change()->nat_keepalive = 20;
  spec.rare.Change()->cpu = 1;
  const auto moved = MovedSpec(spec, Move(spec));
  ASSERT_TRUE(moved.has_value());
  EXPECT_EQ(moved->daddr, Ip("192.0.2.4"));
  EXPECT_EQ(moved->saddr, Ip("192.0.2.3"));
  EXPECT_EQ(moved->encap, *spec.encap);
  EXPECT_EQ(moved->rare->nat_keepalive, 20u);
  EXPECT_EQ(moved->rare->tfc_pad, 100u);
  EXPECT_EQ(moved->direction, SaDirection::kOut);
  EXPECT_EQ(moved->rare->cpu, 1u);
  EXPECT_EQ(moved->aead.key, spec.aead.key);
}

TEST(MovedSpecTest, SelectorOfTwoHostsFollowsTheAddresses) {
  SaSpec spec = MakeSpec({.mode = SaMode::kTransport});
  spec.selector = test::MakeSelector("192.0.2.1", "192.0.2.2", 17);
  SaMigration migration = Move(spec);
  migration.selector.reset();
  const auto moved = MovedSpec(spec, migration);
  ASSERT_TRUE(moved.has_value());
  EXPECT_EQ(moved->selector, test::MakeSelector("192.0.2.3", "192.0.2.4", 17));
  spec.selector.Change()->prefixlen_d = 24;
  EXPECT_EQ(TextOf(spec, migration), "SA selector is not a single-host match for SA addresses");
}

TEST(MovedSpecTest, EncapsulationIsReplacedOrRemovedWithWhatNeedsIt) {
  SaSpec spec = MakeSpec({.encap = test::NatT(), .direction = SaDirection::kOut});
  spec.rare.Change()->nat_keepalive = 20;
  SaMigration migration = Move(spec);
  migration.encap = test::NatT(5000, 5001);
  EXPECT_EQ(MovedSpec(spec, migration)->encap, test::NatT(5000, 5001));
  migration.encap->type = 0;
  const auto without = MovedSpec(spec, migration);
  EXPECT_FALSE(without->encap.has_value());
  EXPECT_FALSE(without->rare->nat_keepalive.has_value());
  migration.encap->type = 7;
  EXPECT_EQ(TextOf(spec, migration), "Unsupported encapsulation type");
}

TEST(MovedSpecTest, TimersOfANatNeedEncapsulationAndTheirDirection) {
  SaSpec in = MakeSpec({.direction = SaDirection::kIn});
  SaMigration migration = Move(in);
  migration.mapping_max_age = 5;
  EXPECT_EQ(TextOf(in, migration), "MTIMER_THRESH attribute can only be set on ENCAP states");
  in.encap = test::NatT();
  EXPECT_EQ(MovedSpec(in, migration)->rare->mapping_max_age, 5u);
  SaSpec out = MakeSpec({.encap = test::NatT(), .direction = SaDirection::kOut});
  EXPECT_EQ(TextOf(out, migration), "MTIMER_THRESH attribute should not be set on output SA");
  migration.mapping_max_age.reset();
  migration.nat_keepalive = 20;
  EXPECT_EQ(MovedSpec(out, migration)->rare->nat_keepalive, 20u);
  EXPECT_EQ(TextOf(in, migration), "NAT keepalive is only supported for outbound SAs");
  out.encap = std::nullopt;
  EXPECT_EQ(TextOf(out, migration), "NAT_KEEPALIVE_INTERVAL requires encapsulation");
  migration.nat_keepalive = 0;
  EXPECT_EQ(TextOf(out, migration), "moved");
}

TEST(MovedSpecTest, OffloadStaysIsReplacedOrEnds) {
  SaSpec spec = MakeSpec(
      {.direction = SaDirection::kOut, .offload = OffloadRequest{OffloadMode::kPacket, 7, false}});
  SaMigration migration = Move(spec);
  EXPECT_EQ(MovedSpec(spec, migration)->offload->ifindex, 7);
  migration.offload = OffloadRequest{OffloadMode::kCrypto, 8, false};
  EXPECT_EQ(MovedSpec(spec, migration)->offload->ifindex, 8);
  migration.offload->inbound = true;
  EXPECT_EQ(TextOf(spec, migration), "Mismatched SA and offload direction");
  migration.offload.reset();
  migration.clears_offload = true;
  EXPECT_FALSE(MovedSpec(spec, migration)->offload.has_value());
}

TEST(MovedSpecTest, TransportModeKeepsItsFamily) {
  SaSpec spec = MakeSpec({.mode = SaMode::kTransport});
  SaMigration migration = Move(spec);
  migration.new_family = IpFamily::kV6;
  migration.new_saddr = Ip("2001:db8::1");
  migration.new_daddr = Ip("2001:db8::2");
  EXPECT_EQ(TextOf(spec, migration), "Only tunnel modes can accommodate a change of family");
  spec.mode = SaMode::kTunnel;
  EXPECT_EQ(TextOf(spec, migration), "moved");
}

TEST(MovedSpecTest, NoPacketLeavesFromPortZero) {
  SaSpec out = MakeSpec({.encap = test::NatT(), .direction = SaDirection::kOut});
  SaMigration migration = Move(out);
  migration.encap = test::NatT(0, 4500);
  EXPECT_EQ(MovedSpec(out, migration).error().code, Errc::kNotSupported);
  const SaSpec in = MakeSpec({.encap = test::NatT(), .direction = SaDirection::kIn});
  EXPECT_EQ(TextOf(in, migration), "moved");
}

}  // namespace
}  // namespace cygnet
