// Lifetimes and sequence numbers at their ends, as the pipelines enforce them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/esp_oracle.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::IpFields;
using test::Pattern;
using test::SaOptions;
using test::TestHost;
using test::TestPair;
using test::Udp;
using testing::IsEmpty;
using testing::SizeIs;
using Kind = DataPathEvent::Kind;

const IpFields kInner{.src = "10.1.0.1", .dst = "10.2.0.1"};
constexpr std::size_t kInnerBytes = 100;  // of the inner packet

Bytes InnerFrame(uint8_t seed = 1) { return Frame(Udp(kInner, 1, 2, Pattern(72, seed))); }

std::vector<Kind> Kinds(TestHost* host) {
  std::vector<Kind> out;
  for (const DataPathEvent& event : host->Events()) out.push_back(event.kind);
  return out;
}

std::size_t SendPackets(TestPair* pair, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) pair->a.FromHost(InnerFrame(static_cast<uint8_t>(i)));
  pair->a.Run();
  pair->wire = pair->a.ToWire();
  return pair->wire.size();
}

TEST(LifetimeTest, HardPacketLimitCutsTheBatch) {
  TestPair pair;
  pair.Protect({.limits = {.hard_packets = 5}}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 8), 5u);
  EXPECT_EQ(pair.a.Drops(DropReason::kOutStateExpired), 3u);
  EXPECT_EQ(pair.sa_a->drops(DropReason::kOutStateExpired), 3u);
  const auto events = pair.a.Events();
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(events[0].kind, Kind::kHardLimit);
  EXPECT_EQ(events[0].sa_number, pair.sa_a->number);
  EXPECT_EQ(pair.sa_a->lifetime().usage().packets, 5u);
  EXPECT_EQ(pair.sa_a->lifetime().usage().bytes, 5 * kInnerBytes);
}

TEST(LifetimeTest, HardLimitOfZeroLetsNothingOut) {
  TestPair pair;
  pair.Protect({.limits = {.hard_bytes = 0}}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 3), 0u);
  EXPECT_THAT(Kinds(&pair.a), testing::ElementsAre(Kind::kHardLimit));
}

TEST(LifetimeTest, ByteLimitIsTestedBeforeThePacketIsCounted) {
  TestPair pair;
  pair.Protect({.limits = {.hard_bytes = 2 * kInnerBytes + 1}}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 5), 3u);
}

TEST(LifetimeTest, SoftLimitIsSignalledOnceAndNothingIsLost) {
  TestPair pair;
  pair.Protect({.limits = {.soft_packets = 2}}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 2), 2u);
  EXPECT_THAT(Kinds(&pair.a), IsEmpty());
  EXPECT_EQ(SendPackets(&pair, 1), 1u);
  EXPECT_THAT(Kinds(&pair.a), testing::ElementsAre(Kind::kSoftLimit));
  EXPECT_EQ(SendPackets(&pair, 10), 10u);
  EXPECT_THAT(Kinds(&pair.a), IsEmpty());
}

TEST(LifetimeTest, InboundHardLimitDropsAfterAuthentication) {
  TestPair pair;
  SaOptions limited;
  pair.sa_a = pair.a.Add(limited);
  limited.limits.hard_packets = 2;
  pair.sa_b = pair.b.Add(limited);
  pair.AddPolicies(limited, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 4), 4u);
  for (const Bytes& frame : pair.wire) pair.b.FromWire(frame);
  pair.b.Run();
  EXPECT_THAT(pair.b.ToHost(), SizeIs(2));
  EXPECT_EQ(pair.b.Drops(DropReason::kInStateExpired), 2u);
  EXPECT_THAT(Kinds(&pair.b), testing::ElementsAre(Kind::kHardLimit));
}

TEST(LifetimeTest, ForgedPacketsAreNotCharged) {
  TestPair pair;
  pair.Protect({.limits = {.hard_packets = 1}}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 1), 1u);
  Bytes forged = pair.wire[0];
  forged.back() ^= 1;
  EXPECT_THAT(pair.b.Receive(forged), IsEmpty());
  EXPECT_THAT(pair.b.Receive(pair.wire[0]), SizeIs(1));
}

TEST(LifetimeTest, BothEndsChargeTheSameBytesForIpv6ExtensionHeaders) {
  TestPair pair;
  pair.Protect({.src = "2001:db8::1", .dst = "2001:db8::2", .mode = SaMode::kTransport},
               "2001:db8::1", "2001:db8::2");
  const IpFields f{.src = "2001:db8::1",
                   .dst = "2001:db8::2",
                   .proto = 17,
                   .options = {17, 0, 1, 4, 0, 0, 0, 0},
                   .first_header = 60};
  const Bytes frame = Frame(test::IpPacket(f, Pattern(40)));
  EXPECT_THAT(pair.Deliver(frame), testing::ElementsAre(frame));
  EXPECT_EQ(pair.sa_a->lifetime().usage().bytes, 40u);
  EXPECT_EQ(pair.sa_b->lifetime().usage().bytes, 40u);
}

TEST(SequenceTest, FirstPacketCarriesOne) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 3), 3u);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(test::Get32(pair.wire[i], 38), i + 1);
}

TEST(SequenceTest, WithoutEsnNothingLeavesAfterTheLast32BitNumber) {
  TestPair pair;
  pair.Protect({.oseq = 0xfffffffc, .seq = 0xfffffff0}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 6), 3u);
  EXPECT_EQ(test::Get32(pair.wire[2], 38), 0xffffffffu);
  EXPECT_EQ(pair.a.Drops(DropReason::kOutSequence), 3u);
  EXPECT_THAT(Kinds(&pair.a), testing::ElementsAre(Kind::kSequenceExhausted));
  EXPECT_EQ(SendPackets(&pair, 1), 0u);
  EXPECT_EQ(pair.a.Drops(DropReason::kOutSequence), 4u);
}

TEST(SequenceTest, ABlockOfNumbersEndsAndTheNextOneIsAskedForInTime) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  SequenceCounter& counter = pair.sa_a->outbound()->sequence;
  counter.RequireBlocks();
  counter.Allow({1, 4}, 2);
  EXPECT_EQ(SendPackets(&pair, 3), 3u);
  EXPECT_THAT(Kinds(&pair.a), testing::ElementsAre(Kind::kNumbersLow));
  EXPECT_EQ(SendPackets(&pair, 3), 1u);
  EXPECT_EQ(pair.a.Drops(DropReason::kOutNoNumbers), 2u);
  EXPECT_THAT(Kinds(&pair.a), IsEmpty()) << "asked once, and not exhausted";
  counter.Allow({101, 104}, 102);
  EXPECT_EQ(SendPackets(&pair, 1), 1u);
  EXPECT_EQ(test::Get32(pair.wire[0], 38), 101u);
}

TEST(SequenceTest, NumbersAboveTheMarkAreDroppedAfterAuthentication) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  ReplayWindow& window = pair.sa_b->inbound()->replay;
  EXPECT_EQ(window.SetMark(2, 2), 2u);
  for (const std::size_t passes : {1u, 1u, 0u}) {
    EXPECT_THAT(pair.Deliver(InnerFrame()), SizeIs(passes));
  }
  EXPECT_EQ(pair.b.Drops(DropReason::kInNoNumbers), 1u);
  EXPECT_THAT(Kinds(&pair.b), testing::ElementsAre(Kind::kNumbersLow, Kind::kNumbersLow))
      << "at the mark, and above it";
  EXPECT_EQ(window.SetMark(8, 8), 8u);
  EXPECT_THAT(pair.Deliver(InnerFrame()), SizeIs(1));
}

TEST(SequenceTest, MayWrapGoesOnWithAFreshIv) {
  TestPair pair;
  pair.Protect({.extra_flags = kSaExtraOseqMayWrap, .window = 0, .oseq = 0xfffffffe}, "10.1.0.0/16",
               "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 3), 3u);
  EXPECT_EQ(test::Get32(pair.wire[1], 38), 0u);
  EXPECT_EQ(test::Get32(pair.wire[1], 42), (test::kTestIvMask >> 32) ^ 1u);
  for (const Bytes& frame : pair.wire) EXPECT_THAT(pair.b.Receive(frame), SizeIs(1));
}

TEST(SequenceTest, EsnCrosses32BitsOnBothSides) {
  TestPair pair;
  pair.Protect({.flags = kSaFlagEsn, .oseq = 0xfffffffd, .seq = 0xfffffff0}, "10.1.0.0/16",
               "10.2.0.0/16");
  for (uint32_t i = 0; i < 6; ++i) {
    EXPECT_EQ(pair.Deliver(InnerFrame()), std::vector<Bytes>{InnerFrame()}) << i;
    EXPECT_EQ(test::Get32(pair.wire[0], 38), 0xfffffffeu + i);
  }
  EXPECT_EQ(pair.sa_b->inbound()->replay.highest(), 0x100000003u);
}

TEST(SequenceTest, EsnCrosses32BitsWithinOneBatchOutOfOrder) {
  TestPair pair;
  pair.Protect({.flags = kSaFlagEsn, .oseq = 0xfffffff0, .seq = 0xfffffff0}, "10.1.0.0/16",
               "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 32), 32u);
  std::reverse(pair.wire.begin(), pair.wire.end());
  for (const Bytes& frame : pair.wire) pair.b.FromWire(frame);
  for (const Bytes& frame : pair.wire) pair.b.FromWire(frame);
  pair.b.Run();
  EXPECT_THAT(pair.b.ToHost(), SizeIs(32));
  EXPECT_EQ(pair.b.Drops(DropReason::kInReplayDuplicate), 32u);
}

TEST(SequenceTest, EsnHighWordIsInTheIcvAndNotOnTheWire) {
  TestPair pair;
  pair.Protect({.flags = kSaFlagEsn, .oseq = 0x700000000}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(SendPackets(&pair, 1), 1u);
  const std::span<const uint8_t> esp = std::span<const uint8_t>(pair.wire[0]).subspan(34);
  EXPECT_EQ(test::Get32(esp, 4), 1u);
  EXPECT_TRUE(test::OracleOpen(pair.sa_a->spec(), 0x700000001, esp).has_value());
  EXPECT_FALSE(test::OracleOpen(pair.sa_a->spec(), 0x000000001, esp).has_value());
}

TEST(SequenceTest, EveryPacketOfAnSaHasItsOwnIv) {
  TestPair pair;
  pair.Protect({.flags = kSaFlagEsn, .oseq = 0xffffff80}, "10.1.0.0/16", "10.2.0.0/16");
  std::set<Bytes> ivs;
  EXPECT_EQ(SendPackets(&pair, 250), 250u);
  for (const Bytes& frame : pair.wire) {
    ivs.insert(Bytes(frame.begin() + 42, frame.begin() + 50));
  }
  EXPECT_EQ(ivs.size(), 250u);
}

}  // namespace
}  // namespace cygnet
