// Super-packets in clear pass whole, both ways, where the wire takes them. Policy and the seal
// guard judge them as they judge any packet. What needs ESP, or may be ESP, is cut.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/ip_protocol.h"
#include "support/super_packet.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Get16;
using test::IpFields;
using test::MakeSuperPacket;
using test::Pattern;
using test::TestPair;
using testing::SizeIs;

struct Kind {
  const char* name;
  IpFields ip;
  GsoType gso;
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

const IpFields kV4{.src = "10.1.0.1", .dst = "10.2.0.1", .dont_fragment = true};
const IpFields kV6{.src = "fd01::1", .dst = "fd02::1"};

Bytes IpOf(const Kind& kind, const Bytes& payload) {
  return kind.gso == GsoType::kUdp ? test::Udp(kind.ip, 1000, 2000, payload)
                                   : test::Tcp(kind.ip, {}, payload);
}

class SuperPacketTest : public testing::TestWithParam<Kind> {
 protected:
  Packet* Super(TestPair* pair, std::size_t payload = 10'001, uint16_t segment = 1400) {
    return MakeSuperPacket(&pair->pools, GetParam().ip, IpOf(GetParam(), Pattern(payload)),
                           segment);
  }
  static void Protect(TestPair* pair) {
    pair->Protect({}, "10.1.0.0/16", "10.2.0.0/16");
    pair->AddPolicies({}, "fd01::/64", "fd02::/64");
  }
  uint32_t header() const { return GetParam().ip.src == kV4.src ? 20 : 40; }
};

TEST_P(SuperPacketTest, InClearLeavesWhole) {
  TestPair pair({.super_packets = true});
  Packet* packet = Super(&pair);
  const Bytes sent = test::ToBytes(packet->bytes());
  pair.a.host_port().arriving.push_back(packet);
  pair.a.Run();
  ASSERT_EQ(pair.a.wire_port().sent.size(), 1u);
  const Packet* out = pair.a.wire_port().sent.front();
  EXPECT_EQ(out->gso_type, GetParam().gso);
  EXPECT_EQ(out->gso_size, 1400);
  EXPECT_TRUE(out->csum_partial);
  EXPECT_EQ(out->csum_start, 14 + header());
  EXPECT_EQ(pair.a.ToWire()[0], sent);
}

TEST_P(SuperPacketTest, IsCutForAWireThatTakesNone) {
  TestPair pair;
  pair.a.host_port().arriving.push_back(Super(&pair));
  pair.a.Run();
  const std::vector<Bytes> out = pair.a.ToWire();
  ASSERT_THAT(out, SizeIs(8));
  Bytes joined;
  for (const Bytes& frame : out) {
    const std::span<const uint8_t> ip = std::span<const uint8_t>(frame).subspan(14);
    EXPECT_TRUE(test::UpperChecksumHolds(ip));
    EXPECT_TRUE(header() != 20 || test::Ipv4HeaderChecksumHolds(ip));
    const std::size_t upper = GetParam().gso == GsoType::kUdp ? 8 : 20;
    EXPECT_TRUE(upper != 8 || Get16(ip, header() + 4) == ip.size() - header());
    joined = joined + Bytes(ip.begin() + static_cast<std::ptrdiff_t>(header() + upper), ip.end());
  }
  EXPECT_EQ(joined, Pattern(10'001));
}

// The kernel's cutting would make frames that no link carries.
TEST_P(SuperPacketTest, IsCutIfItsSegmentsDoNotFitTheWire) {
  TestPair pair({.mtu = 1400, .super_packets = true});
  pair.a.host_port().arriving.push_back(Super(&pair));
  pair.a.Run();
  EXPECT_GE(pair.a.wire_port().sent.size(), 8u);
  for (const Bytes& frame : pair.a.ToWire()) EXPECT_LE(frame.size(), 14u + 60u + 1400u);
}

TEST_P(SuperPacketTest, OfAProtectedFlowIsCutAndSealed) {
  TestPair pair({.super_packets = true});
  Protect(&pair);
  pair.a.host_port().arriving.push_back(Super(&pair, 10'001, 1300));
  pair.a.Run();
  const std::vector<Bytes> wire = pair.a.ToWire();
  ASSERT_THAT(wire, SizeIs(8));
  for (const Bytes& frame : wire) {
    EXPECT_EQ(frame[23], kProtoEsp);
    pair.b.FromWire(frame);
  }
  pair.b.Run();
  EXPECT_GE(pair.b.ToHost().size(), 1u);
  EXPECT_EQ(pair.b.Drops(DropReason::kInAuthFailed), 0u);
}

TEST_P(SuperPacketTest, OfAProtectedFlowIsStoppedAtTheWire) {
  for (const Protection claim : {Protection::kNone, Protection::kClear}) {
    TestPair pair({.super_packets = true});
    Protect(&pair);
    DropCounters drops;
    PacketCaches caches(&pair.pools);
    DropSink sink(&caches, &drops);
    PacketBatch batch;
    batch.Push(Super(&pair));
    batch[0]->protection = claim;
    pair.a.path.interfaces[0].wire->Transmit(0, &batch, &sink);
    EXPECT_TRUE(pair.a.wire_port().sent.empty());
    EXPECT_EQ(drops.Get(DropReason::kOutGuard) + drops.Get(DropReason::kOutPolicyChanged), 1u);
  }
}

TEST_P(SuperPacketTest, OfTheWireReachesTheHostWhole) {
  TestPair pair;
  Packet* packet = Super(&pair);
  const Bytes sent = test::ToBytes(packet->bytes());
  pair.b.wire_port().arriving.push_back(packet);
  pair.b.Run();
  ASSERT_EQ(pair.b.host_port().sent.size(), 1u);
  const Packet* out = pair.b.host_port().sent.front();
  EXPECT_EQ(out->gso_type, GetParam().gso);
  EXPECT_EQ(out->gso_size, 1400);
  EXPECT_EQ(pair.b.ToHost()[0], sent);
}

TEST_P(SuperPacketTest, OfTheWireThatShouldBeProtectedIsDropped) {
  TestPair pair;
  Protect(&pair);
  pair.b.wire_port().arriving.push_back(Super(&pair));
  pair.b.Run();
  EXPECT_TRUE(pair.b.host_port().sent.empty());
  EXPECT_EQ(pair.b.Drops(DropReason::kInTemplateMismatch), 1u);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SuperPacketTest,
                         testing::Values(Kind{"TcpV4", kV4, GsoType::kTcpV4},
                                         Kind{"TcpV6", kV6, GsoType::kTcpV6},
                                         Kind{"UdpV4", kV4, GsoType::kUdp},
                                         Kind{"UdpV6", kV6, GsoType::kUdp}),
                         [](const auto& kind) { return kind.param.name; });

// --- ESP that claims to be a super-packet ---

// The sender of a frame on a virtual wire writes its virtio header, which no ICV covers.
class FalseSuperPacketTest : public testing::TestWithParam<GsoType> {};
INSTANTIATE_TEST_SUITE_P(Types, FalseSuperPacketTest,
                         testing::Values(GsoType::kNone, GsoType::kTcpV4, GsoType::kTcpV6,
                                         GsoType::kUdp));

TEST_P(FalseSuperPacketTest, IsNotOpened) {
  for (const bool in_udp : {false, true}) {
    if (in_udp && GetParam() == GsoType::kUdp) continue;  // below
    TestPair pair;
    pair.Protect(in_udp ? test::SaOptions{.encap = test::NatT()} : test::SaOptions{}, "10.1.0.0/16",
                 "10.2.0.0/16");
    const Bytes clear = test::Frame(test::Tcp(kV4, {}, Pattern(1000)));
    const std::vector<Bytes> wire = pair.a.Send(clear);
    ASSERT_THAT(wire, SizeIs(1));
    Packet* packet = test::MakePacket(&pair.pools, wire[0]);
    packet->csum_partial = GetParam() != GsoType::kNone;
    packet->csum_start = 34;
    packet->csum_offset = GetParam() == GsoType::kUdp ? 6 : 16;
    packet->gso_type = GetParam();
    packet->gso_size = packet->csum_partial ? 8 : 0;
    pair.b.wire_port().arriving.push_back(packet);
    pair.b.Run();
    const bool honest = GetParam() == GsoType::kNone;
    EXPECT_EQ(pair.b.ToHost(), honest ? std::vector<Bytes>{clear} : std::vector<Bytes>{});
    EXPECT_EQ(pair.b.Drops(DropReason::kPortBadFrame), honest ? 0u : 1u);
  }
}

// --- ESP in UDP that came as one ---

// Datagrams of A as one super-packet, with `front` before them.
class EspSuperPacketTest : public testing::TestWithParam<bool> {
 protected:
  static constexpr std::size_t kPayload = 200;

  void SetUp() override { pair_.Protect({.encap = test::NatT()}, "10.1.0.0/16", "10.2.0.0/16"); }
  // The UDP payload of A's ESP packet number i.
  Bytes Sealed(uint8_t i) {
    const std::vector<Bytes> wire =
        pair_.a.Send(test::Frame(test::Udp(kV4, 1, 2, Pattern(kPayload, i))));
    EXPECT_THAT(wire, SizeIs(1));
    return Bytes(wire[0].begin() + 42, wire[0].end());
  }
  void Arrive(const Bytes& payload, std::size_t segment) {
    const IpFields outer{.src = "192.0.2.1", .dst = "192.0.2.2"};
    pair_.b.wire_port().arriving.push_back(MakeSuperPacket(&pair_.pools, outer,
                                                           test::Udp(outer, 4500, 4500, payload),
                                                           static_cast<uint16_t>(segment)));
    pair_.b.Run();
  }
  // The parameter: B has a software NIC, which sees each datagram.
  TestPair pair_{{}, {.nic = GetParam()}};
};
INSTANTIATE_TEST_SUITE_P(Cards, EspSuperPacketTest, testing::Bool());

TEST_P(EspSuperPacketTest, EachIsOpened) {
  Bytes all;
  std::size_t one = 0;
  constexpr uint8_t kPackets = 128;  // two batches
  for (uint8_t i = 0; i < kPackets; ++i) {
    const Bytes sealed = Sealed(i);
    one = sealed.size();
    all = all + sealed;
  }
  Arrive(all, one);
  const std::vector<Bytes> got = pair_.b.ToHost();
  ASSERT_THAT(got, SizeIs(kPackets));
  for (uint8_t i = 0; i < kPackets; ++i) {
    EXPECT_EQ(got[i], test::Frame(test::Udp(kV4, 1, 2, Pattern(kPayload, i)))) << int{i};
  }
}

// A frame of bytes of one each would keep a worker busy for long.
TEST_P(EspSuperPacketTest, MoreThanAnyKernelJoinsIsDropped) {
  Arrive(Bytes(129 * 20, 1), 20);
  EXPECT_TRUE(pair_.b.ToHost().empty());
  constexpr DropReason kReason = DropReason::kPortBadFrame;
  EXPECT_EQ(GetParam() ? pair_.b.NicDrops(kReason) : pair_.b.Drops(kReason), 1u);
}

// The first datagram must not decide for the others.
TEST_P(EspSuperPacketTest, OneThatIsNotEspDoesNotSpeakForTheOthers) {
  const Bytes sealed = Sealed(1);
  const Bytes ike(sealed.size());  // begins with four zero bytes
  Arrive(ike + sealed, sealed.size());
  const std::vector<Bytes> got = pair_.b.ToHost();
  ASSERT_THAT(got, SizeIs(2));
  EXPECT_TRUE(test::UpperChecksumHolds(std::span<const uint8_t>(got[0]).subspan(14)));
  EXPECT_EQ(Bytes(got[0].begin() + 42, got[0].end()), ike);
  EXPECT_EQ(got[1], test::Frame(test::Udp(kV4, 1, 2, Pattern(kPayload, 1))));
}

}  // namespace
}  // namespace cygnet
