// Packets that show less than policy needs, and ESP for another host.
#include <gtest/gtest.h>

#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::IpFields;
using test::IpPacket;
using test::MakePolicy;
using test::Pattern;
using test::SaOptions;
using test::TemplateFor;
using test::TestPair;

// The second fragment of a UDP datagram, without ports.
Bytes LaterFragment(const std::string& src, const std::string& dst) {
  const Bytes ip =
      IpPacket({.src = src, .dst = dst, .proto = kProtoUdp, .fragment = 185}, Pattern(64));
  return Frame(ip);
}

PolicySpec ProtectDns(const SaOptions& sa) {
  PolicySpec spec =
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(sa)});
  spec.selector.proto = kProtoUdp;
  spec.selector.dport = 53;
  spec.selector.dport_mask = 0xffff;
  return spec;
}

// The later fragment waits for the first one, whose ports decide.
TEST(FragmentsTest, LaterFragmentDoesNotSlipPastAPolicyThatAsksForPorts) {
  TestPair pair;
  pair.a.Add(SaOptions{});
  pair.a.AddPolicy(ProtectDns({}));
  EXPECT_TRUE(pair.a.Send(LaterFragment("10.1.0.9", "10.2.0.1")).empty());
  pair.a.clock.monotonic_ns += 61'000'000'000;
  pair.a.Run();
  EXPECT_EQ(pair.a.Drops(DropReason::kInFragmentTimeout), 1u);
  // Addresses that the policy does not cover: decided without ports.
  EXPECT_EQ(pair.a.Send(LaterFragment("10.1.0.9", "10.3.0.1")).size(), 1u);
}

TEST(FragmentsTest, APolicyAheadOfItThatNeedsNoPortsDecides) {
  TestPair pair;
  pair.a.Add(SaOptions{});
  pair.a.AddPolicy(ProtectDns({}));
  pair.a.AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                              {TemplateFor(SaOptions{})}, PolicyAction::kAllow, 1));
  const auto wire = pair.a.Send(LaterFragment("10.1.0.9", "10.2.0.1"));
  ASSERT_EQ(wire.size(), 1u);
  EXPECT_EQ(wire[0][14 + 9], kProtoEsp);
}

TEST(FragmentsTest, PortZeroOfAWholePacketIsNotMistakenForAFragment) {
  TestPair pair;
  pair.a.Add(SaOptions{});
  pair.a.AddPolicy(ProtectDns({}));
  const Bytes whole = Frame(test::Udp({.src = "10.1.0.9", .dst = "10.2.0.1"}, 0, 0, Pattern(10)));
  EXPECT_EQ(pair.a.Send(whole).size(), 1u);
  EXPECT_TRUE(pair.a.Send(LaterFragment("10.1.0.9", "10.2.0.1")).empty());
  EXPECT_EQ(pair.a.Send(whole).size(), 1u);
}

TEST(FragmentsTest, EspThatThisHostOnlyForwardsPasses) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  const Bytes theirs =
      IpPacket({.src = "198.51.100.1", .dst = "198.51.100.2", .proto = kProtoEsp}, Pattern(80));
  EXPECT_EQ(pair.b.Receive(Frame(theirs)).size(), 1u);
  const Bytes ours =
      IpPacket({.src = "198.51.100.1", .dst = "192.0.2.2", .proto = kProtoEsp}, Pattern(80));
  EXPECT_TRUE(pair.b.Receive(Frame(ours)).empty());
  EXPECT_EQ(pair.b.Drops(DropReason::kInNoState), 1u);
}

}  // namespace
}  // namespace cygnet
