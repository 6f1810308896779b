// BEET mode byte by byte in both directions, and malformed input from a peer.
#include "esp/beet.h"

#include <gtest/gtest.h>

#include "support/esp_fixture.h"
#include "support/hex.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::DecapsulateFrame;
using test::EncapsulateFrame;
using test::Families;
using test::Frame;
using test::FromHex;
using test::IpFields;
using test::Pattern;
using test::SaOptions;
using test::ToHex;

constexpr std::size_t k4in4 = 0, k6in6 = 1, k4in6 = 2, k6in4 = 3;

SaPtr BeetSa(std::size_t families) {
  return test::MakeSa(test::OptionsFor(test::kFamilies[families], SaMode::kBeet));
}

// UDP between the inner addresses of these families.
Bytes Inner(std::size_t families, IpFields f = {}, std::size_t payload = 2) {
  f.src = test::kFamilies[families].inner_src;
  f.dst = test::kFamilies[families].inner_dst;
  return test::Udp(f, 1, 2, Pattern(payload));
}

Bytes UpperOf(const Bytes& inner, std::size_t header) {
  return Bytes(inner.begin() + static_cast<std::ptrdiff_t>(header), inner.end());
}

// SPI 0x1000, sequence number 1, IV = sequence number XOR the mask.
const Bytes kEspHeader1 = FromHex("00001000 00000001 0123456789abcdee");

// The outer packet with `text` as its clear ESP payload.
Bytes Outer(std::size_t families, IpFields f, const Bytes& text) {
  f.src = test::kFamilies[families].outer_src;
  f.dst = test::kFamilies[families].outer_dst;
  f.proto = 50;
  return Frame(test::IpPacket(f, kEspHeader1 + text + Bytes(16, 0)));
}

TEST(BeetTest, OuterHeaderTakesTheInnerOnesPlace4In4) {
  for (const bool df : {false, true}) {
    const IpFields f{.tos = 0xbb, .ttl = 33, .dont_fragment = df, .id = 0x4321};
    const Bytes inner = Inner(k4in4, f);  // 10 bytes of UDP: pad 0
    const auto built = EncapsulateFrame(*BeetSa(k4in4), Frame(inner));
    ASSERT_EQ(built.reason, DropReason::kNone);
    EXPECT_EQ(ToHex(built.frame), ToHex(Outer(k4in4, f, UpperOf(inner, 20) + Bytes{0, 17})));
    EXPECT_EQ(built.meta.esp_offset, 34);
  }
}

TEST(BeetTest, OuterHeaderTakesTheInnerOnesPlace6In6) {
  const IpFields f{.tos = 0xbb, .ttl = 33, .flow_label = 0x54321};
  const Bytes inner = Inner(k6in6, f);
  const auto built = EncapsulateFrame(*BeetSa(k6in6), Frame(inner));
  ASSERT_EQ(built.reason, DropReason::kNone);
  EXPECT_EQ(ToHex(built.frame), ToHex(Outer(k6in6, f, UpperOf(inner, 40) + Bytes{0, 17})));
  EXPECT_EQ(built.meta.esp_offset, 54);
}

TEST(BeetTest, Ipv4InsideIpv6) {
  const Bytes inner = Inner(k4in6, {.tos = 0xbb, .ttl = 33});
  const auto built = EncapsulateFrame(*BeetSa(k4in6), Frame(inner));
  ASSERT_EQ(built.reason, DropReason::kNone);
  const Bytes text = UpperOf(inner, 20) + Bytes{0, 17};
  EXPECT_EQ(ToHex(built.frame), ToHex(Outer(k4in6, {.tos = 0xbb, .ttl = 33}, text)));
}

TEST(BeetTest, Ipv6InsideIpv4IsAtomic) {
  const Bytes inner = Inner(k6in4, {.tos = 0xbb, .ttl = 33, .flow_label = 0x54321});
  const auto built = EncapsulateFrame(*BeetSa(k6in4), Frame(inner));
  ASSERT_EQ(built.reason, DropReason::kNone);
  const IpFields outer{.tos = 0xbb, .ttl = 33, .dont_fragment = true, .id = 0};
  EXPECT_EQ(ToHex(built.frame), ToHex(Outer(k6in4, outer, UpperOf(inner, 40) + Bytes{0, 17})));
}

// Options of every length, with the pseudo-header that Linux writes.
TEST(BeetTest, Ipv4OptionsTravelBehindAPseudoHeader) {
  for (const std::size_t families : {k4in4, k4in6}) {
    for (std::size_t n = 4; n <= 40; n += 4) {
      Bytes options = Pattern(n, 0x80);
      const Bytes inner = Inner(families, {.options = options});
      const auto built = EncapsulateFrame(*BeetSa(families), Frame(inner));
      ASSERT_EQ(built.reason, DropReason::kNone);
      const bool padded = n % 8 == 0;
      Bytes pseudo{17, static_cast<uint8_t>(n / 8), padded ? uint8_t{4} : uint8_t{0}, 0};
      if (padded) pseudo = pseudo + Bytes(4, 1);
      EXPECT_EQ((pseudo.size() + n) % 8, 0u);
      EXPECT_EQ(pseudo.size() + n, (pseudo[1] + 1u) * 8);  // the receiver's view of the length
      const Bytes text = pseudo + options + UpperOf(inner, 20 + n) + Bytes{0, 94};
      EXPECT_EQ(ToHex(built.frame), ToHex(Outer(families, {}, text))) << n;
      IpFields back{.options = options};
      if (families == k4in6) {
        back.dont_fragment = true;
        back.id = 0;
      }
      EXPECT_EQ(ToHex(DecapsulateFrame(*BeetSa(families), built.frame).frame),
                ToHex(Frame(Inner(families, back))))
          << n;
    }
  }
}

// TTL, TOS, DF and identification of the rebuilt header come from the outer one, which may have
// changed on the path; the addresses come from the selector.
TEST(BeetTest, InnerHeaderIsRebuiltFromTheOuterOne) {
  struct Case {
    std::size_t families;
    IpFields outer;
    IpFields inner;
  };
  const Case cases[] = {
      {k4in4, {.tos = 0x2b, .ttl = 9, .id = 0x77}, {.tos = 0x2b, .ttl = 9, .id = 0x77}},
      {k4in4, {.dont_fragment = true}, {.dont_fragment = true}},
      {k4in4, {.options = {1, 1, 1, 1}}, {}},  // added on the path: they were not inside
      {k6in6,
       {.tos = 0x2b, .ttl = 9, .flow_label = 0x12345},
       {.tos = 0x2b, .ttl = 9, .flow_label = 0x12345}},
      {k4in6,
       {.tos = 0x2b, .ttl = 9, .flow_label = 0x12345},
       {.tos = 0x2b, .ttl = 9, .dont_fragment = true, .id = 0}},
      {k6in4, {.tos = 0x2b, .ttl = 9, .id = 0x77}, {.tos = 0x2b, .ttl = 9}},
  };
  for (const Case& c : cases) {
    const Bytes inner = Inner(c.families, c.inner, 6);
    const bool inner6 = test::kFamilies[c.families].inner6();
    const Bytes text = UpperOf(inner, inner6 ? 40 : 20) + Bytes{1, 2, 2, 17};
    const auto got = DecapsulateFrame(*BeetSa(c.families), Outer(c.families, c.outer, text));
    EXPECT_EQ(got.reason, DropReason::kNone);
    EXPECT_EQ(ToHex(got.frame), ToHex(Frame(inner))) << test::kFamilies[c.families].name;
  }
}

TEST(BeetTest, UdpEncapsulationBothWays) {
  for (std::size_t i = 0; i < test::kFamilies.size(); ++i) {
    SaOptions o = test::OptionsFor(test::kFamilies[i], SaMode::kBeet);
    o.encap = test::NatT(4500, 61000);
    const auto sa = test::MakeSa(o);
    const Bytes frame = Frame(Inner(i, {.dont_fragment = true, .id = 0}, 30));
    const auto built = EncapsulateFrame(*sa, frame);
    ASSERT_EQ(built.reason, DropReason::kNone);
    const std::size_t udp = built.meta.esp_offset - 8u;
    EXPECT_EQ(built.frame[14 + (test::kFamilies[i].outer6() ? 6 : 9)], 17);
    EXPECT_EQ(test::Get32(built.frame, udp), 4500u << 16 | 61000u);
    EXPECT_EQ(test::Get16(built.frame, udp + 4), built.frame.size() - udp);
    EXPECT_EQ(test::Get16(built.frame, udp + 6), 0);
    EXPECT_EQ(DecapsulateFrame(*sa, built.frame).frame, frame) << test::kFamilies[i].name;
  }
}

// Everything after the fixed IPv6 header is payload, including a fragment header.
TEST(BeetTest, Ipv6ExtensionHeadersTravelInside) {
  for (const uint8_t header : {uint8_t{0}, uint8_t{43}, uint8_t{44}, uint8_t{60}}) {
    for (const std::size_t families : {k6in6, k6in4}) {
      const Families& f = test::kFamilies[families];
      const IpFields fields{.src = f.inner_src,
                            .dst = f.inner_dst,
                            .options = {17, 0, 0, 1, 0, 0, 0, 0},
                            .first_header = header};
      const Bytes inner = test::IpPacket(fields, Pattern(10));
      const auto built = EncapsulateFrame(*BeetSa(families), Frame(inner));
      ASSERT_EQ(built.reason, DropReason::kNone);
      EXPECT_EQ(built.frame[built.frame.size() - 17], header);
      EXPECT_EQ(DecapsulateFrame(*BeetSa(families), built.frame).frame, Frame(inner));
    }
  }
}

TEST(BeetTest, RefusesFragmentsAndTheOtherFamily) {
  for (const uint16_t fragment : {uint16_t{0x2000}, uint16_t{0x0001}}) {
    EXPECT_EQ(EncapsulateFrame(*BeetSa(k4in4), Frame(Inner(k4in4, {.fragment = fragment}))).reason,
              DropReason::kOutModeError);
  }
  EXPECT_EQ(EncapsulateFrame(*BeetSa(k4in4), Frame(Inner(k6in6))).reason,
            DropReason::kOutModeError);
  EXPECT_EQ(EncapsulateFrame(*BeetSa(k6in4), Frame(Inner(k4in4))).reason,
            DropReason::kOutModeError);
}

TEST(BeetTest, PseudoHeaderThatLiesIsRefused) {
  struct Case {
    const char* name;
    Bytes text;  // without trailer
    DropReason reason;
  };
  const Bytes upper = Pattern(12);
  const Case cases[] = {
      {"empty payload", {}, DropReason::kInModeMismatch},
      {"three bytes", {17, 0, 0}, DropReason::kInModeMismatch},
      {"no room for its 8 bytes", {17, 0, 0, 0, 1, 1, 1}, DropReason::kInModeMismatch},
      {"4 of options, nothing else", {17, 0, 0, 0, 1, 1, 1, 1}, DropReason::kNone},
      {"only padding", Bytes{17, 0, 4, 0, 1, 1, 1, 1} + upper, DropReason::kNone},
      {"longer than the payload", Bytes{17, 2, 0, 0} + upper, DropReason::kInModeMismatch},
      {"as long as the payload", Bytes{17, 1, 0, 0} + upper, DropReason::kNone},
      {"padding beyond it", Bytes{17, 0, 5, 0, 1, 1, 1, 1} + upper, DropReason::kInModeMismatch},
      {"padding far beyond it", Bytes{17, 0, 255, 0} + Bytes(300, 1), DropReason::kInModeMismatch},
      {"options not a multiple of 4", Bytes{17, 1, 1, 0} + upper, DropReason::kInModeMismatch},
      {"40 of options", Bytes{17, 5, 4, 0} + Bytes(60, 1), DropReason::kNone},
      {"44 of options", Bytes{17, 5, 0, 0} + Bytes(60, 1), DropReason::kInModeMismatch},
      {"far more options", Bytes{17, 255, 0, 0} + Bytes(3000, 1), DropReason::kInModeMismatch},
  };
  for (const Case& c : cases) {
    for (const std::size_t families : {k4in4, k4in6}) {
      const auto got =
          DecapsulateFrame(*BeetSa(families), Outer(families, {}, c.text + Bytes{0, 94}));
      EXPECT_EQ(got.reason, c.reason) << c.name;
      if (c.reason != DropReason::kNone) continue;
      const std::span<const uint8_t> l3 = std::span<const uint8_t>(got.frame).subspan(14);
      ASSERT_TRUE(ParseIpPacket(l3).has_value()) << c.name;
      EXPECT_EQ(ParseIpPacket(l3)->total_length, l3.size()) << c.name;
      EXPECT_TRUE(test::Ipv4HeaderChecksumHolds(l3)) << c.name;
    }
  }
}

// ESP over IPv6 may carry more than fits after an IPv4 header.
TEST(BeetTest, PacketThatWouldOutgrowIpIsRefused) {
  test::LayoutCase layout = test::Layouts()[7];
  layout.icv_bits = 64;
  const auto sa = test::MakeSaWith(layout, test::OptionsFor(test::kFamilies[k4in6], SaMode::kBeet));
  for (const std::size_t more : {0u, 1u}) {
    const IpFields outer{.src = "2001:db8::1", .dst = "2001:db8::2", .proto = 50};
    const Bytes text = Bytes(65'515 + more, 7) + Bytes{0, 17};
    const auto got =
        DecapsulateFrame(*sa, Frame(test::IpPacket(outer, Bytes(8, 0) + text + Bytes(8, 0))));
    EXPECT_EQ(got.reason, more == 0 ? DropReason::kNone : DropReason::kInModeMismatch);
  }
}

// Without an IV the inner IPv6 header is longer than all headers it replaces.
TEST(BeetTest, InnerHeaderThatDoesNotFitTheBufferIsRefused) {
  const test::LayoutCase& null_cipher = test::Layouts()[7];
  const auto sa =
      test::MakeSaWith(null_cipher, test::OptionsFor(test::kFamilies[k6in4], SaMode::kBeet));
  const Bytes frame = Frame(Inner(k6in4));
  const auto built = EncapsulateFrame(*sa, frame);
  ASSERT_EQ(built.reason, DropReason::kNone);
  EXPECT_EQ(DecapsulateFrame(*sa, built.frame, 12).frame, frame);
  EXPECT_EQ(DecapsulateFrame(*sa, built.frame, 11).reason, DropReason::kNoBuffers);
}

TEST(BeetTest, VlanTagsStayAndTheTypeFollowsTheFamily) {
  const Bytes tag = FromHex("8100 0007");
  const Bytes frame = Frame(Inner(k4in6, {.dont_fragment = true, .id = 0}), tag);
  const auto built = EncapsulateFrame(*BeetSa(k4in6), frame);
  EXPECT_EQ(Bytes(built.frame.begin() + 12, built.frame.begin() + 18), tag + FromHex("86dd"));
  EXPECT_EQ(DecapsulateFrame(*BeetSa(k4in6), built.frame).frame, frame);
}

}  // namespace
}  // namespace cygnet
