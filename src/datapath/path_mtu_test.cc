// ICMP errors about outer packets: which are parsed, which SA they are about, and which are
// trusted.
#include "datapath/path_mtu.h"

#include <gtest/gtest.h>

#include "net/ip_protocol.h"
#include "support/fragment_builder.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::IpFields;
using test::IpPacket;
using test::Pattern;
using test::Put16;
using test::Put32;
using test::operator+;
using Kind = OuterError::Kind;

constexpr uint32_t kSpi = 0xc0ffee01;

// Our ESP packets of 1500 bytes, as a router would quote them.
IpFields Outer(bool v4) {
  IpFields f;
  f.src = v4 ? "192.0.2.1" : "2001:db8::1";
  f.dst = v4 ? "192.0.2.2" : "2001:db8::2";
  f.proto = kProtoEsp;
  return f;
}
Bytes Esp(uint32_t spi = kSpi) {
  Bytes out = Pattern(1400);
  Put32(&out, 0, spi);
  return out;
}
Bytes EspPacket(bool v4) { return IpPacket(Outer(v4), Esp()); }
Bytes UdpEspPacket(bool v4, uint32_t spi = kSpi) {
  return test::Udp(Outer(v4), 4500, 4501, Esp(spi));
}

struct Icmp {
  uint8_t type = 3;
  uint8_t code = 4;
  uint32_t rest = 0;  // bytes 4 – 7
};

// A router's error; `quote`: how many bytes of `quoted` it holds.
Bytes IcmpError(bool v4, const Icmp& icmp, const Bytes& quoted, std::size_t quote = 500) {
  IpFields f;
  f.src = v4 ? "198.51.100.9" : "2001:db8:9::9";
  f.dst = v4 ? "192.0.2.1" : "2001:db8::1";
  f.proto = v4 ? kProtoIcmp : kProtoIcmpv6;
  Bytes message = {icmp.type, icmp.code, 0, 0, 0, 0, 0, 0};
  Put32(&message, 4, icmp.rest);
  message = message + test::Slice(quoted, {0, std::min(quote, quoted.size())});
  const uint32_t sum = v4 ? 0 : test::NaivePseudoSum(f, static_cast<uint32_t>(message.size()));
  Put16(&message, 2, test::NaiveChecksum(message, sum));
  return IpPacket(f, message);
}

std::optional<OuterError> Parse(const Bytes& packet) {
  const auto ip = ParseIpPacket(packet);
  EXPECT_TRUE(ip.has_value());
  return ip ? ParseOuterIcmp(*ip, packet) : std::nullopt;
}

Bytes TooBig(bool v4, uint32_t mtu, const Bytes& quoted, std::size_t quote = 500) {
  return IcmpError(v4, v4 ? Icmp{3, 4, mtu} : Icmp{2, 0, mtu}, quoted, quote);
}

class OuterIcmpTest : public testing::TestWithParam<bool> {
 protected:
  bool v4() const { return GetParam(); }
  std::size_t header() const { return v4() ? 20 : 40; }
};

TEST_P(OuterIcmpTest, TooBigAboutEsp) {
  const auto error = Parse(TooBig(v4(), 1400, EspPacket(v4())));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->kind, Kind::kPacketTooBig);
  EXPECT_EQ(error->family, v4() ? IpFamily::kV4 : IpFamily::kV6);
  EXPECT_EQ(error->saddr, test::Ip(Outer(v4()).src));
  EXPECT_EQ(error->daddr, test::Ip(Outer(v4()).dst));
  EXPECT_EQ(error->spi, kSpi);
  EXPECT_FALSE(error->udp_encapsulated);
  EXPECT_EQ(error->mtu, 1400u);
}

TEST_P(OuterIcmpTest, TooBigAboutEspInUdp) {
  const auto error = Parse(TooBig(v4(), 1400, UdpEspPacket(v4())));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->spi, kSpi);
  EXPECT_TRUE(error->udp_encapsulated);
  EXPECT_EQ(error->sport, 4500);
  EXPECT_EQ(error->dport, 4501);
}

TEST_P(OuterIcmpTest, ShortQuotationsGiveWhatIsThere) {
  const std::size_t h = header();
  EXPECT_EQ(Parse(TooBig(v4(), 1400, EspPacket(v4()), h + 4))->spi, kSpi);
  EXPECT_EQ(Parse(TooBig(v4(), 1400, EspPacket(v4()), h + 3))->spi, std::nullopt);
  EXPECT_EQ(Parse(TooBig(v4(), 1400, EspPacket(v4()), h))->spi, std::nullopt);
  EXPECT_FALSE(Parse(TooBig(v4(), 1400, EspPacket(v4()), h - 1)).has_value());
  EXPECT_FALSE(Parse(TooBig(v4(), 1400, EspPacket(v4()), 0)).has_value());
  EXPECT_EQ(Parse(TooBig(v4(), 1400, UdpEspPacket(v4()), h + 12))->spi, kSpi);
  EXPECT_EQ(Parse(TooBig(v4(), 1400, UdpEspPacket(v4()), h + 11))->spi, std::nullopt);
  EXPECT_EQ(Parse(TooBig(v4(), 1400, UdpEspPacket(v4()), h + 8))->sport, 4500);
  EXPECT_FALSE(Parse(TooBig(v4(), 1400, UdpEspPacket(v4()), h + 7)).has_value());
}

TEST_P(OuterIcmpTest, OtherPacketsQuotedAreNotOurs) {
  IpFields tcp = Outer(v4());
  tcp.proto = kProtoTcp;
  EXPECT_FALSE(Parse(TooBig(v4(), 1400, IpPacket(tcp, Esp()))).has_value());
  EXPECT_FALSE(Parse(TooBig(v4(), 1400, UdpEspPacket(v4(), 0))).has_value());  // IKE
  EXPECT_FALSE(Parse(TooBig(v4(), 1400, EspPacket(!v4()))).has_value());
}

TEST_P(OuterIcmpTest, UnreachableIsSaidToBeThat) {
  const Icmp kinds[] = {{3, 1, 0}, {3, 3, 0}, {3, 13, 0}};
  for (Icmp icmp : kinds) {
    if (!v4()) icmp.type = 1;
    const auto error = Parse(IcmpError(v4(), icmp, EspPacket(v4())));
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->kind, Kind::kUnreachable);
    EXPECT_EQ(error->code, icmp.code);
    EXPECT_EQ(error->spi, kSpi);
    EXPECT_EQ(error->mtu, 0u);
  }
}

TEST_P(OuterIcmpTest, OtherMessagesAreNot) {
  for (const uint8_t type : std::initializer_list<uint8_t>{0, 5, 8, 11, 12, 128, 135}) {
    EXPECT_FALSE(Parse(IcmpError(v4(), {type, 4, 1400}, EspPacket(v4()))).has_value());
  }
}

TEST_P(OuterIcmpTest, AWrongChecksumIsNotBelieved) {
  Bytes packet = TooBig(v4(), 1400, EspPacket(v4()));
  packet[header() + 7] ^= 1;
  EXPECT_FALSE(Parse(packet).has_value());
}

TEST_P(OuterIcmpTest, AFragmentOfIcmpIsNotRead) {
  const Bytes whole = TooBig(v4(), 1400, EspPacket(v4()));
  IpFields f;
  f.src = v4() ? "198.51.100.9" : "2001:db8:9::9";
  f.dst = Outer(v4()).src;
  f.proto = v4() ? kProtoIcmp : kProtoIcmpv6;
  const Bytes message(whole.begin() + static_cast<std::ptrdiff_t>(header()), whole.end());
  EXPECT_FALSE(Parse(test::FragmentOf(f, message, {0, 496})).has_value());
}

TEST_P(OuterIcmpTest, NoCutMakesItReadBeyondTheEnd) {  // for the sanitizers
  for (const Bytes& quoted : {EspPacket(v4()), UdpEspPacket(v4())}) {
    for (std::size_t quote = 0; quote < 80; ++quote) {
      const auto error = Parse(TooBig(v4(), 1400, quoted, quote));
      EXPECT_EQ(error.value_or(OuterError{}).spi.value_or(kSpi), kSpi);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, OuterIcmpTest, testing::Bool(),
                         [](const auto& v4) { return v4.param ? "V4" : "V6"; });

TEST(OuterIcmpV4Test, OldRoutersMeanThePlateauBelow) {  // RFC 1191 section 5
  struct Case {
    std::size_t total;
    uint32_t mtu;
  };
  for (const Case& c : {Case{1500, 1492}, Case{1492, 1006}, Case{1006, 508}, Case{2003, 2002},
                        Case{60000, 32000}, Case{68, 68}, Case{100, 68}}) {
    const Bytes quoted =
        IpPacket(Outer(true), test::Slice(Esp() + Bytes(60000), {0, c.total - 20}));
    EXPECT_EQ(Parse(TooBig(true, 0, quoted))->mtu, c.mtu) << c.total;
  }
  // The unused bytes before the MTU (RFC 4884) are not part of it.
  EXPECT_EQ(Parse(TooBig(true, 0x00200000 | 1300, EspPacket(true)))->mtu, 1300u);
}

TEST(OuterIcmpV4Test, LaterFragmentQuotedHasNoSpi) {
  const Bytes quoted = test::FragmentOf(Outer(true), Esp(), {8, 800});
  const auto error = Parse(TooBig(true, 600, quoted));
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->spi, std::nullopt);
}

TEST(OuterIcmpV6Test, ExtensionHeadersAreSteppedOver) {
  const Bytes first = test::FragmentOf(Outer(false), Esp(), {0, 1200});
  EXPECT_EQ(Parse(TooBig(false, 1280, first))->spi, kSpi);
  const Bytes later = test::FragmentOf(Outer(false), Esp(), {8, 1200});
  EXPECT_EQ(Parse(TooBig(false, 1280, later))->spi, std::nullopt);
  IpFields f = Outer(false);
  f.first_header = kProtoHopByHop;
  f.options = {kProtoEsp, 0, 1, 4, 0, 0, 0, 0};
  EXPECT_EQ(Parse(TooBig(false, 1280, IpPacket(f, Esp())))->spi, kSpi);
  EXPECT_EQ(Parse(TooBig(false, 70'000, EspPacket(false)))->mtu, 70'000u);
  f.options[1] = 200;  // beyond the quotation
  EXPECT_FALSE(Parse(TooBig(false, 1280, IpPacket(f, Esp()))).has_value());
  f.options.clear();
  for (int i = 0; i < 9; ++i) f.options = f.options + Bytes{kProtoHopByHop, 0, 1, 4, 0, 0, 0, 0};
  EXPECT_FALSE(Parse(TooBig(false, 1280, IpPacket(f, Esp()))).has_value());
}

// --- Which SA an error is about ---

TEST(PathMtuTest, AnErrorIsAboutTheSaWhoseAddressesAndSpiItQuotes) {
  const auto sa = test::MakeSa({.spi = kSpi});
  const OuterError good = *Parse(TooBig(true, 1400, EspPacket(true)));
  EXPECT_TRUE(IsAbout(good, *sa->outbound()));
  OuterError e = good;
  e.saddr = test::Ip("192.0.2.3");
  EXPECT_FALSE(IsAbout(e, *sa->outbound()));
  e = good;
  e.daddr = test::Ip("192.0.2.3");
  EXPECT_FALSE(IsAbout(e, *sa->outbound()));
  e = good;
  e.spi = kSpi + 1;
  EXPECT_FALSE(IsAbout(e, *sa->outbound()));
  e.spi.reset();
  EXPECT_FALSE(IsAbout(e, *sa->outbound()));
  e = good;
  e.family = IpFamily::kV6;
  EXPECT_FALSE(IsAbout(e, *sa->outbound()));
  EXPECT_FALSE(IsAbout(*Parse(TooBig(true, 1400, UdpEspPacket(true))), *sa->outbound()));
}

TEST(PathMtuTest, WithUdpEncapsulationThePortsCountToo) {
  const auto sa = test::MakeSa({.spi = kSpi, .encap = test::NatT(4500, 4501)});
  const auto other = test::MakeSa({.spi = kSpi, .encap = test::NatT(4500, 4502)});
  const OuterError error = *Parse(TooBig(true, 1400, UdpEspPacket(true)));
  EXPECT_TRUE(IsAbout(error, *sa->outbound()));
  EXPECT_FALSE(IsAbout(error, *other->outbound()));
  EXPECT_FALSE(IsAbout(*Parse(TooBig(true, 1400, EspPacket(true))), *sa->outbound()));
}

// RFC 792: a router quotes the IP header and eight bytes.
TEST(PathMtuTest, AQuotationOfTheUdpHeaderAloneIsAboutAllSasOfItsPorts) {
  const auto sa = test::MakeSa({.spi = kSpi, .encap = test::NatT(4500, 4501)});
  const auto same = test::MakeSa({.spi = kSpi + 1, .encap = test::NatT(4500, 4501)});
  const auto other = test::MakeSa({.spi = kSpi, .encap = test::NatT(4500, 4502)});
  const auto bare = test::MakeSa({.spi = kSpi});
  const OuterError error = *Parse(TooBig(true, 1400, UdpEspPacket(true), 28));
  EXPECT_EQ(error.spi, std::nullopt);
  EXPECT_TRUE(IsAbout(error, *sa->outbound()));
  EXPECT_TRUE(IsAbout(error, *same->outbound()));
  EXPECT_FALSE(IsAbout(error, *other->outbound()));
  EXPECT_FALSE(IsAbout(error, *bare->outbound()));
}

TEST(PathMtuTest, AnOpenSourceIsAnySource) {
  const auto sa = test::MakeSa({.src = "0.0.0.0", .spi = kSpi, .mode = SaMode::kTransport});
  EXPECT_TRUE(IsAbout(*Parse(TooBig(true, 1400, EspPacket(true))), *sa->outbound()));
}

// --- Which errors are trusted ---

constexpr uint64_t kNow = 1'700'000'000;

TEST(PathMtuTest, NothingLearntIsTheWires) {
  const auto sa = test::MakeSa();
  EXPECT_EQ(EffectivePathMtu(*sa->outbound(), 1500, kNow), 1500u);
}

TEST(PathMtuTest, OnlyEverShrinksAndNeverBelowTheFloor) {
  struct Step {
    uint32_t told;
    bool learnt;
    uint32_t effective;
  };
  const auto v4 = test::MakeSa();
  for (const Step& s : {Step{1500, false, 1500}, Step{9000, false, 1500}, Step{1400, true, 1400},
                        Step{1400, false, 1400}, Step{1450, false, 1400}, Step{600, true, 600},
                        Step{100, true, 552}, Step{0, false, 552}}) {
    EXPECT_EQ(LearnPathMtu(v4->outbound(), s.told, 1500, kNow), s.learnt) << s.told;
    EXPECT_EQ(EffectivePathMtu(*v4->outbound(), 1500, kNow), s.effective) << s.told;
  }
  const auto v6 = test::MakeSa({.src = "2001:db8::1", .dst = "2001:db8::2"});
  for (const Step& s : {Step{1500, false, 1500}, Step{1279, false, 1500}, Step{1400, true, 1400},
                        Step{1280, true, 1280}, Step{0, false, 1280}}) {
    EXPECT_EQ(LearnPathMtu(v6->outbound(), s.told, 1500, kNow), s.learnt) << s.told;
    EXPECT_EQ(EffectivePathMtu(*v6->outbound(), 1500, kNow), s.effective) << s.told;
  }
}

TEST(PathMtuTest, AWireBelowTheFloorIsTheWires) {
  const auto sa = test::MakeSa();
  EXPECT_FALSE(LearnPathMtu(sa->outbound(), 68, 500, kNow));
  EXPECT_EQ(EffectivePathMtu(*sa->outbound(), 500, kNow), 500u);
}

TEST(PathMtuTest, IsForgottenAfterTenMinutes) {
  const auto sa = test::MakeSa();
  ASSERT_TRUE(LearnPathMtu(sa->outbound(), 1300, 1500, kNow));
  EXPECT_EQ(EffectivePathMtu(*sa->outbound(), 1500, kNow + 599), 1300u);
  EXPECT_EQ(EffectivePathMtu(*sa->outbound(), 1500, kNow + 600), 1500u);
  // After that, a larger value is accepted.
  EXPECT_TRUE(LearnPathMtu(sa->outbound(), 1400, 1500, kNow + 600));
  EXPECT_EQ(EffectivePathMtu(*sa->outbound(), 1500, kNow + 1199), 1400u);
  EXPECT_EQ(EffectivePathMtu(*sa->outbound(), 1500, kNow + 1200), 1500u);
}

TEST(PathMtuTest, AClockThatIsPutBackDoesNotMakeItLastLonger) {
  const auto sa = test::MakeSa();
  ASSERT_TRUE(LearnPathMtu(sa->outbound(), 1300, 1500, kNow));
  EXPECT_EQ(EffectivePathMtu(*sa->outbound(), 1500, kNow - 3600), 1500u);
}

TEST(PathMtuTest, AWireThatShrinksIsObeyed) {
  const auto sa = test::MakeSa();
  ASSERT_TRUE(LearnPathMtu(sa->outbound(), 1400, 1500, kNow));
  EXPECT_EQ(EffectivePathMtu(*sa->outbound(), 1300, kNow), 1300u);
}

}  // namespace
}  // namespace cygnet
