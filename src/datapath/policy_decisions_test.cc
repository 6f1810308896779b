// New flows of one policy: the first is decided, the others get its decision (PolicyDecisions), for
// as long as it is right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/endian.h"
#include "datapath/flow_decision.h"
#include "net/ip_protocol.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::SaOptions;
using test::TestPair;

Bytes Datagram(uint16_t port, const char* src = "10.1.0.1", const char* dst = "10.2.0.1") {
  return test::Frame(test::Udp({.src = src, .dst = dst}, port, 7, test::Pattern(20)));
}

// The SPI of the packet that leaves for a new flow; 0: none leaves, 1: it leaves in clear.
uint32_t SpiOf(TestPair* pair, const Bytes& frame) {
  const auto wire = pair->a.Send(frame);
  if (wire.empty()) return 0;
  return wire[0][14 + 9] == kProtoEsp ? LoadBe32(wire[0].data() + 14 + 20) : 1;
}

class PolicyDecisionsTest : public testing::Test {
 protected:
  bool Holds(const char* src = "10.1.0.1", const char* dst = "10.2.0.1") {
    const auto ip = ParseIpPacket(std::span(frame_ = Datagram(1, src, dst)).subspan(14));
    return HoldsForPolicy(pair_.a.path,
                          DecideOutbound(pair_.a.path, *ip, test::TestHost::kIfindex));
  }
  Bytes frame_;
  TestPair pair_;
};

TEST_F(PolicyDecisionsTest, FollowsTheSa) {
  pair_.Protect({.spi = 0x1001}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_TRUE(Holds());
  for (uint16_t port = 1; port < 100; ++port) {
    ASSERT_EQ(SpiOf(&pair_, Datagram(port)), 0x1001u);
  }
  pair_.a.Add({.spi = 0x1002});
  EXPECT_EQ(SpiOf(&pair_, Datagram(100)), 0x1002u) << "the newest SA";
  EXPECT_EQ(SpiOf(&pair_, Datagram(101)), 0x1002u);
}

TEST_F(PolicyDecisionsTest, EachPolicyHasItsOwn) {
  pair_.Protect({.spi = 0x1001, .reqid = 1}, "10.1.0.0/16", "10.2.0.0/16");
  pair_.Protect({.spi = 0x1002, .reqid = 2}, "10.1.0.0/16", "10.3.0.0/16");
  for (uint16_t port = 1; port < 20; ++port) {
    ASSERT_EQ(SpiOf(&pair_, Datagram(port)), 0x1001u);
    ASSERT_EQ(SpiOf(&pair_, Datagram(port, "10.1.0.1", "10.3.0.1")), 0x1002u);
  }
}

// A neighbour that asks for the same SAs is decided alike; one that differs in anything is not.
TEST_F(PolicyDecisionsTest, PoliciesThatAskForTheSameSasShareIt) {
  pair_.Protect({.spi = 0x1001}, "10.1.0.0/16", "10.2.0.0/16");
  const auto add = [this](const char* dst, const Template& tmpl, PolicyAction action) {
    pair_.a.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", dst, {tmpl}, action));
  };
  const Template same = test::TemplateFor({.spi = 0x1001});
  Template other = same;
  other.reqid = Reqid(77);
  add("10.3.0.0/16", same, PolicyAction::kAllow);
  add("10.4.0.0/16", other, PolicyAction::kAllow);
  add("10.5.0.0/16", same, PolicyAction::kBlock);
  for (uint16_t port = 1; port < 20; ++port) {
    ASSERT_EQ(SpiOf(&pair_, Datagram(port)), 0x1001u);
    ASSERT_EQ(SpiOf(&pair_, Datagram(port, "10.1.0.1", "10.3.0.1")), 0x1001u);
    ASSERT_EQ(SpiOf(&pair_, Datagram(port, "10.1.0.1", "10.4.0.1")), 0u) << "no SA has its reqid";
    ASSERT_EQ(SpiOf(&pair_, Datagram(port, "10.1.0.1", "10.5.0.1")), 0u) << "it blocks";
  }
  pair_.a.Add({.spi = 0x1002});
  EXPECT_EQ(SpiOf(&pair_, Datagram(100, "10.1.0.1", "10.3.0.1")), 0x1002u) << "the newest SA";
}

TEST_F(PolicyDecisionsTest, NotBesideAnSaThatChoosesItsFlows) {
  pair_.Protect({.spi = 0x1001}, "10.1.0.0/16", "10.2.0.0/16");
  pair_.a.Add({.spi = 0x1002, .inner_src = "10.1.0.7/32", .inner_dst = "10.2.0.0/16"});
  EXPECT_FALSE(Holds());
  EXPECT_EQ(SpiOf(&pair_, Datagram(1)), 0x1001u);
  EXPECT_EQ(SpiOf(&pair_, Datagram(1, "10.1.0.7")), 0x1002u) << "the other flow came first";
  EXPECT_EQ(SpiOf(&pair_, Datagram(2)), 0x1001u);
}

// The SA is found by the packet's addresses.
TEST_F(PolicyDecisionsTest, NotInTransportMode) {
  pair_.Protect({.src = "10.1.0.1", .dst = "10.2.0.1", .mode = SaMode::kTransport}, "10.1.0.0/16",
                "10.2.0.0/16");
  EXPECT_FALSE(Holds());
  EXPECT_EQ(SpiOf(&pair_, Datagram(1)), SaOptions{}.spi);
  EXPECT_EQ(SpiOf(&pair_, Datagram(1, "10.1.0.1", "10.2.0.2")), 0u) << "it has no SA";
}

TEST_F(PolicyDecisionsTest, NotIfTheSaChoosesFlows) {
  pair_.Protect({.inner_src = "10.1.0.1/32", .inner_dst = "10.2.0.0/16"}, "10.1.0.0/16",
                "10.2.0.0/16");
  EXPECT_FALSE(Holds());
  EXPECT_EQ(SpiOf(&pair_, Datagram(1)), SaOptions{}.spi);
  EXPECT_EQ(SpiOf(&pair_, Datagram(1, "10.1.0.2")), 0u);
}

// Forwarded packets are asked for by their sender.
TEST_F(PolicyDecisionsTest, NotIfForwardPoliciesDecide) {
  pair_.Protect({.spi = 0x1001}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SpiOf(&pair_, Datagram(1)), 0x1001u);
  PolicySpec block = test::MakePolicy(PolicyDirection::kForward, "10.1.0.9/32", "0.0.0.0/0", {},
                                      PolicyAction::kBlock);
  pair_.a.AddPolicy(std::move(block));
  EXPECT_FALSE(Holds());
  EXPECT_EQ(SpiOf(&pair_, Datagram(2)), 0x1001u);
  EXPECT_EQ(SpiOf(&pair_, Datagram(2, "10.1.0.9")), 0u);
}

}  // namespace
}  // namespace cygnet
