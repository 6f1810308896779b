// Packets from the wire that are hostile, late or without an SA: dropped with a reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datapath/early_arrivals.h"
#include "support/esp_oracle.h"
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
using test::SealedFrame;
using test::TemplateFor;
using test::TestHost;
using test::TestPair;
using test::Udp;
using test::WithTrailer;
using testing::IsEmpty;
using testing::SizeIs;

const IpFields kInner{.src = "10.1.0.1", .dst = "10.2.0.1"};

// Host B alone, with one SA and its policies. The oracle makes the packets.
class InboundTest : public testing::Test {
 protected:
  void SetUp() override { Reset({}); }
  void Reset(const SaOptions& options) {
    pair_ = std::make_unique<TestPair>();
    pair_->Protect(options, "10.1.0.0/16", "10.2.0.0/16");
  }
  TestHost& b() { return pair_->b; }
  const SaSpec& spec() { return pair_->sa_b->spec(); }
  Bytes Inner() { return Udp(kInner, 1, 2, Pattern(50)); }
  Bytes Honest(uint64_t seq) { return SealedFrame(spec(), seq, WithTrailer(Inner(), 4)); }
  void ExpectDrop(const Bytes& frame, DropReason reason) {
    const uint64_t before = b().Drops(reason);
    const uint64_t all = b().AllDrops();
    EXPECT_THAT(b().Receive(frame), IsEmpty());
    EXPECT_EQ(b().Drops(reason), before + 1) << Describe(reason).name;
    EXPECT_EQ(b().AllDrops(), all + 1);
  }
  std::unique_ptr<TestPair> pair_;
};

TEST_F(InboundTest, OpensWhatTheOracleSealed) {
  EXPECT_THAT(b().Receive(Honest(1)), testing::ElementsAre(Frame(Inner())));
}

TEST_F(InboundTest, DuplicateIsDropped) {
  EXPECT_THAT(b().Receive(Honest(5)), SizeIs(1));
  ExpectDrop(Honest(5), DropReason::kInReplayDuplicate);
  EXPECT_EQ(pair_->sa_b->stats().replay, 1u);
}

TEST_F(InboundTest, DuplicatesWithinOneBatchAreDropped) {
  b().FromWire(Honest(1));
  b().FromWire(Honest(1));
  b().FromWire(Honest(2));
  b().FromWire(Honest(1));
  b().Run();
  EXPECT_THAT(b().ToHost(), SizeIs(2));
  EXPECT_EQ(b().Drops(DropReason::kInReplayDuplicate), 2u);
}

TEST_F(InboundTest, OldestOfTheWindowPassesAndTheNextOlderDoesNot) {
  EXPECT_THAT(b().Receive(Honest(100)), SizeIs(1));
  EXPECT_THAT(b().Receive(Honest(37)), SizeIs(1));
  ExpectDrop(Honest(36), DropReason::kInReplayOld);
  EXPECT_EQ(pair_->sa_b->stats().replay_window, 1u);
}

TEST_F(InboundTest, SequenceNumberZeroIsDropped) {
  ExpectDrop(Honest(0), DropReason::kInReplayZero);
}

TEST_F(InboundTest, ForgedPacketDoesNotMoveTheWindow) {
  Bytes forged = Honest(4000);
  forged.back() ^= 1;
  ExpectDrop(forged, DropReason::kInAuthFailed);
  EXPECT_THAT(b().Receive(Honest(1)), SizeIs(1));
}

TEST_F(InboundTest, UnknownSpiIsDropped) {
  Bytes frame = Honest(1);
  test::Put32(&frame, 34, 0x1001);
  ExpectDrop(frame, DropReason::kInNoState);
}

TEST_F(InboundTest, ReservedSpisAreDropped) {
  for (uint32_t spi = 0; spi < 256; ++spi) {
    Bytes frame = Honest(1);
    test::Put32(&frame, 34, spi);
    ExpectDrop(frame, DropReason::kInNoState);
  }
}

TEST_F(InboundTest, RightSpiAtAnotherAddressOfOursIsDropped) {
  b().SetAddresses({"192.0.2.2", "192.0.2.9", "10.2.0.1"});
  Bytes frame = Honest(1);
  frame[33] = 9;
  ExpectDrop(frame, DropReason::kInNoState);
}

TEST_F(InboundTest, EspToSomebodyElseIsNotOpened) {
  Bytes frame = Honest(1);
  frame[33] = 9;
  EXPECT_THAT(b().Receive(frame), testing::ElementsAre(frame));  // forwarded as it came
}

// Somebody on the way sends what this host sealed back to it. Its SA may have no direction.
TEST_F(InboundTest, WhatAnSaSendsToAnotherHostIsNotOpened) {
  b().SetAddresses({"192.0.2.7", "10.2.0.1"});
  EXPECT_THAT(b().Receive(Honest(1)), testing::ElementsAre(Honest(1))) << "to be forwarded";
  EXPECT_EQ(pair_->sa_b->lifetime().usage().packets, 0u);
  b().SetAddresses({"192.0.2.2", "10.2.0.1"});
  EXPECT_THAT(b().Receive(Honest(1)), testing::ElementsAre(Frame(Inner())));
  b().SetAddresses({"192.0.2.7", "10.2.0.1"});
  EXPECT_THAT(b().Receive(Honest(2)), testing::ElementsAre(Honest(2)));
}

TEST_F(InboundTest, AnySourceAddressIsTaken) {
  Bytes frame = Honest(1);
  frame[29] = 77;  // the SA is found by destination and SPI
  EXPECT_THAT(b().Receive(frame), SizeIs(1));
}

// An SPI that key management has reserved, without an SA yet.
SaPtr LarvalOf(const SaSpec& spec, uint32_t spi) {
  SaSpec larval;
  larval.daddr = spec.daddr;
  larval.family = spec.family;
  larval.proto = kProtoEsp;
  larval.spi = Spi(spi);
  return MakeSharedSa(std::move(larval), 0, Sa::Larval{});
}

TEST_F(InboundTest, LarvalSaDropsWhatItsSaDoesNotComeFor) {
  b().path.sad.Insert(LarvalOf(spec(), 0x2000));
  Bytes frame = Honest(1);
  test::Put32(&frame, 34, 0x2000);
  EXPECT_THAT(b().Receive(frame), IsEmpty());
  EXPECT_EQ(b().AllDrops(), 0u);
  b().clock.monotonic_ns += EarlyArrivals::kWaitMs * 1'000'000;
  b().Run();
  EXPECT_EQ(b().Drops(DropReason::kInAcquireState), 1u);
  EXPECT_EQ(b().AllDrops(), 1u);
}

TEST_F(InboundTest, WhatCameBeforeItsSaWaitsForIt) {
  const auto sa = pair_->sa_b;
  b().path.sad.Remove(sa);
  const auto larval = LarvalOf(spec(), spec().spi.value);
  b().path.sad.Insert(larval);
  b().path.BumpGeneration();
  b().FromWire(Honest(1));
  b().FromWire(Honest(2));
  b().Run();
  EXPECT_THAT(b().ToHost(), IsEmpty());
  b().path.sad.Insert(sa);
  b().path.sad.Remove(larval);
  b().path.BumpGeneration();
  b().FromWire(Honest(3));
  b().Run();
  EXPECT_THAT(b().ToHost(), SizeIs(3));
  EXPECT_EQ(b().AllDrops(), 0u);
}

TEST_F(InboundTest, NoMoreWaitForTheirSaThanThereIsRoomFor) {
  b().path.sad.Insert(LarvalOf(spec(), 0x2000));
  Bytes frame = Honest(1);
  test::Put32(&frame, 34, 0x2000);
  for (uint32_t i = 0; i < EarlyArrivals::kMaxPackets + 10; ++i) {
    b().FromWire(frame);
    b().Run();
  }
  EXPECT_EQ(b().Drops(DropReason::kInAcquireState), 10u);
}

TEST_F(InboundTest, ExpiredAndDeadSasDropAndDyingOnesStillServe) {
  pair_->sa_b->set_state(SaState::kDying);
  EXPECT_THAT(b().Receive(Honest(1)), SizeIs(1));
  pair_->sa_b->set_state(SaState::kExpired);
  ExpectDrop(Honest(2), DropReason::kInStateExpired);
  pair_->sa_b->set_state(SaState::kDead);
  ExpectDrop(Honest(3), DropReason::kInStateInvalid);
}

TEST_F(InboundTest, SaWithoutBindingDrops) {
  pair_->sa_b->inbound()->binding = nullptr;
  ExpectDrop(Honest(1), DropReason::kInStateInvalid);
}

TEST_F(InboundTest, SaForOutputOnlyDrops) {
  b().Add(SaOptions{.spi = 0x2000, .direction = SaDirection::kOut});
  Bytes frame = Honest(1);
  test::Put32(&frame, 34, 0x2000);
  ExpectDrop(frame, DropReason::kInWrongDirection);
}

// Behind the window the inferred high word is one too high (RFC 4303 appendix A2), so the ICV
// fails.
TEST_F(InboundTest, EsnPacketBehindTheWindowIsSaidToBeLate) {
  Reset({.flags = kSaFlagEsn, .window = 64});
  EXPECT_THAT(b().Receive(Honest(5000)), SizeIs(1));
  ExpectDrop(Honest(100), DropReason::kInLateBeyondWindow);
  const LatenessHistogram lateness = pair_->sa_b->inbound()->replay.lateness();
  EXPECT_GE(lateness.WindowForAll(), 4900u);
  // A damaged packet ahead of the window is still counted as an ICV failure.
  Bytes damaged = Honest(5001);
  damaged.back() ^= 1;
  ExpectDrop(damaged, DropReason::kInAuthFailed);
}

// A device's window runs ahead of this stack's; here the device inferred the wrong number.
TEST_F(InboundTest, EsnPacketBehindTheWindowOfADeviceIsSaidToBeLate) {
  TestPair pair({}, {.nic = true});
  const SaOptions options{
      .flags = kSaFlagEsn,
      .window = 64,
      .offload = OffloadRequest{OffloadMode::kCrypto, TestHost::kIfindex, true}};
  pair.sa_b = pair.b.Add(options);
  pair.AddPolicies(options, "10.1.0.0/16", "10.2.0.0/16");
  const SaBinding* binding = pair.sa_b->inbound()->binding.load();
  ASSERT_EQ(binding->device(), &pair.b.nic());
  pair.b.nic().AdvanceEsn(binding->handle, 5000);
  EXPECT_THAT(pair.b.Receive(SealedFrame(pair.sa_b->spec(), 100, WithTrailer(Inner(), 4))),
              IsEmpty());
  EXPECT_EQ(pair.b.Drops(DropReason::kInLateBeyondWindow), 1u);
  EXPECT_EQ(pair.b.Drops(DropReason::kInAuthFailed), 0u);
  Bytes damaged = SealedFrame(pair.sa_b->spec(), 5001, WithTrailer(Inner(), 4));
  damaged.back() ^= 1;
  EXPECT_THAT(pair.b.Receive(damaged), IsEmpty());
  EXPECT_EQ(pair.b.Drops(DropReason::kInAuthFailed), 1u);
}

TEST_F(InboundTest, EspWithoutUdpIsDroppedByAnEncapsulatedSa) {
  Reset({.encap = test::NatT()});
  SaSpec bare = test::MakeSpec();
  ExpectDrop(SealedFrame(bare, 1, WithTrailer(Inner(), 4)), DropReason::kInEncapMismatch);
}

TEST_F(InboundTest, EspInUdpIsDroppedByAPlainSa) {
  const SaSpec udp = test::MakeSpec({.encap = test::NatT()});
  ExpectDrop(SealedFrame(udp, 1, WithTrailer(Inner(), 4)), DropReason::kInEncapMismatch);
}

TEST_F(InboundTest, EspInUdpFromAnyPortIsTaken) {
  Reset({.encap = test::NatT()});
  const SaSpec moved = test::MakeSpec({.encap = test::NatT(61000, 4500)});
  EXPECT_THAT(b().Receive(SealedFrame(moved, 1, WithTrailer(Inner(), 4))), SizeIs(1));
}

TEST_F(InboundTest, NatKeepaliveIsSwallowedAndIsNoLoss) {
  const Bytes keepalive =
      Frame(Udp({.src = "192.0.2.1", .dst = "192.0.2.2"}, 4500, 4500, Bytes{0xff}));
  EXPECT_THAT(b().Receive(keepalive + Bytes(17, 0)), IsEmpty());
  EXPECT_EQ(b().AllDrops(), 0u);
}

// --- After authentication: the peer itself may be hostile ---

TEST_F(InboundTest, EveryPadLengthBeyondThePayloadIsDropped) {
  uint64_t seq = 0;
  for (const std::size_t text : {2u, 4u, 24u, 60u, 200u}) {
    for (uint32_t pad = 0; pad < 256; ++pad) {
      if (pad + 2 <= text) continue;
      Bytes payload = Pattern(text);
      payload[text - 2] = static_cast<uint8_t>(pad);
      payload[text - 1] = 4;
      ExpectDrop(SealedFrame(spec(), ++seq, payload), DropReason::kInBadTrailer);
    }
  }
  EXPECT_EQ(pair_->sa_b->inbound()->replay.highest(), 0u);
  EXPECT_EQ(pair_->sa_b->lifetime().usage().packets, 0u);
}

TEST_F(InboundTest, EveryPadLengthThatFitsIsTakenWhateverItsBytesAre) {
  for (uint32_t pad = 0; pad < 256; ++pad) {
    Bytes text = Inner() + Bytes(pad, 0xa5);
    text.push_back(static_cast<uint8_t>(pad));
    text.push_back(4);
    EXPECT_THAT(b().Receive(SealedFrame(spec(), pad + 1, text)),
                testing::ElementsAre(Frame(Inner())))
        << pad;
  }
}

TEST_F(InboundTest, PadThatEatsIntoTheInnerPacketIsDropped) {
  Bytes text = Inner();
  text.push_back(4);
  text.push_back(4);  // the last 4 bytes of the inner packet look like padding
  ExpectDrop(SealedFrame(spec(), 1, text), DropReason::kInModeMismatch);
}

TEST_F(InboundTest, TrafficFlowPaddingBehindTheInnerPacketIsCutOff) {
  for (const std::size_t extra : {1u, 4u, 100u, 900u}) {
    EXPECT_THAT(b().Receive(SealedFrame(spec(), extra, WithTrailer(Inner() + Bytes(extra, 0), 4))),
                testing::ElementsAre(Frame(Inner())));
  }
}

TEST_F(InboundTest, DummyPacketIsDroppedAndMovesNothing) {
  ExpectDrop(SealedFrame(spec(), 1, WithTrailer(Pattern(30), 59)), DropReason::kInDummy);
  EXPECT_EQ(pair_->sa_b->inbound()->replay.highest(), 0u);
  EXPECT_EQ(pair_->sa_b->lifetime().usage().packets, 0u);
}

TEST_F(InboundTest, EveryOtherNextHeaderIsDroppedInTunnelMode) {
  for (uint32_t next = 0; next < 256; ++next) {
    if (next == 4 || next == 59) continue;
    ExpectDrop(SealedFrame(spec(), next + 1, WithTrailer(Inner(), static_cast<uint8_t>(next))),
               DropReason::kInModeMismatch);
  }
}

TEST_F(InboundTest, InnerHeadersThatLieAreDropped) {
  struct Lie {
    const char* name;
    std::size_t at;
    uint8_t value;
  };
  const Lie lies[] = {
      {"version 6", 0, 0x65},         {"version 0", 0, 0x05},     {"header of 16", 0, 0x44},
      {"header of 0", 0, 0x40},       {"length 0x1000", 2, 0x10}, {"length one more", 3, 79},
      {"length below header", 3, 19}, {"length 0", 3, 0},
  };
  uint64_t seq = 0;
  for (const Lie& lie : lies) {
    SCOPED_TRACE(lie.name);
    Bytes inner = Inner();
    ASSERT_EQ(inner.size(), 78u);
    inner[lie.at] = lie.value;
    ExpectDrop(SealedFrame(spec(), ++seq, WithTrailer(inner, 4)), DropReason::kInModeMismatch);
  }
  Bytes options = Inner();
  options.resize(24);
  options[0] = 0x4f;  // claims 60 bytes of header
  ExpectDrop(SealedFrame(spec(), ++seq, WithTrailer(options, 4)), DropReason::kInModeMismatch);
}

TEST_F(InboundTest, EveryTruncatedInnerPacketIsDropped) {
  const Bytes inner = Inner();
  for (std::size_t n = 0; n < inner.size(); ++n) {
    const Bytes cut(inner.begin(), inner.begin() + static_cast<std::ptrdiff_t>(n));
    ExpectDrop(SealedFrame(spec(), n + 1, WithTrailer(cut, 4)), DropReason::kInModeMismatch);
  }
}

TEST_F(InboundTest, EveryTruncatedInnerIpv6PacketIsDropped) {
  const Bytes inner = Udp({.src = "fd01::1", .dst = "fd02::1"}, 1, 2, Pattern(50));
  for (std::size_t n = 0; n < inner.size(); ++n) {
    const Bytes cut(inner.begin(), inner.begin() + static_cast<std::ptrdiff_t>(n));
    ExpectDrop(SealedFrame(spec(), n + 1, WithTrailer(cut, 41)), DropReason::kInModeMismatch);
  }
}

TEST_F(InboundTest, TransportPayloadOfNothingIsAPacketWithAHeaderOnly) {
  Reset({.mode = SaMode::kTransport});
  b().AddPolicy(MakePolicy(PolicyDirection::kIn, "192.0.2.1", "192.0.2.2",
                           {TemplateFor({.mode = SaMode::kTransport})}));
  const Bytes got =
      Frame(test::IpPacket({.src = "192.0.2.1", .dst = "192.0.2.2", .proto = 17}, {}));
  EXPECT_THAT(b().Receive(SealedFrame(spec(), 1, WithTrailer({}, 17))), testing::ElementsAre(got));
}

// --- Policy after ESP ---

TEST_F(InboundTest, InnerFlowOutsideThePolicyIsDropped) {
  const Bytes inner = Udp({.src = "10.1.0.1", .dst = "10.3.0.1"}, 1, 2, Pattern(8));
  ExpectDrop(SealedFrame(spec(), 1, WithTrailer(inner, 4)), DropReason::kInNoPolicy);
}

TEST_F(InboundTest, InnerFlowOutsideTheSasSelectorIsDropped) {
  SaSpec narrow = test::MakeSpec({.spi = 0x3000});
  narrow.selector = test::MakeSelector("10.1.0.0/16", "10.2.5.0/24");
  const auto sa = b().Add(std::move(narrow));
  ExpectDrop(SealedFrame(sa->spec(), 1, WithTrailer(Inner(), 4)), DropReason::kInSelectorMismatch);
  const Bytes inside = Udp({.src = "10.1.0.1", .dst = "10.2.5.1"}, 1, 2, Pattern(8));
  EXPECT_THAT(b().Receive(SealedFrame(sa->spec(), 2, WithTrailer(inside, 4))), SizeIs(1));
}

TEST_F(InboundTest, SaThatThePolicyDoesNotNameIsDropped) {
  struct Other {
    const char* name;
    SaOptions options;
  };
  const Other others[] = {{"reqid", {.spi = 0x3000, .reqid = 2}},
                          {"source", {.src = "192.0.2.7", .spi = 0x3001}}};
  for (const Other& other : others) {
    SCOPED_TRACE(other.name);
    const auto sa = b().Add(other.options);
    ExpectDrop(SealedFrame(sa->spec(), 1, WithTrailer(Inner(), 4)),
               DropReason::kInTemplateMismatch);
  }
}

TEST_F(InboundTest, TemplateReqidZeroTakesAnySa) {
  SaOptions any{.reqid = 0};
  pair_ = std::make_unique<TestPair>();
  const auto sa = b().Add(SaOptions{.reqid = 7});
  b().AddPolicy(MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16", {TemplateFor(any)}));
  EXPECT_THAT(b().Receive(SealedFrame(sa->spec(), 1, WithTrailer(Inner(), 4))), SizeIs(1));
}

TEST_F(InboundTest, BlockPolicyDropsWhatAnSaBrought) {
  b().AddPolicy(
      MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kBlock, 1));
  ExpectDrop(Honest(1), DropReason::kInPolicyBlock);
}

TEST_F(InboundTest, AllowWithoutTemplateDoesNotLetATunnelIn) {
  b().AddPolicy(
      MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16", {}, PolicyAction::kAllow, 1));
  ExpectDrop(Honest(1), DropReason::kInTemplateMismatch);
}

TEST_F(InboundTest, ForwardPolicyDecidesForAddressesThatAreNotOurs) {
  b().AddPolicy(MakePolicy(PolicyDirection::kForward, "10.1.0.0/16", "10.2.0.0/16", {},
                           PolicyAction::kBlock, 1));
  EXPECT_THAT(b().Receive(Honest(1)), SizeIs(1));
  const Bytes behind = Udp({.src = "10.1.0.1", .dst = "10.2.0.9"}, 1, 2, Pattern(8));
  ExpectDrop(SealedFrame(spec(), 2, WithTrailer(behind, 4)), DropReason::kInPolicyBlock);
}

TEST_F(InboundTest, PlaintextThatShouldBeProtectedIsDropped) {
  ExpectDrop(Frame(Inner()), DropReason::kInTemplateMismatch);
}

TEST_F(InboundTest, PlaintextThatNoPolicyNamesFollowsTheDefault) {
  const Bytes other = Frame(Udp({.src = "10.9.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(8)));
  EXPECT_THAT(b().Receive(other), SizeIs(1));
  b().path.spd.SetDefault(PolicyDirection::kIn, PolicyAction::kBlock);
  b().path.BumpGeneration();
  ExpectDrop(other, DropReason::kInNoPolicy);
}

TEST_F(InboundTest, PlaintextFragmentsAreHeldToPolicy) {
  IpFields f = kInner;
  f.proto = 1;
  f.fragment = 0x2000;  // the whole datagram is awaited, because its ports may decide
  EXPECT_THAT(b().Receive(Frame(test::IpPacket(f, Pattern(64)))), IsEmpty());
  EXPECT_EQ(b().AllDrops(), 0u);
  f.fragment = 64 / 8;
  ExpectDrop(Frame(test::IpPacket(f, Pattern(64))), DropReason::kInTemplateMismatch);
}

TEST_F(InboundTest, OptionalTemplateLetsPlaintextIn) {
  Template tmpl = TemplateFor({});
  tmpl.optional = true;
  b().AddPolicy(MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16", {tmpl},
                           PolicyAction::kAllow, 1));
  EXPECT_THAT(b().Receive(Frame(Inner())), SizeIs(1));
  EXPECT_THAT(b().Receive(Honest(1)), SizeIs(1));
}

TEST_F(InboundTest, RemovedSaIsNotUsedByTheNextPacket) {
  EXPECT_THAT(b().Receive(Honest(1)), SizeIs(1));
  b().path.sad.Remove(pair_->sa_b);
  b().path.BumpGeneration();
  ExpectDrop(Honest(2), DropReason::kInNoState);
}

// csum_start and csum_offset of the outer packet do not apply to the inner one.
TEST_F(InboundTest, UnfinishedOuterChecksumIsNotCarriedToTheInnerPacket) {
  PacketPools& pools = pair_->pools;
  Packet* packet = test::MakePacket(&pools, Honest(1));
  packet->csum_partial = true;
  packet->csum_start = 34;
  packet->csum_offset = 6;
  b().wire_port().arriving.push_back(packet);
  b().Run();
  ASSERT_EQ(b().host_port().sent.size(), 1u);
  EXPECT_FALSE(b().host_port().sent.front()->csum_partial);
}

}  // namespace
}  // namespace cygnet
