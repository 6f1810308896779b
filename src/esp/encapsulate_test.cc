// ESP packets byte by byte, before sealing and after opening.
#include "esp/encapsulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/esp_fixture.h"
#include "support/hex.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::FromHex;
using test::IpFields;
using test::Pattern;
using test::SaOptions;
using test::ToHex;

using Built = test::EspResult;

Built Encapsulate(const Sa& sa, const Bytes& ip, uint64_t seq = 1) {
  return test::EncapsulateFrame(sa, Frame(ip), seq);
}

Bytes L3(const Built& built) { return Bytes(built.frame.begin() + 14, built.frame.end()); }

const Bytes kEthernet4 = FromHex("020000000022 020000000011 0800");
const Bytes kEthernet6 = FromHex("020000000022 020000000011 86dd");
// SPI 0x1000, sequence number 1, IV = sequence number XOR the mask.
const Bytes kEspHeader1 = FromHex("00001000 00000001 0123456789abcdee");

TEST(EncapsulateTest, Tunnel4In4) {
  const Bytes inner = test::Udp({.tos = 0x48}, 1, 2, Pattern(3));  // 31 bytes
  const Built built = Encapsulate(*test::MakeSa(), inner);
  ASSERT_EQ(built.reason, DropReason::kNone);
  const Bytes outer = FromHex("4548 0054 0124 0000 40 32 f5fd c0000201 c0000202");
  // 31 + pad 3 + 2 = 36.
  Bytes expected =
      kEthernet4 + outer + kEspHeader1 + inner + FromHex("010203 03 04") + Bytes(16, 0);
  test::Put16(&expected, 16, static_cast<uint32_t>(expected.size() - 14));
  test::Put16(&expected, 24, 0);
  test::Put16(&expected, 24,
              test::NaiveChecksum(std::span<const uint8_t>(expected).subspan(14, 20)));
  EXPECT_EQ(ToHex(built.frame), ToHex(expected));
  EXPECT_EQ(built.meta.esp_offset, 34);
  EXPECT_EQ(built.meta.esn_high, 0u);
}

TEST(EncapsulateTest, Tunnel6In6) {
  const Bytes inner = test::Udp(
      {.src = "fd01::1", .dst = "fd02::1", .tos = 0xb8, .flow_label = 0x12345}, 1, 2, Pattern(6));
  const Built built =
      Encapsulate(*test::MakeSa({.src = "2001:db8::1", .dst = "2001:db8::2"}), inner);
  ASSERT_EQ(built.reason, DropReason::kNone);
  Bytes outer = FromHex(
      "6b812345 0000 32 40 20010db8000000000000000000000001 20010db8000000000000000000000002");
  // 54 + pad 0 + 2 = 56.
  test::Put16(&outer, 4, 16 + 56 + 16);
  EXPECT_EQ(ToHex(built.frame),
            ToHex(kEthernet6 + outer + kEspHeader1 + inner + FromHex("0029") + Bytes(16, 0)));
  EXPECT_EQ(built.meta.esp_offset, 54);
}

TEST(EncapsulateTest, Tunnel6In4ChangesTheEtherType) {
  const Bytes inner = test::Udp({.src = "fd01::1", .dst = "fd02::1"}, 1, 2, Pattern(2));
  const Built built = Encapsulate(*test::MakeSa(), inner);
  ASSERT_EQ(built.reason, DropReason::kNone);
  const Bytes l3 = L3(built);
  EXPECT_EQ(Bytes(built.frame.begin(), built.frame.begin() + 14), kEthernet4);
  EXPECT_TRUE(test::Ipv4HeaderChecksumHolds(l3));
  EXPECT_EQ(l3[9], 50);
  EXPECT_EQ(Bytes(l3.begin() + 36, l3.begin() + 36 + 50), inner);
  EXPECT_EQ(Bytes(l3.begin() + 86, l3.begin() + 88), (Bytes{0, 41}));
}

TEST(EncapsulateTest, Tunnel4In6ChangesTheEtherType) {
  const Bytes inner = test::Udp({.tos = 0xb8}, 1, 2, Pattern(2));
  const Built built =
      Encapsulate(*test::MakeSa({.src = "2001:db8::1", .dst = "2001:db8::2"}), inner);
  ASSERT_EQ(built.reason, DropReason::kNone);
  const Bytes l3 = L3(built);
  EXPECT_EQ(Bytes(built.frame.begin(), built.frame.begin() + 14), kEthernet6);
  EXPECT_EQ(test::Get32(l3, 0), 0x6b800000u);  // class of the inner TOS, no flow label
  EXPECT_EQ(Bytes(l3.begin() + 56, l3.begin() + 56 + 30), inner);
  EXPECT_EQ(l3[56 + 30 + 1], 4);
}

TEST(EncapsulateTest, Transport4KeepsTheHeaderItsOptionsAndItsIdentification) {
  for (const Bytes& options : {Bytes{}, Bytes{1, 1, 1, 1}}) {
    const IpFields f{.src = "192.0.2.1",
                     .dst = "192.0.2.2",
                     .tos = 0x12,
                     .dont_fragment = true,
                     .options = options};
    const Bytes ip = test::Udp(f, 1, 2, Pattern(2));  // 10 bytes of UDP: pad 0
    const Built built = Encapsulate(*test::MakeSa({.mode = SaMode::kTransport}), ip);
    ASSERT_EQ(built.reason, DropReason::kNone);
    const std::size_t header = 20 + options.size();
    Bytes expected(ip.begin(), ip.begin() + static_cast<std::ptrdiff_t>(header));
    expected[9] = 50;
    test::Put16(&expected, 2, static_cast<uint32_t>(header + 16 + 12 + 16));
    test::Put16(&expected, 10, 0);
    test::Put16(&expected, 10, test::NaiveChecksum(expected));
    const Bytes udp(ip.begin() + static_cast<std::ptrdiff_t>(header), ip.end());
    EXPECT_EQ(ToHex(L3(built)), ToHex(expected + kEspHeader1 + udp + Bytes{0, 17} + Bytes(16, 0)));
    EXPECT_EQ(built.meta.esp_offset, 14 + header);
  }
}

TEST(EncapsulateTest, Transport6GoesBehindThePerHopHeaders) {
  const IpFields f{.src = "2001:db8::1",
                   .dst = "2001:db8::2",
                   .proto = 17,
                   .options = {60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0},
                   .first_header = 0};
  const Bytes upper = Pattern(10);
  const Bytes ip = test::IpPacket(f, upper);
  const SaOptions o{.src = "2001:db8::1", .dst = "2001:db8::2", .mode = SaMode::kTransport};
  const Built built = Encapsulate(*test::MakeSa(o), ip);
  ASSERT_EQ(built.reason, DropReason::kNone);
  Bytes front(ip.begin(), ip.begin() + 56);
  front[48] = 50;  // the destination options now name ESP
  test::Put16(&front, 4, 16 + 16 + 12 + 16);
  EXPECT_EQ(ToHex(L3(built)), ToHex(front + kEspHeader1 + upper + Bytes{0, 17} + Bytes(16, 0)));
}

// Destination options after a routing header are for the last hop: ESP hides them.
TEST(EncapsulateTest, Transport6HidesWhatOnlyTheDestinationReads) {
  const IpFields f{.src = "2001:db8::1",
                   .dst = "2001:db8::2",
                   .proto = 17,
                   .options = {60, 0, 4, 0, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0},
                   .first_header = 43};
  const Bytes upper = Pattern(10);
  const Bytes ip = test::IpPacket(f, upper);
  const SaOptions o{.src = "2001:db8::1", .dst = "2001:db8::2", .mode = SaMode::kTransport};
  const Built built = Encapsulate(*test::MakeSa(o), ip);
  ASSERT_EQ(built.reason, DropReason::kNone);
  Bytes front(ip.begin(), ip.begin() + 48);
  front[40] = 50;  // the routing header now names ESP
  test::Put16(&front, 4, 8 + 16 + 8 + 12 + 16);
  const Bytes inside(ip.begin() + 48, ip.end());
  EXPECT_EQ(ToHex(L3(built)), ToHex(front + kEspHeader1 + inside + Bytes{0, 60} + Bytes(16, 0)));
  EXPECT_EQ(built.meta.esp_offset, 14 + 48);
}

TEST(EncapsulateTest, UdpOverIpv6HasNoChecksumEither) {
  for (const SaMode mode : {SaMode::kTunnel, SaMode::kTransport}) {
    const SaOptions o{
        .src = "2001:db8::1", .dst = "2001:db8::2", .mode = mode, .encap = test::NatT()};
    const Built built =
        Encapsulate(*test::MakeSa(o), test::Udp({.src = o.src, .dst = o.dst}, 1, 2, Pattern(2)));
    const Bytes l3 = L3(built);
    EXPECT_EQ(l3[6], 17);
    EXPECT_EQ(test::Get16(l3, 44), l3.size() - 40);
    EXPECT_EQ(test::Get16(l3, 46), 0);
    EXPECT_EQ(built.meta.esp_offset, 14 + 48);
  }
}

TEST(EncapsulateTest, UdpHeaderHasPortsLengthAndNoChecksum) {
  const Bytes inner = test::Udp({}, 1, 2, Pattern(2));  // 30 bytes: pad 0
  const Built built = Encapsulate(*test::MakeSa({.encap = test::NatT(4500, 61000)}), inner);
  ASSERT_EQ(built.reason, DropReason::kNone);
  const Bytes l3 = L3(built);
  EXPECT_EQ(l3[9], 17);
  EXPECT_EQ(Bytes(l3.begin() + 20, l3.begin() + 28),
            FromHex("1194 ee48 0048 0000"));  // 8 + 16 + 32 + 16
  EXPECT_EQ(Bytes(l3.begin() + 28, l3.begin() + 44), kEspHeader1);
  EXPECT_EQ(test::Get16(l3, 2), l3.size());
  EXPECT_EQ(built.meta.esp_offset, 14 + 28);
}

TEST(EncapsulateTest, UdpPortsThatChangeAreUsedAtOnce) {
  const auto sa = test::MakeSa({.encap = test::NatT()});
  sa->UpdateEncapPorts(test::NatT(7, 8));
  const Bytes l3 = L3(Encapsulate(*sa, test::Udp({}, 1, 2, {})));
  EXPECT_EQ(Bytes(l3.begin() + 20, l3.begin() + 24), (Bytes{0, 7, 0, 8}));
}

TEST(EncapsulateTest, PaddingOfEveryLength) {
  for (std::size_t n = 0; n < 9; ++n) {
    const Bytes inner = test::Udp({}, 1, 2, Pattern(n));
    const Bytes l3 = L3(Encapsulate(*test::MakeSa(), inner));
    const std::size_t pad = (4 - (inner.size() + 2) % 4) % 4;
    Bytes trailer;
    for (std::size_t i = 1; i <= pad; ++i) trailer.push_back(static_cast<uint8_t>(i));
    trailer = trailer + Bytes{static_cast<uint8_t>(pad), 4};
    EXPECT_EQ(Bytes(l3.begin() + 36 + static_cast<std::ptrdiff_t>(inner.size()), l3.end() - 16),
              trailer)
        << n;
    EXPECT_EQ((l3.size() - 36 - 16) % 4, 0u);
  }
}

TEST(EncapsulateTest, TransportPadsEveryLengthAndKeepsTheHeader) {
  const auto sa = test::MakeSa({.mode = SaMode::kTransport});
  for (std::size_t n = 0; n < 9; ++n) {
    const Bytes ip =
        test::Udp({.tos = 0xb9, .dont_fragment = true, .id = 0xfffe}, 1, 2, Pattern(n));
    const Bytes l3 = L3(Encapsulate(*sa, ip));
    const std::size_t pad = (4 - (ip.size() - 20 + 2) % 4) % 4;
    ASSERT_EQ(l3.size(), ip.size() + 16 + pad + 2 + 16) << n;
    EXPECT_EQ(l3[l3.size() - 18], pad);
    EXPECT_EQ(l3[l3.size() - 17], kProtoUdp);
    Bytes header(ip.begin(), ip.begin() + 20);
    test::Put16(&header, 2, static_cast<uint32_t>(l3.size()));
    header[9] = kProtoEsp;
    test::Put16(&header, 10, 0);
    test::Put16(&header, 10, test::NaiveChecksum(header));
    EXPECT_EQ(Bytes(l3.begin(), l3.begin() + 20), header) << n;
    EXPECT_EQ(Bytes(l3.begin() + 36, l3.begin() + 36 + static_cast<std::ptrdiff_t>(ip.size()) - 20),
              Bytes(ip.begin() + 20, ip.end()));
  }
}

TEST(EncapsulateTest, SequenceNumberAndIvOf64Bits) {
  const Built built = Encapsulate(*test::MakeSa({.flags = kSaFlagEsn}), test::Udp({}, 1, 2, {}),
                                  0x11223344'55667788);
  const Bytes l3 = L3(built);
  EXPECT_EQ(test::Get32(l3, 24), 0x55667788u);
  EXPECT_EQ(test::Get32(l3, 28), 0x01234567u ^ 0x11223344u);
  EXPECT_EQ(test::Get32(l3, 32), 0x89abcdefu ^ 0x55667788u);
  EXPECT_EQ(built.meta.esn_high, 0x11223344u);
  EXPECT_EQ(test::Get16(l3, 4), 0x7788 + 0x0123);  // IPv4 identification from the SA's start
}

// oseq-may-wrap: the low word restarts, but the 64-bit number, and so the IV, does not.
TEST(EncapsulateTest, WrappedSequenceNumberHasAnotherIv) {
  const auto sa = test::MakeSa({.extra_flags = kSaExtraOseqMayWrap, .oseq = 0xfffffffe});
  std::vector<Bytes> ivs;
  std::vector<uint32_t> numbers;
  for (int i = 0; i < 4; ++i) {
    const SequenceRange range = sa->outbound()->sequence.Reserve(1);
    ASSERT_EQ(range.count, 1u);
    const Bytes l3 = L3(Encapsulate(*sa, test::Udp({}, 1, 2, {}), range.first));
    numbers.push_back(test::Get32(l3, 24));
    ivs.emplace_back(l3.begin() + 28, l3.begin() + 36);
  }
  EXPECT_EQ(numbers, (std::vector<uint32_t>{0xffffffff, 0, 1, 2}));
  // The IV differs from those of packets 1 and 2 before the wrap.
  for (const uint64_t seq : {1u, 2u}) {
    const Bytes l3 = L3(Encapsulate(*sa, test::Udp({}, 1, 2, {}), seq));
    ivs.emplace_back(l3.begin() + 28, l3.begin() + 36);
  }
  std::sort(ivs.begin(), ivs.end());
  EXPECT_EQ(std::adjacent_find(ivs.begin(), ivs.end()), ivs.end());
}

// The flow label stays with the flow (RFC 6437) if both headers have one. TTL and hop limit come
// from the route, not from the inner packet.
TEST(EncapsulateTest, FlowLabelAndHopLimitOfEveryPairOfFamilies) {
  for (const test::Families& f : test::kFamilies) {
    const bool inner6 = f.inner6();
    const bool outer6 = f.outer6();
    const IpFields inner{
        .src = f.inner_src, .dst = f.inner_dst, .ttl = 7, .flow_label = inner6 ? 0x54321u : 0};
    const Built built = Encapsulate(*test::MakeSa({.src = f.outer_src, .dst = f.outer_dst}),
                                    test::Udp(inner, 1, 2, Pattern(20)));
    const Bytes l3 = L3(built);
    EXPECT_EQ(test::Get16(built.frame, 12), outer6 ? 0x86dd : 0x0800) << f.name;
    EXPECT_EQ(l3[outer6 ? 7 : 8], 64) << f.name;
    if (outer6) {
      EXPECT_EQ(test::Get32(l3, 0) & 0xfffff, inner6 ? 0x54321u : 0) << f.name;
    }
  }
}

struct TosCase {
  const char* name;
  uint8_t flags;
  uint32_t extra_flags;
  uint8_t inner;
  uint8_t outer;
};

TEST(EncapsulateTest, TosOfTheOuterHeader) {
  const TosCase cases[] = {
      {"copied", 0, 0, 0xb8, 0xb8},
      {"ECT(0) copied", 0, 0, 0xba, 0xba},
      {"ECT(1) copied", 0, 0, 0xb9, 0xb9},
      {"CE becomes ECT(0)", 0, 0, 0xbb, 0xba},
      {"no ECN", kSaFlagNoEcn, 0, 0xba, 0xb8},
      {"no ECN, CE", kSaFlagNoEcn, 0, 0xbb, 0xb8},
      {"no DSCP", 0, kSaExtraDontEncapDscp, 0xb9, 0x01},
      {"no DSCP, CE", 0, kSaExtraDontEncapDscp, 0xbb, 0x02},
      {"neither", kSaFlagNoEcn, kSaExtraDontEncapDscp, 0xbb, 0},
      {"all bits", 0, 0, 0xfd, 0xfd},
  };
  for (const TosCase& c : cases) {
    for (const test::Families& f : test::kFamilies) {
      const SaOptions o{
          .src = f.outer_src, .dst = f.outer_dst, .flags = c.flags, .extra_flags = c.extra_flags};
      const IpFields inner{.src = f.inner_src, .dst = f.inner_dst, .tos = c.inner};
      const Bytes l3 = L3(Encapsulate(*test::MakeSa(o), test::Udp(inner, 1, 2, {})));
      EXPECT_EQ(ParseIpPacket(l3)->tos, c.outer) << c.name << ", " << f.name;
    }
  }
}

TEST(EncapsulateTest, DontFragmentOfTheOuterHeader) {
  struct Case {
    const char* name;
    uint8_t flags;
    Bytes inner;
    bool expected;
  };
  const IpFields v6{.src = "fd01::1", .dst = "fd02::1"};
  const Case cases[] = {
      {"inner without DF", 0, test::Udp({}, 1, 2, {}), false},
      {"inner with DF", 0, test::Udp({.dont_fragment = true}, 1, 2, {}), true},
      {"no PMTU discovery", kSaFlagNoPmtuDisc, test::Udp({.dont_fragment = true}, 1, 2, {}), false},
      {"IPv6 of 1280", 0, test::Udp(v6, 1, 2, Pattern(1232)), false},
      {"IPv6 above 1280", 0, test::Udp(v6, 1, 2, Pattern(1233)), true},
      {"IPv6 above 1280, no PMTU discovery", kSaFlagNoPmtuDisc, test::Udp(v6, 1, 2, Pattern(1233)),
       false},
  };
  for (const Case& c : cases) {
    const Bytes l3 = L3(Encapsulate(*test::MakeSa({.flags = c.flags}), c.inner));
    EXPECT_EQ(test::Get16(l3, 6), c.expected ? 0x4000 : 0) << c.name;
  }
}

TEST(EncapsulateTest, TransportRefusesFragmentsAndTheOtherFamily) {
  const auto sa = test::MakeSa({.mode = SaMode::kTransport});
  EXPECT_EQ(Encapsulate(*sa, test::Udp({.fragment = 0x2000}, 1, 2, {})).reason,
            DropReason::kOutModeError);
  EXPECT_EQ(Encapsulate(*sa, test::Udp({.src = "fd01::1", .dst = "fd02::1"}, 1, 2, {})).reason,
            DropReason::kOutModeError);
}

TEST(EncapsulateTest, EthernetPaddingIsCutOff) {
  const Bytes inner = test::Udp({}, 1, 2, Pattern(2));
  for (const SaMode mode : {SaMode::kTunnel, SaMode::kTransport}) {
    const auto sa = test::MakeSa({.mode = mode});
    EXPECT_EQ(Encapsulate(*sa, inner + Bytes(16, 0xee)).frame, Encapsulate(*sa, inner).frame);
  }
}

// By Encapsulate, and as one of many packets.
void ExpectRoomIsNeeded(const Sa& sa, uint32_t front) {
  struct Case {
    uint32_t head;
    uint32_t cut_tail;
    DropReason reason;
  };
  for (const Case& c : {Case{front, 0, DropReason::kNone},
                        {front - 1, 0, DropReason::kOutNoRoom},
                        {kPacketHeadroom, 1, DropReason::kOutNoRoom}}) {
    for (const bool alone : {false, true}) {
      Packet* packet = test::MakePacket(&test::EspPools(), Frame(test::Udp({}, 1, 2, Pattern(2))));
      const uint32_t capacity = packet->capacity;
      std::memmove(packet->buffer + c.head, packet->data(), packet->length);
      packet->head = c.head;
      packet->l3_offset = kEthernetHeader;
      packet->SetCapacity(packet->head + packet->length + 3 + 2 + 16 - c.cut_tail);
      const auto ip = ParseIpPacket(packet->l3());
      EXPECT_EQ(alone ? esp::Encapsulate(*sa.outbound(), *ip, 1, 1500, packet)
                      : esp::Encapsulator(*sa.outbound(), 1500).Build(*ip, 1, packet),
                c.reason)
          << c.head << " " << c.cut_tail << " " << alone;
      packet->SetCapacity(capacity);
      test::FreePacket(packet);
    }
  }
}

TEST(EncapsulateTest, BufferWithoutRoomIsRefused) {
  ExpectRoomIsNeeded(*test::MakeSa(), 20 + 16);
  ExpectRoomIsNeeded(*test::MakeSa({.mode = SaMode::kTransport}), 16);
}

TEST(EncapsulateTest, PacketThatWouldOutgrowIpIsRefused) {
  const Bytes inner = test::IpPacket({}, Pattern(65'500));
  for (const SaMode mode : {SaMode::kTunnel, SaMode::kTransport}) {
    EXPECT_EQ(Encapsulate(*test::MakeSa({.mode = mode}), inner).reason, DropReason::kOutTooBig);
  }
}

}  // namespace
}  // namespace cygnet
