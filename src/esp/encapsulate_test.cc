// ESP packets byte by byte, before they are sealed and after they were opened.
#include "esp/encapsulate.h"

#include <gtest/gtest.h>

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

PacketPools& Pools() {
  static PacketPools pools{64, 2};
  return pools;
}

struct Built {
  DropReason reason;
  Bytes frame;
  OffloadMeta meta;
};

Built Encapsulate(const Sa& sa, const Bytes& ip, uint64_t seq = 1) {
  Packet* packet = test::MakePacket(&Pools(), Frame(ip));
  const auto view = ParseIpPacket(packet->l3());
  Built out{esp::Encapsulate(*sa.outbound(), *view, seq, 1500, packet), {}, packet->offload};
  out.frame = test::ToBytes(packet->bytes());
  test::FreePacket(packet);
  return out;
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
  const Bytes outer = FromHex("4548 0054 0001 0000 40 32 f5fd c0000201 c0000202");
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

TEST(EncapsulateTest, SequenceNumberAndIvOf64Bits) {
  const Built built = Encapsulate(*test::MakeSa({.flags = kSaFlagEsn}), test::Udp({}, 1, 2, {}),
                                  0x11223344'55667788);
  const Bytes l3 = L3(built);
  EXPECT_EQ(test::Get32(l3, 24), 0x55667788u);
  EXPECT_EQ(test::Get32(l3, 28), 0x01234567u ^ 0x11223344u);
  EXPECT_EQ(test::Get32(l3, 32), 0x89abcdefu ^ 0x55667788u);
  EXPECT_EQ(built.meta.esn_high, 0x11223344u);
  EXPECT_EQ(test::Get16(l3, 4), 0x7788);  // IPv4 identification
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
      {"ECT copied", 0, 0, 0xba, 0xba},
      {"CE copied", 0, 0, 0x03, 0x03},
      {"no ECN", kSaFlagNoEcn, 0, 0xbb, 0xb8},
      {"no DSCP", 0, kSaExtraDontEncapDscp, 0xba, 0x02},
      {"neither", kSaFlagNoEcn, kSaExtraDontEncapDscp, 0xbb, 0},
  };
  for (const TosCase& c : cases) {
    for (const bool v6 : {false, true}) {
      SaOptions o{.flags = c.flags, .extra_flags = c.extra_flags};
      if (v6) {
        o.src = "2001:db8::1";
        o.dst = "2001:db8::2";
      }
      const Bytes l3 = L3(Encapsulate(*test::MakeSa(o), test::Udp({.tos = c.inner}, 1, 2, {})));
      EXPECT_EQ(ParseIpPacket(l3)->tos, c.outer) << c.name << (v6 ? " v6" : " v4");
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
      {"inner without", 0, test::Udp({}, 1, 2, {}), false},
      {"inner with", 0, test::Udp({.dont_fragment = true}, 1, 2, {}), true},
      {"no PMTU discovery", kSaFlagNoPmtuDisc, test::Udp({.dont_fragment = true}, 1, 2, {}), false},
      {"IPv6 of 1280", 0, test::Udp(v6, 1, 2, Pattern(1232)), false},
      {"IPv6 above 1280", 0, test::Udp(v6, 1, 2, Pattern(1233)), true},
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
  EXPECT_EQ(Encapsulate(*test::MakeSa(), inner + Bytes(16, 0xee)).frame,
            Encapsulate(*test::MakeSa(), inner).frame);
}

TEST(EncapsulateTest, BufferWithoutRoomIsRefused) {
  const auto sa = test::MakeSa();
  struct Case {
    uint32_t head;
    uint32_t cut_tail;
    DropReason reason;
  };
  const uint32_t front = 20 + 16;
  for (const Case& c : {Case{front, 0, DropReason::kNone},
                        {front - 1, 0, DropReason::kOutNoRoom},
                        {kPacketHeadroom, 1, DropReason::kOutNoRoom}}) {
    Packet* packet = test::MakePacket(&Pools(), Frame(test::Udp({}, 1, 2, Pattern(2))));
    const uint32_t capacity = packet->capacity;
    std::memmove(packet->buffer + c.head, packet->data(), packet->length);
    packet->head = c.head;
    packet->capacity = packet->head + packet->length + 255 + 2 + 16 - c.cut_tail;
    const auto view = ParseIpPacket(packet->l3());
    EXPECT_EQ(esp::Encapsulate(*sa->outbound(), *view, 1, 1500, packet), c.reason)
        << c.head << " " << c.cut_tail;
    packet->capacity = capacity;
    test::FreePacket(packet);
  }
}

TEST(EncapsulateTest, PacketThatWouldOutgrowIpIsRefused) {
  const Bytes inner = test::IpPacket({}, Pattern(65'500));
  EXPECT_EQ(Encapsulate(*test::MakeSa(), inner).reason, DropReason::kOutTooBig);
}

// --- Sizes ---

TEST(InnerMtuTest, WorkedExampleOfTheReference) {
  EXPECT_EQ(esp::InnerMtu(*test::MakeSa()->outbound(), 1500, 20), 1446u);
}

TEST(InnerMtuTest, NoPathIsTooSmallToAskFor) {
  const auto sa = test::MakeSa();
  for (uint32_t mtu = 0; mtu <= 20 + 16 + 16 + 2; ++mtu) {
    EXPECT_EQ(esp::InnerMtu(*sa->outbound(), mtu, 20), 0u) << mtu;
  }
  EXPECT_EQ(esp::InnerMtu(*sa->outbound(), 56, 20), 2u);
}

TEST(InnerMtuTest, LargestThatFitsFitsAndOneMoreDoesNot) {
  for (const SaMode mode : {SaMode::kTunnel, SaMode::kTransport}) {
    for (const bool v6 : {false, true}) {
      for (const bool udp : {false, true}) {
        SaOptions o{.mode = mode};
        IpFields f{.src = "192.0.2.1", .dst = "192.0.2.2"};
        if (v6) {
          f.src = o.src = "2001:db8::1";
          f.dst = o.dst = "2001:db8::2";
        }
        if (udp) o.encap = test::NatT();
        const auto sa = test::MakeSa(o);
        const uint32_t header = v6 ? 40 : 20;
        for (uint32_t path = 1280; path < 1290; ++path) {
          const uint32_t mtu = esp::InnerMtu(*sa->outbound(), path, header);
          for (uint32_t inner = mtu - 5; inner <= mtu + 1; ++inner) {
            const Built built = Encapsulate(*sa, test::IpPacket(f, Pattern(inner - header)));
            const auto size = static_cast<uint32_t>(built.frame.size() - 14);
            EXPECT_EQ(size <= path, inner <= mtu) << inner << " in " << path;
            EXPECT_EQ(size, inner + esp::Overhead(*sa->outbound(), inner, header));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace cygnet
