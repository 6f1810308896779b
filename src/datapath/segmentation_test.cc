// Super-packets of the host cut into segments, segments joined again, and "too big" errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datapath/coalesce.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::Get16;
using test::Get32;
using test::IpFields;
using test::Pattern;
using test::SaOptions;
using test::TcpFields;
using test::TestPair;
using testing::IsEmpty;
using testing::SizeIs;

struct Family {
  const char* name;
  IpFields ip;
  std::size_t header;
};
void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

const Family kFamilies[] = {
    {"IPv4", {.src = "10.1.0.1", .dst = "10.2.0.1", .dont_fragment = true}, 20},
    {"IPv6", {.src = "fd01::1", .dst = "fd02::1"}, 40}};

void Protect(TestPair* pair) {
  pair->Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  pair->AddPolicies({}, "fd01::/64", "fd02::/64");
}

// A super-packet as a TAP delivers it: the checksum field holds the pseudo-header's sum.
Packet* SuperPacket(PacketPools* pools, const Family& family, const TcpFields& tcp,
                    const Bytes& payload, uint16_t segment) {
  Bytes frame = Frame(test::Tcp(family.ip, tcp, payload));
  const std::size_t tcp_at = 14 + family.header;
  IpFields f = family.ip;
  f.proto = 6;
  const uint32_t length = static_cast<uint32_t>(frame.size() - tcp_at);
  const uint32_t sum = test::NaivePseudoSum(f, length);
  test::Put16(&frame, tcp_at + 16, static_cast<uint16_t>(~test::NaiveChecksum({}, sum)));
  Packet* packet = test::MakePacket(pools, frame);
  packet->gso_type = family.header == 20 ? GsoType::kTcpV4 : GsoType::kTcpV6;
  packet->gso_size = segment;
  packet->csum_partial = true;
  packet->csum_start = static_cast<uint16_t>(tcp_at);
  packet->csum_offset = 16;
  return packet;
}

Bytes PayloadOf(const Bytes& frame, const Family& family) {
  const std::size_t tcp = 14 + family.header;
  return Bytes(frame.begin() + static_cast<std::ptrdiff_t>(tcp + (frame[tcp + 12] >> 4) * 4u),
               frame.end());
}

TEST(SegmentTest, NaivePseudoSumOfTheTestIsWhatTheStackFinishes) {
  for (const Family& family : kFamilies) {
    TestPair pair;
    Packet* packet = SuperPacket(&pair.pools, family, {}, Pattern(100), 0);
    packet->gso_type = GsoType::kNone;
    pair.a.host_port().arriving.push_back(packet);
    pair.a.Run();
    EXPECT_THAT(pair.a.ToWire(),
                testing::ElementsAre(Frame(test::Tcp(family.ip, {}, Pattern(100)))))
        << family.name;
  }
}

TEST(SegmentTest, SuperPacketInClearLeavesAsTheSegmentsItStandsFor) {
  for (const Family& family : kFamilies) {
    SCOPED_TRACE(family.name);
    TestPair pair;
    const TcpFields tcp{
        .seq = 0xffffff00, .flags = 0x19, .options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}};
    const Bytes payload = Pattern(10'001);
    pair.a.host_port().arriving.push_back(SuperPacket(&pair.pools, family, tcp, payload, 1400));
    pair.a.Run();
    const std::vector<Bytes> out = pair.a.ToWire();
    ASSERT_THAT(out, SizeIs(8));
    Bytes joined;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const bool last = i + 1 == out.size();
      const std::span<const uint8_t> ip = std::span<const uint8_t>(out[i]).subspan(14);
      const std::size_t t = family.header;
      EXPECT_TRUE(test::UpperChecksumHolds(ip)) << i;
      EXPECT_EQ(Get32(ip, t + 4), 0xffffff00u + static_cast<uint32_t>(1400 * i)) << i;
      EXPECT_EQ(ip[t + 13], last ? 0x19 : 0x10) << i;  // FIN and PSH only on the last
      if (family.header == 20) {
        EXPECT_TRUE(test::Ipv4HeaderChecksumHolds(ip)) << i;
        EXPECT_EQ(Get16(ip, 2), ip.size()) << i;
        EXPECT_EQ(Get16(ip, 4), family.ip.id + i) << i;
      } else {
        EXPECT_EQ(Get16(ip, 4), ip.size() - 40) << i;
      }
      joined = joined + PayloadOf(out[i], family);
    }
    EXPECT_EQ(joined, payload);
  }
}

TEST(SegmentTest, CwrIsOnTheFirstSegmentOnly) {
  TestPair pair;
  pair.a.host_port().arriving.push_back(
      SuperPacket(&pair.pools, kFamilies[0], {.flags = 0x90}, Pattern(3000), 1000));
  pair.a.Run();
  const std::vector<Bytes> out = pair.a.ToWire();
  ASSERT_THAT(out, SizeIs(3));
  EXPECT_EQ(out[0][14 + 20 + 13], 0x90);
  EXPECT_EQ(out[1][14 + 20 + 13], 0x10);
  EXPECT_EQ(out[2][14 + 20 + 13], 0x10);
}

TEST(SegmentTest, SixtyFourKilobytesGoThroughATunnelAndComeOutAsTheyWere) {
  for (const Family& family : kFamilies) {
    SCOPED_TRACE(family.name);
    TestPair pair;
    Protect(&pair);
    const Bytes payload = Pattern(65'000);
    const auto mss = static_cast<uint16_t>(1446 - family.header - 20);
    pair.a.host_port().arriving.push_back(SuperPacket(&pair.pools, family, {}, payload, mss));
    pair.a.Run();
    const std::vector<Bytes> wire = pair.a.ToWire();
    ASSERT_EQ(wire.size(), (65'000u + mss - 1) / mss);
    for (const Bytes& frame : wire) {
      EXPECT_EQ(frame[23], kProtoEsp);
      EXPECT_LE(frame.size(), 14u + 1500u);
      pair.b.FromWire(frame);
    }
    EXPECT_EQ(wire[0].size(), 14u + 1500u);  // 1446 fills the MTU exactly
    pair.b.Run();
    ASSERT_EQ(pair.b.host_port().sent.size(), 1u);
    const Packet* super = pair.b.host_port().sent.front();
    EXPECT_EQ(super->gso_type, family.header == 20 ? GsoType::kTcpV4 : GsoType::kTcpV6);
    EXPECT_EQ(super->gso_size, mss);
    EXPECT_TRUE(super->csum_partial);
    EXPECT_EQ(super->csum_start, 14 + family.header);
    const std::vector<Bytes> got = pair.b.ToHost();
    EXPECT_EQ(PayloadOf(got[0], family), payload);
    if (family.header == 20) {
      EXPECT_TRUE(test::Ipv4HeaderChecksumHolds(std::span<const uint8_t>(got[0]).subspan(14)));
    }
  }
}

TEST(SegmentTest, SuperPacketWithoutPayloadIsDropped) {
  TestPair pair;
  pair.a.host_port().arriving.push_back(SuperPacket(&pair.pools, kFamilies[0], {}, {}, 1000));
  pair.a.Run();
  EXPECT_EQ(pair.a.Drops(DropReason::kPortBadFrame), 1u);
}

TEST(SegmentTest, TcpHeaderThatOverrunsThePacketIsDropped) {
  TestPair pair;
  Packet* packet = SuperPacket(&pair.pools, kFamilies[0], {}, Pattern(20), 1000);
  packet->data()[14 + 20 + 12] = 0xf0;
  pair.a.host_port().arriving.push_back(packet);
  pair.a.Run();
  EXPECT_EQ(pair.a.Drops(DropReason::kPortBadFrame), 1u);
}

TEST(SegmentTest, EthernetPaddingIsNoPayload) {
  TestPair pair;
  Packet* packet = SuperPacket(&pair.pools, kFamilies[0], {}, Pattern(2000), 1000);
  std::memset(packet->Append(7), 0xee, 7);
  pair.a.host_port().arriving.push_back(packet);
  pair.a.Run();
  const std::vector<Bytes> out = pair.a.ToWire();
  ASSERT_THAT(out, SizeIs(2));
  EXPECT_EQ(PayloadOf(out[0], kFamilies[0]) + PayloadOf(out[1], kFamilies[0]), Pattern(2000));
}

TEST(SegmentTest, ChecksumFieldBeyondThePacketIsDropped) {
  TestPair pair;
  Packet* packet = test::MakePacket(
      &pair.pools, Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, {})));
  packet->csum_partial = true;
  packet->csum_start = 40;
  packet->csum_offset = 1;  // the frame has 42 bytes
  pair.a.host_port().arriving.push_back(packet);
  pair.a.Run();
  EXPECT_EQ(pair.a.Drops(DropReason::kPortBadFrame), 1u);
}

TEST(SegmentTest, PoolThatRunsDryIsCounted) {
  PacketPools pools{4, 2};
  test::TestHost host(&pools);
  host.host_port().arriving.push_back(SuperPacket(&pools, kFamilies[0], {}, Pattern(10'000), 1000));
  host.Run();
  EXPECT_EQ(host.Drops(DropReason::kNoBuffers), 1u);
}

// --- Joining ---

class CoalesceTest : public testing::TestWithParam<Family> {
 protected:
  void Add(const TcpFields& tcp, const Bytes& payload, IpFields ip) {
    batch_.Push(test::MakePacket(&pools_, Frame(test::Tcp(ip, tcp, payload))));
  }
  void Add(const TcpFields& tcp, const Bytes& payload) { Add(tcp, payload, GetParam().ip); }
  // Runs the coalescer and returns the number of frames that come out.
  std::size_t Run() {
    coalescer_.Run(&batch_, &sink_);
    frames_.clear();
    for (Packet* packet : batch_.packets()) {
      frames_.push_back(test::ToBytes(packet->bytes()));
      sink_.Recycle(packet);
    }
    batch_.ReleaseAll();
    return frames_.size();
  }
  PacketPools pools_{256, 8};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  Coalescer coalescer_;
  PacketBatch batch_;
  std::vector<Bytes> frames_;
};

TEST_P(CoalesceTest, JoinsSegmentsThatFollowEachOther) {
  Add({.seq = 1}, Pattern(100));
  Add({.seq = 101}, Pattern(100, 2));
  Add({.seq = 201}, Pattern(40, 3));
  ASSERT_EQ(Run(), 1u);
  EXPECT_EQ(PayloadOf(frames_[0], GetParam()), Pattern(100) + Pattern(100, 2) + Pattern(40, 3));
}

TEST_P(CoalesceTest, SequenceNumbersMayWrap) {
  Add({.seq = 0xffffffce}, Pattern(100));
  Add({.seq = 50}, Pattern(100));
  EXPECT_EQ(Run(), 1u);
}

TEST_P(CoalesceTest, PshIsKeptAndEndsTheSuperPacket) {
  Add({.seq = 1}, Pattern(100));
  Add({.seq = 101, .flags = 0x18}, Pattern(100));
  Add({.seq = 201}, Pattern(100));
  ASSERT_EQ(Run(), 2u);
  EXPECT_EQ(frames_[0][14 + GetParam().header + 13], 0x18);
}

TEST_P(CoalesceTest, ShorterSegmentEndsTheSuperPacket) {
  Add({.seq = 1}, Pattern(100));
  Add({.seq = 101}, Pattern(99));
  Add({.seq = 200}, Pattern(99));
  EXPECT_EQ(Run(), 2u);
}

TEST_P(CoalesceTest, WhatDiffersIsNotJoined) {
  struct Difference {
    const char* name;
    TcpFields second;
    std::size_t payload;
  };
  const Difference differences[] = {
      {"gap", {.seq = 102}, 100},
      {"overlap", {.seq = 100}, 100},
      {"longer", {.seq = 101}, 101},
      {"source port", {.sport = 9, .seq = 101}, 100},
      {"destination port", {.dport = 9, .seq = 101}, 100},
      {"acknowledgement", {.seq = 101, .ack = 78}, 100},
      {"window", {.seq = 101, .window = 513}, 100},
      {"FIN", {.seq = 101, .flags = 0x11}, 100},
      {"SYN", {.seq = 101, .flags = 0x12}, 100},
      {"RST", {.seq = 101, .flags = 0x14}, 100},
      {"URG", {.seq = 101, .flags = 0x30}, 100},
      {"ECE", {.seq = 101, .flags = 0x50}, 100},
      {"CWR", {.seq = 101, .flags = 0x90}, 100},
      {"no ACK", {.seq = 101, .flags = 0}, 100},
      {"options", {.seq = 101, .options = {1, 1, 1, 1}}, 100},
      {"nothing to join", {.seq = 101}, 0},
  };
  for (const Difference& d : differences) {
    SCOPED_TRACE(d.name);
    Add({.seq = 1}, Pattern(100));
    Add(d.second, Pattern(d.payload));
    const Bytes first = Frame(test::Tcp(GetParam().ip, {.seq = 1}, Pattern(100)));
    const Bytes second = Frame(test::Tcp(GetParam().ip, d.second, Pattern(d.payload)));
    EXPECT_EQ(Run(), 2u);
    EXPECT_EQ(frames_, (std::vector<Bytes>{first, second}));
  }
}

TEST_P(CoalesceTest, DifferentIpHeadersAreNotJoined) {
  IpFields tos = GetParam().ip;
  tos.tos = 0xb8;
  IpFields ttl = GetParam().ip;
  ttl.ttl = 63;
  IpFields label = GetParam().ip;
  label.flow_label = 5;
  IpFields df = GetParam().ip;
  df.dont_fragment = !df.dont_fragment;
  const bool v4 = GetParam().header == 20;
  for (const IpFields& f : {tos, ttl, v4 ? df : label}) {
    Add({.seq = 1}, Pattern(100));
    Add({.seq = 101}, Pattern(100), f);
    EXPECT_EQ(Run(), 2u);
  }
}

TEST_P(CoalesceTest, WrongChecksumIsNotPaperedOver) {
  for (const uint32_t bad : {0u, 1u}) {
    Add({.seq = 1}, Pattern(100));
    Add({.seq = 101}, Pattern(100));
    Packet* packet = batch_[bad];
    packet->data()[packet->length - 1] ^= 1;
    EXPECT_EQ(Run(), 2u);
  }
}

TEST_P(CoalesceTest, NeverMoreThanAnIpPacketHolds) {
  std::size_t payload = 0;
  for (uint32_t i = 0; i < 60; ++i) {
    Add({.seq = 1 + i * 1300}, Pattern(1300, static_cast<uint8_t>(i)));
  }
  ASSERT_EQ(Run(), 2u);
  for (const Bytes& frame : frames_) {
    EXPECT_LE(frame.size() - 14, 65535u);
    payload += PayloadOf(frame, GetParam()).size();
  }
  EXPECT_EQ(payload, 60u * 1300u);
}

TEST_P(CoalesceTest, WithoutAJumboBufferSegmentsPassAsTheyAre) {
  std::array<Packet*, 8> taken;
  const uint32_t n = pools_.jumbo.Take(taken.data(), 8);
  Add({.seq = 1}, Pattern(100));
  Add({.seq = 101}, Pattern(100));
  EXPECT_EQ(Run(), 2u);
  pools_.jumbo.Give(taken.data(), n);
}

TEST_P(CoalesceTest, OtherPacketsBetweenKeepTheirPlace) {
  const Bytes udp = Frame(test::Udp(GetParam().ip, 1, 2, Pattern(30)));
  Add({.seq = 1}, Pattern(100));
  Add({.seq = 101}, Pattern(100));
  batch_.Push(test::MakePacket(&pools_, udp));
  Add({.seq = 201}, Pattern(100));
  ASSERT_EQ(Run(), 3u);
  EXPECT_EQ(frames_[1], udp);
}

INSTANTIATE_TEST_SUITE_P(Families, CoalesceTest, testing::ValuesIn(kFamilies),
                         [](const auto& family) { return std::string(family.param.name); });

// --- Too big ---

// RFC 4303 section 2.2.1: each segment is authenticated with its own high word.
TEST(EsnSegmentTest, SuperPacketAcrossTheLowWordBoundary) {
  for (const bool offload : {false, true}) {
    SCOPED_TRACE(offload ? "NIC" : "software");
    TestPair pair({.nic = true}, {});
    const SaOptions options{.flags = kSaFlagEsn, .oseq = 0xfffffffc, .seq = 0xfffffffc};
    SaOptions sender = options;
    if (offload) {
      sender.offload = OffloadRequest{OffloadMode::kCrypto, test::TestHost::kIfindex, false};
    }
    pair.sa_a = pair.a.Add(sender);
    pair.sa_b = pair.b.Add(options);
    pair.AddPolicies(options, "10.1.0.0/16", "10.2.0.0/16");
    const Bytes payload = Pattern(10'000);
    pair.a.host_port().arriving.push_back(
        SuperPacket(&pair.pools, kFamilies[0], {}, payload, 1380));
    pair.a.Run();
    const std::vector<Bytes> wire = pair.a.ToWire();
    ASSERT_THAT(wire, SizeIs(8));
    for (const Bytes& frame : wire) pair.b.FromWire(frame);
    pair.b.Run();
    Bytes joined;
    for (const Bytes& frame : pair.b.ToHost()) joined = joined + PayloadOf(frame, kFamilies[0]);
    EXPECT_EQ(joined, payload);
    EXPECT_EQ(pair.sa_b->inbound()->replay.highest(), 0x1'0000'0004u);
    EXPECT_EQ(pair.a.nic().offload_stats().sealed, offload ? 8u : 0u);
  }
}

TEST(TooBigTest, Ipv4SenderIsToldTheInnerMtu) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  const IpFields f{.src = "10.1.0.1", .dst = "10.2.0.1", .dont_fragment = true};
  const Bytes fits = Frame(test::Udp(f, 1, 2, Pattern(1446 - 28)));
  EXPECT_THAT(pair.Deliver(fits), testing::ElementsAre(fits));
  EXPECT_EQ(pair.wire[0].size(), 14u + 1500u);

  const Bytes big = Frame(test::Udp(f, 1, 2, Pattern(1447 - 28)));
  EXPECT_THAT(pair.a.Send(big), IsEmpty());
  EXPECT_EQ(pair.a.Drops(DropReason::kOutTooBig), 1u);
  const std::vector<Bytes> answer = pair.a.ToHost();
  ASSERT_THAT(answer, SizeIs(1));
  const std::span<const uint8_t> ip = std::span<const uint8_t>(answer[0]).subspan(14);
  EXPECT_EQ(Bytes(answer[0].begin(), answer[0].begin() + 12),
            Bytes(big.begin() + 6, big.begin() + 12) + Bytes(big.begin(), big.begin() + 6));
  EXPECT_EQ(ip.size(), 576u);
  EXPECT_EQ(Get16(ip, 2), 576);
  EXPECT_TRUE(test::Ipv4HeaderChecksumHolds(ip));
  EXPECT_EQ(ip[9], 1);
  EXPECT_EQ(Bytes(ip.begin() + 12, ip.begin() + 20), (Bytes{10, 2, 0, 1, 10, 1, 0, 1}));
  EXPECT_EQ(ip[20], 3);
  EXPECT_EQ(ip[21], 4);
  EXPECT_EQ(Get16(ip, 24), 0);
  EXPECT_EQ(Get16(ip, 26), 1446);
  EXPECT_EQ(test::NaiveChecksum(ip.subspan(20)), 0);
  EXPECT_EQ(Bytes(ip.begin() + 28, ip.end()), Bytes(big.begin() + 14, big.begin() + 14 + 548));
}

TEST(TooBigTest, Ipv6SenderIsToldTheInnerMtu) {
  TestPair pair;
  pair.Protect({.src = "2001:db8::1", .dst = "2001:db8::2"}, "fd01::/64", "fd02::/64");
  const IpFields f{.src = "fd01::1", .dst = "fd02::1"};
  // 1500 - 40 - 8 - 8 - 16 = 1428 bytes of text, less 2 of trailer.
  const Bytes fits = Frame(test::Udp(f, 1, 2, Pattern(1426 - 48)));
  EXPECT_THAT(pair.Deliver(fits), testing::ElementsAre(fits));
  const Bytes big = Frame(test::Udp(f, 1, 2, Pattern(1427 - 48)));
  EXPECT_THAT(pair.a.Send(big), IsEmpty());
  const std::vector<Bytes> answer = pair.a.ToHost();
  ASSERT_THAT(answer, SizeIs(1));
  const std::span<const uint8_t> ip = std::span<const uint8_t>(answer[0]).subspan(14);
  EXPECT_EQ(ip.size(), 1280u);
  EXPECT_EQ(Get16(ip, 4), 1240);
  EXPECT_EQ(ip[6], 58);
  EXPECT_EQ(ip[40], 2);
  EXPECT_EQ(ip[41], 0);
  EXPECT_EQ(Get32(ip, 44), 1426u);
  EXPECT_TRUE(test::UpperChecksumHolds(ip));
}

TEST(TooBigTest, WithoutDontFragmentTheOuterPacketIsCut) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_THAT(pair.a.Send(Frame(test::Udp({}, 1, 2, Pattern(1460)))), SizeIs(2));
  EXPECT_THAT(pair.a.ToHost(), IsEmpty());
  EXPECT_EQ(pair.a.AllDrops(), 0u);
}

TEST(TooBigTest, NoErrorAnswersAnError) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  IpFields f{.src = "10.1.0.1", .dst = "10.2.0.1", .proto = 1, .dont_fragment = true};
  pair.a.Send(Frame(test::IpPacket(f, Bytes{3, 1} + Pattern(1458))));
  EXPECT_THAT(pair.a.ToHost(), IsEmpty());
  pair.a.Send(Frame(test::IpPacket(f, Bytes{8, 0} + Pattern(1458))));
  EXPECT_THAT(pair.a.ToHost(), SizeIs(1));
}

TEST(TooBigTest, NoErrorAnswersALaterFragmentOrAMulticast) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "0.0.0.0/0");
  IpFields f{.src = "10.1.0.9", .dst = "10.2.0.1", .dont_fragment = true, .fragment = 5};
  pair.a.Send(Frame(test::IpPacket(f, Pattern(1460))));
  f.fragment = 0;
  f.dst = "239.1.1.1";
  pair.a.Send(Frame(test::IpPacket(f, Pattern(1460))));
  EXPECT_EQ(pair.a.Drops(DropReason::kOutTooBig), 2u);
  EXPECT_THAT(pair.a.ToHost(), IsEmpty());
}

TEST(TooBigTest, SuperPacketWhoseSegmentsDoNotFitIsAnsweredOnce) {
  TestPair pair;
  Protect(&pair);
  pair.a.host_port().arriving.push_back(
      SuperPacket(&pair.pools, kFamilies[0], {}, Pattern(20'000), 1460));
  pair.a.Run();
  EXPECT_THAT(pair.a.ToWire(), IsEmpty());
  const std::vector<Bytes> answer = pair.a.ToHost();
  ASSERT_THAT(answer, SizeIs(1));
  EXPECT_EQ(Get16(answer[0], 14 + 26), 1446);
}

TEST(TooBigTest, VlanTagsStayOnTheAnswer) {
  TestPair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  const IpFields f{.src = "10.1.0.1", .dst = "10.2.0.1", .dont_fragment = true};
  pair.a.Send(Frame(test::Udp(f, 1, 2, Pattern(1450)), {0x81, 0, 0, 5}));
  const std::vector<Bytes> answer = pair.a.ToHost();
  ASSERT_THAT(answer, SizeIs(1));
  EXPECT_EQ(Bytes(answer[0].begin() + 12, answer[0].begin() + 19),
            (Bytes{0x81, 0, 0, 5, 8, 0, 0x45}));
}

}  // namespace
}  // namespace cygnet
