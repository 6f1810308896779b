// Packets whose source route or routing header leads on to a destination that policy protects or
// blocks: outbound through pipeline and guard, inbound in clear.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/ip_protocol.h"
#include "support/stray_frame.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::IpFields;
using test::MakePolicy;
using test::Pattern;
using test::TestPair;
using test::Udp;
using test::operator+;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// A segment routing header whose last segment is `last`.
Bytes ToSegment(const char* last, uint8_t type = 4, uint8_t left = 1) {
  const IpAddress address = test::Ip(last);
  return Bytes{17, 2, type, left, 0, 0, 0, 0} + Bytes(address.bytes.begin(), address.bytes.end());
}

Bytes Routed(const Bytes& header, const char* first_hop = "2001:db8::66") {
  return Frame(Udp(
      {.src = "2001:db8::1", .dst = first_hop, .options = header, .first_header = kProtoRouting}, 5,
      6, Pattern(40)));
}

Bytes SourceRouted(const char* last) {
  const IpAddress to = test::Ip(last);
  return Frame(
      Udp({.src = "192.0.2.1",
           .dst = "192.0.2.66",
           .options = Bytes{131, 7, 4} + Bytes(to.bytes.begin(), to.bytes.begin() + 4) + Bytes{0}},
          5, 6, Pattern(40)));
}

class FurtherWayTest : public testing::Test {
 protected:
  void Block(test::TestHost& host, PolicyDirection direction, const char* to) {
    const bool v6 = std::string(to).find(':') != std::string::npos;
    host.AddPolicy(MakePolicy(direction, v6 ? "::/0" : "0.0.0.0/0", to, {}, PolicyAction::kBlock));
  }
  TestPair pair_;
};

TEST_F(FurtherWayTest, PolicyOfTheFinalDestinationHolds) {
  Block(pair_.a, PolicyDirection::kOut, "fd00:2::/32");
  Block(pair_.a, PolicyDirection::kOut, "10.2.0.0/16");
  for (const Bytes& frame : {Routed(ToSegment("fd00:2::1")), Routed(ToSegment("fd00:2::1", 0)),
                             Routed(ToSegment("fd00:2::1", 2)), SourceRouted("10.2.0.1")}) {
    EXPECT_THAT(pair_.a.Send(frame), IsEmpty());
  }
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutPolicyBlock), 4u);
  EXPECT_THAT(pair_.a.Send(Routed(ToSegment("fd00:2::1", 3))), IsEmpty()) << "it does not show";
  for (const Bytes& frame : {Routed(ToSegment("fd00:3::1")), SourceRouted("10.3.0.1"),
                             Routed(ToSegment("fd00:2::1", 4, 0))}) {
    EXPECT_THAT(pair_.a.Send(frame), ElementsAre(frame));
  }
}

TEST_F(FurtherWayTest, ProtectionOfTheFinalDestinationHolds) {
  pair_.Protect({.src = "2001:db8::1", .dst = "2001:db8::2"}, "2001:db8::1", "fd00:2::/32");
  EXPECT_THAT(pair_.a.Send(Routed(ToSegment("fd00:2::1"))), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutPolicyBlock), 1u);
}

TEST_F(FurtherWayTest, OnePolicyForBothSealsIt) {
  pair_.Protect({.src = "2001:db8::1", .dst = "2001:db8::2"}, "2001:db8::1", "::/0");
  const auto wire = pair_.a.Send(Routed(ToSegment("fd00:2::1")));
  ASSERT_THAT(wire, SizeIs(1));
  EXPECT_EQ(wire[0][14 + 6], kProtoEsp);
}

TEST_F(FurtherWayTest, NothingIsAskedWithoutPolicies) {
  const Bytes frame = Routed(ToSegment("fd00:2::1", 3));
  EXPECT_THAT(pair_.a.Send(frame), ElementsAre(frame));
  EXPECT_THAT(pair_.b.Receive(frame), SizeIs(1));
}

// The host would turn it towards another destination than policy has seen.
TEST_F(FurtherWayTest, ClearPacketsWithARouteAreRefused) {
  pair_.b.path.SetHostAddresses({test::Addr("192.0.2.66"), test::Addr("2001:db8::66")});
  Block(pair_.b, PolicyDirection::kIn, "10.2.0.0/16");
  for (const Bytes& frame : {Routed(ToSegment("fd00:2::1")), SourceRouted("10.2.0.1")}) {
    EXPECT_THAT(pair_.b.Receive(frame), IsEmpty());
  }
  EXPECT_EQ(pair_.b.Drops(DropReason::kInIpOptions), 2u);
  const Bytes passing = Routed(ToSegment("fd00:2::1"), "2001:db8::77");
  EXPECT_THAT(pair_.b.Receive(passing), SizeIs(1)) << "another host is asked";
}

TEST_F(FurtherWayTest, TheGuardAsksToo) {
  Block(pair_.a, PolicyDirection::kOut, "fd00:2::/32");
  const auto stray = [&](const Bytes& frame) { return test::LeavesUndecided(&pair_, frame); };
  EXPECT_THAT(stray(Routed(ToSegment("fd00:2::1"))), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kOutGuard), 1u);
  EXPECT_THAT(stray(Routed(ToSegment("fd00:3::1"))), SizeIs(1));
}

}  // namespace
}  // namespace cygnet
