// Frames of an MTU of 9000 from host to host: cut, put together, nested, padded, and refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/ip_protocol.h"
#include "support/test_host.h"

namespace cygnet::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr uint32_t kMtu = 9000;
constexpr TestHostOptions kHost{.mtu = kMtu};

struct Ends {
  const char* name;
  const char* src;
  const char* dst;
  SaOptions sa;
  uint32_t header;
};

class JumboFramesTest : public testing::TestWithParam<Ends> {
 protected:
  static std::string Network(const char* address) {
    return std::string(address).find(':') == std::string::npos ? std::string(address) + "/32"
                                                               : std::string(address) + "/128";
  }
  void Protect(const SaOptions& sa) {
    pair_.Protect(sa, Network(GetParam().src), Network(GetParam().dst));
  }
  IpFields Flow(bool dont_fragment = false) const {
    return {.src = GetParam().src, .dst = GetParam().dst, .dont_fragment = dont_fragment};
  }
  // A UDP packet of `size` bytes.
  Bytes Inner(std::size_t size, bool dont_fragment = false) const {
    return Frame(Udp(Flow(dont_fragment), 1000, 2000, Pattern(size - GetParam().header - 8)));
  }
  // Jumbo frames used none of them.
  void NoJumboPacketWasUsed() {
    EXPECT_EQ(pair_.pools.jumbo.Available(), pair_.pools.jumbo.count());
  }

  TestPair pair_{kHost, kHost};
};

TEST_P(JumboFramesTest, ThePacketThatFitsArrivesInOneFrame) {
  Protect(GetParam().sa);
  const bool outer_v4 = GetParam().sa.src.find(':') == std::string::npos;
  // The kernel's formula, GCM: ((mtu - header - 16) & ~3) - 2 with header 36 or 56.
  const std::size_t fits = ((kMtu - (outer_v4 ? 36 : 56) - 16) & ~3u) - 2;
  const Bytes frame = Inner(fits, true);
  EXPECT_THAT(pair_.Deliver(frame), ElementsAre(frame));
  ASSERT_THAT(pair_.wire, SizeIs(1));
  EXPECT_LE(pair_.wire[0].size(), 14u + kMtu);
  EXPECT_GT(pair_.wire[0].size(), 14u + kMtu - 4u);
  NoJumboPacketWasUsed();
  EXPECT_THAT(pair_.a.Send(Inner(fits + 1, true)), IsEmpty());
  const auto told = pair_.a.ToHost();
  ASSERT_THAT(told, SizeIs(1));
  const bool v4 = GetParam().header == 20;
  const std::size_t icmp = 14 + GetParam().header;
  EXPECT_EQ(v4 ? LoadBe16(&told[0][icmp + 6]) : LoadBe32(&told[0][icmp + 4]), fits);
}

TEST_P(JumboFramesTest, ASuperPacketLeavesAsSegmentsOfTheWire) {
  Protect(GetParam().sa);
  constexpr uint16_t kSegment = 8800;
  const Bytes payload = Pattern(60'000);
  Bytes frame = Frame(Tcp(Flow(true), {.seq = 1}, payload));
  Packet* packet = MakePacket(&pair_.pools, frame);
  packet->gso_type = GetParam().header == 20 ? GsoType::kTcpV4 : GsoType::kTcpV6;
  packet->gso_size = kSegment;
  pair_.a.host_port().arriving.push_back(packet);
  pair_.a.Run();
  const std::vector<Bytes> wire = pair_.a.ToWire();
  ASSERT_THAT(wire, SizeIs(7));
  for (const Bytes& one : wire) EXPECT_LE(one.size(), 14u + kMtu);
  // One by one: B joins no segments.
  Bytes joined;
  for (const Bytes& one : wire) {
    const auto delivered = pair_.b.Receive(one);
    ASSERT_THAT(delivered, SizeIs(1));
    const std::span<const uint8_t> ip = std::span<const uint8_t>(delivered[0]).subspan(14);
    EXPECT_TRUE(UpperChecksumHolds(ip));
    joined.insert(joined.end(), ip.begin() + GetParam().header + 20, ip.end());
  }
  EXPECT_EQ(joined, payload);
}

TEST_P(JumboFramesTest, SegmentsThatComeTogetherAreJoined) {
  Protect(GetParam().sa);
  std::vector<Bytes> sent;
  for (uint32_t i = 0; i < 7; ++i) {
    sent.push_back(Frame(Tcp(Flow(true), {.seq = 1 + i * 8800}, Pattern(8800))));
  }
  for (const Bytes& frame : sent) pair_.a.FromHost(frame);
  pair_.a.Run();
  for (const Bytes& frame : pair_.a.ToWire()) pair_.b.FromWire(frame);
  pair_.b.Run();
  const auto delivered = pair_.b.ToHost();
  ASSERT_THAT(delivered, SizeIs(1));
  EXPECT_EQ(delivered[0].size(), 14u + GetParam().header + 20 + 7 * 8800);
}

TEST_P(JumboFramesTest, FragmentsOfTheWiresSizeArePutTogether) {
  Protect(GetParam().sa);
  pair_.sa_a->outbound()->path_mtu = 5000;
  pair_.sa_a->outbound()->path_mtu_until = pair_.a.clock.WallSeconds() + 600;
  const Bytes frame = Inner(GetParam().header == 20 ? 9000 : 1280);
  EXPECT_THAT(pair_.Deliver(frame), ElementsAre(frame));
  if (GetParam().header == 20) {
    EXPECT_THAT(pair_.wire, SizeIs(2));
    EXPECT_GT(pair_.wire[0].size(), 4900u);
  }
  NoJumboPacketWasUsed();
}

TEST_P(JumboFramesTest, PaddingFillsTheWire) {
  SaOptions sa = GetParam().sa;
  sa.tfc_pad = kLargestMtu;
  Protect(sa);
  const Bytes frame = Inner(100);
  EXPECT_THAT(pair_.Deliver(frame), ElementsAre(frame));
  ASSERT_THAT(pair_.wire, SizeIs(1));
  EXPECT_GT(pair_.wire[0].size(), kMtu - 10u);
  EXPECT_LE(pair_.wire[0].size(), kMtu + 14u);
  NoJumboPacketWasUsed();
}

TEST_P(JumboFramesTest, WithoutABufferItIsDroppedAndCounted) {
  Protect(GetParam().sa);
  std::vector<Packet*> taken(pair_.pools.large.count());
  const uint32_t n = pair_.pools.large.Take(taken.data(), pair_.pools.large.count());
  Bytes frame = Frame(Tcp(Flow(true), {.seq = 1}, Pattern(30'000)));
  Packet* packet = MakePacket(&pair_.pools, frame);
  packet->gso_type = GetParam().header == 20 ? GsoType::kTcpV4 : GsoType::kTcpV6;
  packet->gso_size = 8800;
  pair_.a.host_port().arriving.push_back(packet);
  pair_.a.Run();
  EXPECT_THAT(pair_.a.ToWire(), IsEmpty());
  EXPECT_EQ(pair_.a.Drops(DropReason::kNoBuffers), 1u);
  pair_.pools.large.Give(taken.data(), n);
}

INSTANTIATE_TEST_SUITE_P(
    Families, JumboFramesTest,
    testing::Values(
        Ends{"4in4", "10.1.0.1", "10.2.0.1", {}, 20},
        Ends{"6in6", "fd01::1", "fd02::1", {.src = "2001:db8::1", .dst = "2001:db8::2"}, 40}),
    [](const auto& of) { return of.param.name; });

// The deepest chain, of the longest headers, around a packet of the largest MTU.
TEST(JumboNestedTest, SixTunnelsFitTheBuffer) {
  constexpr TestHostOptions kLargest{.mtu = kLargestMtu};
  TestPair pair(kLargest, kLargest);
  std::vector<Template> chain;
  for (uint32_t n = 1; n <= 6; ++n) {
    const SaOptions sa{.src = "2001:db8::1", .dst = "2001:db8::2", .spi = 0x1000 + n, .reqid = n};
    pair.a.Add(sa);
    pair.b.Add(sa);
    chain.push_back(TemplateFor(sa));
  }
  pair.a.AddPolicy(MakePolicy(PolicyDirection::kOut, "fd01::/64", "fd02::/64", chain));
  pair.b.AddPolicy(MakePolicy(PolicyDirection::kIn, "fd01::/64", "fd02::/64", chain));
  const auto frame = [](std::size_t size) {
    return Frame(Udp({.src = "fd01::1", .dst = "fd02::1"}, 1, 2, Pattern(size - 48)));
  };
  // Six times the kernel's formula, ((mtu - 56 - 16) & ~3) - 2, from 9216.
  uint32_t fits = kLargestMtu;
  for (int i = 0; i < 6; ++i) fits = ((fits - 56 - 16) & ~3u) - 2;
  EXPECT_THAT(pair.Deliver(frame(fits)), ElementsAre(frame(fits)));
  EXPECT_THAT(pair.wire, SizeIs(1));
  EXPECT_EQ(pair.a.AllDrops() + pair.b.AllDrops(), 0u);
}

// RFC 2675: a length of 0 and a hop-by-hop option with the real one. Nobody can tell its end.
TEST(JumboNestedTest, AJumbogramOfIpv6IsRefused) {
  TestPair pair(kHost, kHost);
  pair.Protect({.src = "2001:db8::1", .dst = "2001:db8::2"}, "fd01::/64", "fd02::/64");
  IpFields f{.src = "fd01::1", .dst = "fd02::1", .proto = kProtoUdp, .first_header = 0};
  f.options = {kProtoUdp, 0, 0xc2, 4, 0, 0, 0x20, 0x08};
  Bytes frame = Frame(IpPacket(f, Pattern(8200)));
  ASSERT_EQ(Get16(frame, 14 + 4), 8208);
  Put16(&frame, 14 + 4, 0);
  EXPECT_THAT(pair.a.Send(frame), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutBadPacket), 1u);
  EXPECT_THAT(pair.b.Receive(frame), IsEmpty());
  EXPECT_EQ(pair.b.Drops(DropReason::kInBadHeader), 1u);
}

}  // namespace
}  // namespace cygnet::test
