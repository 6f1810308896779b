// Two hosts back to back: what one sends, the other's host receives, byte for byte. Packets that
// may not pass are dropped with the right reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/hex.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::IpFields;
using test::MakePolicy;
using test::Pattern;
using test::SaOptions;
using test::TemplateFor;
using test::TestPair;
using test::Udp;
using testing::IsEmpty;
using testing::SizeIs;

struct Shape {
  const char* name;
  SaMode mode;
  const char* outer_a;
  const char* outer_b;
  const char* inner_a;
  const char* inner_b;
  bool esn;
  bool udp;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

class RoundTripTest : public testing::TestWithParam<Shape> {
 protected:
  SaOptions Options() const {
    SaOptions o{.src = GetParam().outer_a, .dst = GetParam().outer_b, .mode = GetParam().mode};
    if (GetParam().esn) o.flags = kSaFlagEsn;
    if (GetParam().udp) o.encap = test::NatT();
    return o;
  }
  IpFields Fields() const { return {.src = GetParam().inner_a, .dst = GetParam().inner_b}; }
};

TEST_P(RoundTripTest, DeliversEveryPayloadSizeUnchanged) {
  TestPair pair;
  pair.Protect(Options(), GetParam().inner_a, GetParam().inner_b);
  for (const std::size_t size : {0u, 1u, 2u, 3u, 4u, 5u, 17u, 63u, 64u, 65u, 500u, 1200u}) {
    const Bytes sent = Frame(Udp(Fields(), 1111, 2222, Pattern(size)));
    const std::vector<Bytes> got = pair.Deliver(sent);
    ASSERT_THAT(got, SizeIs(1)) << "payload " << size;
    EXPECT_EQ(test::ToHex(got[0]), test::ToHex(sent)) << "payload " << size;
    ASSERT_THAT(pair.wire, SizeIs(1));
    EXPECT_THAT(test::ToHex(pair.wire[0]),
                testing::Not(testing::HasSubstr(size >= 17 ? test::ToHex(Pattern(17)) : "none")));
  }
  EXPECT_EQ(pair.a.AllDrops(), 0u);
  EXPECT_EQ(pair.b.AllDrops(), 0u);
}

TEST_P(RoundTripTest, KeepsTheOrderOfManyPackets) {
  TestPair pair;
  pair.Protect(Options(), GetParam().inner_a, GetParam().inner_b);
  std::vector<Bytes> sent;
  for (uint8_t i = 0; i < 200; ++i) {
    sent.push_back(Frame(Udp(Fields(), 1111, 2222, Pattern(100 + i, i))));
    pair.a.FromHost(sent.back());
  }
  pair.a.Run();
  const std::vector<Bytes> wire = pair.a.ToWire();
  ASSERT_THAT(wire, SizeIs(200));
  for (const Bytes& frame : wire) pair.b.FromWire(frame);
  pair.b.Run();
  EXPECT_EQ(pair.b.ToHost(), sent);
  EXPECT_EQ(pair.sa_a->lifetime().usage().packets, 200u);
  EXPECT_EQ(pair.sa_b->lifetime().usage().packets, 200u);
  EXPECT_EQ(pair.sa_a->lifetime().usage().bytes, pair.sa_b->lifetime().usage().bytes);
}

TEST_P(RoundTripTest, EveryDamagedByteOfEspIsDropped) {
  TestPair pair;
  pair.Protect(Options(), GetParam().inner_a, GetParam().inner_b);
  const std::vector<Bytes> wire = pair.a.Send(Frame(Udp(Fields(), 1111, 2222, Pattern(40))));
  ASSERT_THAT(wire, SizeIs(1));
  const bool outer_v4 = wire[0][12] == 8;
  const std::size_t esp = 14 + (outer_v4 ? 20 : 40) + (GetParam().udp ? 8 : 0);
  for (std::size_t i = esp; i < wire[0].size(); ++i) {
    Bytes bad = wire[0];
    bad[i] ^= 0x20;  // 0x10 would make SPI 0 of 0x1000: the non-ESP marker
    EXPECT_THAT(pair.b.Receive(bad), IsEmpty()) << "byte " << i - esp << " of ESP";
  }
  // The first four bytes are the SPI of an unknown SA; a wrong sequence number or body fails the
  // ICV.
  EXPECT_EQ(pair.b.Drops(DropReason::kInNoState), 4u);
  EXPECT_EQ(pair.b.Drops(DropReason::kInAuthFailed), wire[0].size() - esp - 4);
  EXPECT_EQ(pair.sa_b->stats().integrity_failed, wire[0].size() - esp - 4);
  EXPECT_EQ(pair.sa_b->inbound()->replay.highest(), 0u);
  EXPECT_EQ(pair.sa_b->lifetime().usage().packets, 0u);
  EXPECT_THAT(pair.b.Receive(wire[0]), SizeIs(1));
}

TEST_P(RoundTripTest, EveryTruncationIsDroppedAndNeverDelivered) {
  TestPair pair;
  pair.Protect(Options(), GetParam().inner_a, GetParam().inner_b);
  const std::vector<Bytes> wire = pair.a.Send(Frame(Udp(Fields(), 1111, 2222, Pattern(40))));
  ASSERT_THAT(wire, SizeIs(1));
  for (std::size_t n = 0; n < wire[0].size(); ++n) {
    Bytes cut(wire[0].begin(), wire[0].begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_THAT(pair.b.Receive(cut), IsEmpty()) << n << " bytes";
  }
  EXPECT_EQ(pair.b.AllDrops(), wire[0].size());
}

TEST_P(RoundTripTest, EveryTruncationWithAFittingIpLengthIsDropped) {
  TestPair pair;
  pair.Protect(Options(), GetParam().inner_a, GetParam().inner_b);
  const std::vector<Bytes> wire = pair.a.Send(Frame(Udp(Fields(), 1111, 2222, Pattern(40))));
  ASSERT_THAT(wire, SizeIs(1));
  const bool v4 = wire[0][12] == 8;
  const std::size_t front = v4 ? 34 : 54;
  const std::size_t esp = front + (GetParam().udp ? 8u : 0u);
  for (std::size_t n = front; n < wire[0].size(); ++n) {
    Bytes cut(wire[0].begin(), wire[0].begin() + static_cast<std::ptrdiff_t>(n));
    test::Put16(&cut, v4 ? 16 : 18, static_cast<uint32_t>(n - (v4 ? 14 : 54)));
    if (GetParam().udp) {
      if (n < front + 8) continue;  // no longer ESP: a truncated UDP header
      test::Put16(&cut, front + 4, static_cast<uint32_t>(n - front));
      if (n - esp <= 8) continue;  // too short for ESP in UDP: left to the IKE daemon
    }
    EXPECT_THAT(pair.b.Receive(cut), IsEmpty()) << n - esp << " bytes of ESP";
  }
  EXPECT_EQ(pair.b.Drops(DropReason::kInTooShort), GetParam().udp ? 0u : 8u);
  // The smallest packet that can be opened: 8 header + 8 IV + 2 trailer + 16 ICV.
  EXPECT_EQ(pair.b.Drops(DropReason::kInTruncated), GetParam().udp ? 34u - 9u : 34u - 8u);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, RoundTripTest,
    testing::Values(Shape{"Tunnel4in4", SaMode::kTunnel, "192.0.2.1", "192.0.2.2", "10.1.0.1",
                          "10.2.0.1", false, false},
                    Shape{"Tunnel6in6", SaMode::kTunnel, "2001:db8::1", "2001:db8::2", "fd01::1",
                          "fd02::1", false, false},
                    Shape{"Tunnel4in6", SaMode::kTunnel, "2001:db8::1", "2001:db8::2", "10.1.0.1",
                          "10.2.0.1", false, false},
                    Shape{"Tunnel6in4", SaMode::kTunnel, "192.0.2.1", "192.0.2.2", "fd01::1",
                          "fd02::1", false, false},
                    Shape{"Transport4", SaMode::kTransport, "192.0.2.1", "192.0.2.2", "192.0.2.1",
                          "192.0.2.2", false, false},
                    Shape{"Transport6", SaMode::kTransport, "2001:db8::1", "2001:db8::2",
                          "2001:db8::1", "2001:db8::2", false, false},
                    Shape{"Tunnel4in4Esn", SaMode::kTunnel, "192.0.2.1", "192.0.2.2", "10.1.0.1",
                          "10.2.0.1", true, false},
                    Shape{"Tunnel4in4Udp", SaMode::kTunnel, "192.0.2.1", "192.0.2.2", "10.1.0.1",
                          "10.2.0.1", false, true},
                    Shape{"Tunnel6in6Udp", SaMode::kTunnel, "2001:db8::1", "2001:db8::2", "fd01::1",
                          "fd02::1", false, true},
                    Shape{"Transport4Udp", SaMode::kTransport, "192.0.2.1", "192.0.2.2",
                          "192.0.2.1", "192.0.2.2", false, true},
                    Shape{"Transport6UdpEsn", SaMode::kTransport, "2001:db8::1", "2001:db8::2",
                          "2001:db8::1", "2001:db8::2", true, true}),
    [](const auto& shape) { return std::string(shape.param.name); });

// --- Policy, one direction at a time ---

const IpFields kInner{.src = "10.1.0.1", .dst = "10.2.0.1"};
const Bytes& InnerFrame() {
  static const Bytes frame = Frame(Udp(kInner, 1111, 2222, Pattern(60)));
  return frame;
}

TEST(OutboundPolicyTest, WithoutAnyPolicyEverythingPasses) {
  TestPair pair;
  EXPECT_THAT(pair.a.Send(InnerFrame()), testing::ElementsAre(InnerFrame()));
}

TEST(OutboundPolicyTest, BlockDrops) {
  TestPair pair;
  pair.a.AddPolicy(
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kBlock));
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutPolicyBlock), 1u);
}

TEST(OutboundPolicyTest, AllowWithoutTemplatePassesInClear) {
  TestPair pair;
  pair.a.path.spd.SetDefault(PolicyDirection::kOut, PolicyAction::kBlock);
  pair.a.AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16"));
  EXPECT_THAT(pair.a.Send(InnerFrame()), SizeIs(1));
}

TEST(OutboundPolicyTest, DefaultBlockDropsWhatNoPolicyNames) {
  TestPair pair;
  pair.a.path.spd.SetDefault(PolicyDirection::kOut, PolicyAction::kBlock);
  pair.a.path.BumpGeneration();
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutPolicyBlock), 1u);
}

TEST(OutboundPolicyTest, WithoutAnSaThePacketIsDroppedAndKeyManagementAsked) {
  TestPair pair;
  const auto policy = pair.a.AddPolicy(
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor({})}));
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutNoState), 1u);
  const auto events = pair.a.Events();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].kind, DataPathEvent::Kind::kAcquire);
  EXPECT_EQ(events[0].policy_number, policy->number);
  EXPECT_EQ(events[0].flow.daddr, test::Ip("10.2.0.1"));
  EXPECT_EQ(events[0].flow.dport, 2222);
}

TEST(OutboundPolicyTest, AnSaThatAppearsIsUsedByTheNextPacket) {
  TestPair pair;
  pair.a.AddPolicy(
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor({})}));
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
  pair.a.Add(SaOptions{});
  EXPECT_THAT(pair.a.Send(InnerFrame()), SizeIs(1));
}

TEST(OutboundPolicyTest, ARemovedSaIsNotUsedByTheNextPacket) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_THAT(pair.a.Send(InnerFrame()), SizeIs(1));
  pair.a.path.sad.Remove(pair.sa_a);
  pair.a.path.BumpGeneration();
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutNoState), 1u);
}

TEST(OutboundPolicyTest, OptionalTemplateWithoutSaPassesInClearAndAsks) {
  TestPair pair;
  SaOptions transport{.mode = SaMode::kTransport};
  Template tmpl = TemplateFor(transport);
  tmpl.optional = true;
  pair.a.AddPolicy(MakePolicy(PolicyDirection::kOut, "192.0.2.1", "192.0.2.2", {tmpl}));
  const Bytes frame = Frame(Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, 1, 2, Pattern(9)));
  EXPECT_THAT(pair.a.Send(frame), testing::ElementsAre(frame));
  EXPECT_THAT(pair.a.Events(), SizeIs(1));
}

TEST(OutboundPolicyTest, APolicyThatChangesTakesEffectAtTheNextPacket) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_THAT(pair.a.Send(InnerFrame()), SizeIs(1));
  pair.a.AddPolicy(
      MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kBlock, 1));
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
}

TEST(OutboundPolicyTest, MatchMovesTheIdleClockOfThePolicy) {
  TestPair pair;
  const auto policy =
      pair.a.AddPolicy(MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16"));
  EXPECT_EQ(policy->use_time.load(), 0u);
  for (const uint64_t now : {1'800'000'000u, 1'800'000'005u}) {
    pair.a.clock.wall_seconds = now;
    pair.a.Send(InnerFrame());
    EXPECT_EQ(policy->use_time.load(), now);
  }
}

TEST(OutboundTest, AnSaWithoutBindingDropsAndNeverPassesInClear) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  pair.sa_a->outbound()->binding = nullptr;
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutStateInvalid), 1u);
}

TEST(OutboundTest, AnSaThatExpiredMeanwhileDrops) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_THAT(pair.a.Send(InnerFrame()), SizeIs(1));
  pair.sa_a->set_state(SaState::kExpired);  // the flow cache still refers to it
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutStateInvalid), 1u);
}

TEST(OutboundTest, MalformedPacketIsDropped) {
  TestPair pair;
  Bytes frame = InnerFrame();
  test::Put16(&frame, 16, 2000);  // longer than the frame
  EXPECT_THAT(pair.a.Send(frame), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutBadPacket), 1u);
}

TEST(OutboundTest, EtherTypeThatBeliesTheVersionIsDropped) {
  TestPair pair;
  Bytes frame = InnerFrame();
  test::Put16(&frame, 12, 0x86dd);
  EXPECT_THAT(pair.a.Send(frame), IsEmpty());
  EXPECT_THAT(pair.b.Receive(frame), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutBadPacket), 1u);
  EXPECT_EQ(pair.b.Drops(DropReason::kInBadHeader), 1u);
}

TEST(OutboundTest, FrameWithoutATypeIsDropped) {
  TestPair pair;
  EXPECT_THAT(pair.a.Send(Pattern(13)), IsEmpty());
  EXPECT_THAT(pair.b.Receive(Pattern(13)), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kPortBadFrame), 1u);
  EXPECT_EQ(pair.b.Drops(DropReason::kPortBadFrame), 1u);
}

TEST(OutboundTest, EthernetPaddingDoesNotTravel) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  const Bytes small = Frame(Udp(kInner, 1, 2, Pattern(3)));
  const std::vector<Bytes> got = pair.Deliver(small + Bytes(29, 0xee));
  EXPECT_THAT(got, testing::ElementsAre(small));
}

TEST(OutboundTest, TunnelModeCarriesFragments) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  IpFields f = kInner;
  f.dst = "10.2.0.9";  // behind B: they are forwarded as they were cut
  std::vector<Bytes> sent;
  std::vector<Bytes> got;
  for (const uint16_t fragment : {uint16_t{0x2000}, uint16_t{0x2008}, uint16_t{0x0010}}) {
    f.fragment = fragment;
    sent.push_back(Frame(test::IpPacket(f, Pattern(64))));
    got = pair.Deliver(sent.back());
    EXPECT_THAT(pair.wire, SizeIs(1));
  }
  EXPECT_EQ(got, sent);  // after the last fragment
}

TEST(OutboundTest, TunnelGoesToTheNextHopThatIsKnown) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  pair.sa_a->outbound()->next_hop.Set({2, 9, 9, 9, 9, 9}, 0);
  const std::vector<Bytes> wire = pair.a.Send(InnerFrame());
  ASSERT_THAT(wire, SizeIs(1));
  EXPECT_EQ(Bytes(wire[0].begin(), wire[0].begin() + 12),
            (Bytes{2, 9, 9, 9, 9, 9, 2, 0, 0, 0, 0, 1}));
}

TEST(OutboundTest, TunnelLeavesByTheInterfaceOfItsNextHop) {
  TestPair pair({.interfaces = 2});
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  pair.sa_a->outbound()->next_hop.Set({2, 9, 9, 9, 9, 9}, 1);
  EXPECT_THAT(pair.a.Send(InnerFrame()), IsEmpty());
  EXPECT_THAT(pair.a.ToWire(1), SizeIs(1));
}

// --- VLAN tags ---

TEST(VlanTest, TaggedIpIsProtectedAndKeepsItsTags) {
  for (const Bytes& tags : {Bytes{0x81, 0, 0, 5}, Bytes{0x88, 0xa8, 0, 7, 0x81, 0, 0, 5}}) {
    TestPair pair;
    pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
    const Bytes frame = Frame(Udp(kInner, 1, 2, Pattern(60)), tags);
    const std::vector<Bytes> got = pair.Deliver(frame);
    ASSERT_THAT(pair.wire, SizeIs(1));
    EXPECT_EQ(pair.wire[0][14 + tags.size() + 9], kProtoEsp);
    EXPECT_THAT(got, testing::ElementsAre(frame));
  }
}

TEST(VlanTest, TaggedPlaintextIsHeldToPolicy) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  const Bytes frame = Frame(Udp(kInner, 1, 2, Pattern(60)), {0x81, 0, 0, 5});
  EXPECT_THAT(pair.b.Receive(frame), IsEmpty());
  EXPECT_EQ(pair.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

// A packet decided by the flow cache, or earlier in a batch, before its SA was rekeyed and deleted.
TEST(RekeyTest, APacketWhoseSaWentTakesTheOneThatIsThereNow) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  const Bytes inner = Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(50));
  EXPECT_THAT(pair.Deliver(Frame(inner)), SizeIs(1));
  const SaOptions fresh{.spi = 0x1001};
  pair.b.Add(fresh);
  pair.a.Add(fresh);
  pair.sa_a->set_state(SaState::kDead);
  pair.a.path.sad.Remove(pair.sa_a);  // workers do not know yet
  EXPECT_THAT(pair.Deliver(Frame(inner)), SizeIs(1));
  EXPECT_EQ(pair.a.AllDrops(), 0u);
  EXPECT_EQ(pair.b.AllDrops(), 0u);
}

}  // namespace
}  // namespace cygnet
