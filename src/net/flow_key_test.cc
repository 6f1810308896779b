#include "net/flow_key.h"

#include <gtest/gtest.h>

#include "net/ethernet.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::IpFields;
using test::Pattern;

// --- IPv4 ---

TEST(ParseIpv4Test, ReadsAddressesPortsAndLengths) {
  const Bytes ip =
      test::Udp({.src = "10.1.2.3", .dst = "10.4.5.6", .tos = 0xb8, .dont_fragment = true}, 1234,
                80, Pattern(10));
  const auto v = ParseIpPacket(ip);
  ASSERT_TRUE(v.has_value());
  EXPECT_EQ(v->flow.family, IpFamily::kV4);
  EXPECT_EQ(v->flow.saddr, test::Ip("10.1.2.3"));
  EXPECT_EQ(v->flow.daddr, test::Ip("10.4.5.6"));
  EXPECT_EQ(v->flow.proto, 17);
  EXPECT_EQ(v->flow.sport, 1234);
  EXPECT_EQ(v->flow.dport, 80);
  EXPECT_EQ(v->header_length, 20u);
  EXPECT_EQ(v->total_length, 38u);
  EXPECT_EQ(v->tos, 0xb8);
  EXPECT_TRUE(v->dont_fragment);
  EXPECT_FALSE(v->fragment);
  EXPECT_FALSE(v->has_options);
}

TEST(ParseIpv4Test, OptionsAreSteppedOver) {
  for (std::size_t options = 4; options <= 40; options += 4) {
    const auto v = ParseIpPacket(test::Udp({.options = Bytes(options, 1)}, 7, 8, Pattern(4)));
    ASSERT_TRUE(v.has_value());
    EXPECT_EQ(v->header_length, 20 + options);
    EXPECT_EQ(v->flow.sport, 7);
    EXPECT_TRUE(v->has_options);
  }
}

// As __skb_flow_dissect_gre of the kernel reads it; the halves of the key take the places of ports.
TEST(ParseIpv4Test, KeyOfGreIsReadAsTheKernelReadsIt) {
  constexpr uint32_t kKey = 0x00070009;
  const struct {
    const char* what;
    Bytes gre;
    uint32_t key;
  } cases[] = {
      {"key", {0x20, 0, 8, 0, 0, 7, 0, 9}, kKey},
      {"key after a checksum", {0xa0, 0, 8, 0, 1, 2, 3, 4, 0, 7, 0, 9}, kKey},
      {"key before a sequence number", {0x30, 0, 8, 0, 0, 7, 0, 9, 0, 0, 0, 1}, kKey},
      {"no key", {0x00, 0, 8, 0, 0, 7, 0, 9}, 0},
      {"routing", {0x60, 0, 8, 0, 0, 7, 0, 9, 0, 7, 0, 9}, 0},
      {"PPTP: length and call id", {0x20, 1, 0x88, 0x0b, 0, 7, 0, 9}, 9},
      {"version 1, not PPTP", {0x20, 1, 8, 0, 0, 7, 0, 9}, 0},
      {"version 2", {0x20, 2, 8, 0, 0, 7, 0, 9}, 0},
      {"cut in the key", {0x20, 0, 8, 0, 0, 7, 0}, 0},
      {"cut in the key after a checksum", {0xa0, 0, 8, 0, 1, 2, 3, 4, 0, 7}, 0},
      {"cut before the flags end", {0x20}, 0},
  };
  for (const auto& c : cases) {
    const auto v = ParseIpPacket(test::IpPacket({.proto = kProtoGre}, c.gre));
    ASSERT_TRUE(v.has_value()) << c.what;
    EXPECT_EQ(uint32_t{v->flow.sport} << 16 | v->flow.dport, c.key) << c.what;
  }
}

TEST(ParseIpv4Test, HeaderLengthBelowFiveWordsIsRefused) {
  for (uint8_t words = 0; words < 5; ++words) {
    Bytes ip = test::Udp({}, 1, 2, Pattern(40));
    ip[0] = static_cast<uint8_t>(0x40 | words);
    EXPECT_FALSE(ParseIpPacket(ip).has_value()) << int{words};
  }
}

TEST(ParseIpv4Test, HeaderLengthBeyondTheTotalIsRefused) {
  Bytes ip = test::Udp({}, 1, 2, Pattern(4));  // 32 bytes
  ip[0] = 0x49;                                // 36
  EXPECT_FALSE(ParseIpPacket(ip).has_value());
}

TEST(ParseIpv4Test, TotalLengthBeyondTheBytesIsRefusedAndBelowIsPadding) {
  Bytes ip = test::Udp({}, 1, 2, Pattern(4));
  test::Put16(&ip, 2, static_cast<uint32_t>(ip.size() + 1));
  EXPECT_FALSE(ParseIpPacket(ip).has_value());
  test::Put16(&ip, 2, static_cast<uint32_t>(ip.size() - 3));
  ASSERT_TRUE(ParseIpPacket(ip).has_value());
  EXPECT_EQ(ParseIpPacket(ip)->total_length, ip.size() - 3);
  test::Put16(&ip, 2, 19);
  EXPECT_FALSE(ParseIpPacket(ip).has_value());
}

TEST(ParseIpv4Test, EveryTruncationIsRefused) {
  const Bytes ip = test::Udp({.options = Bytes(8, 1)}, 1, 2, Pattern(20));
  for (std::size_t n = 0; n < ip.size(); ++n) {
    // A copy of exact size, so that a sanitizer sees a read past its end.
    const Bytes cut(ip.begin(), ip.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_FALSE(ParseIpPacket(cut).has_value()) << n;
  }
}

TEST(ParseIpv4Test, EveryTruncationWithAFittingLengthStaysInside) {
  const Bytes ip = test::Udp({}, 0x1111, 0x2222, Pattern(6));
  for (std::size_t n = 20; n < ip.size(); ++n) {
    Bytes cut(ip.begin(), ip.begin() + static_cast<std::ptrdiff_t>(n));
    test::Put16(&cut, 2, static_cast<uint32_t>(n));
    const auto v = ParseIpPacket(cut);
    ASSERT_TRUE(v.has_value()) << n;
    EXPECT_EQ(v->flow.sport, n < 24 ? 0 : 0x1111) << n;
    EXPECT_EQ(v->flow.dport, n < 24 ? 0 : 0x2222) << n;
  }
}

TEST(ParseIpv4Test, Fragments) {
  struct Case {
    uint16_t field;
    bool fragment;
    bool later;
  };
  for (const Case& c : {Case{0, false, false},
                        {0x2000, true, false},
                        {0x2001, true, true},
                        {0x0001, true, true},
                        {0x1fff, true, true},
                        {0x4000, false, false}}) {
    const auto v = ParseIpPacket(test::Udp({.fragment = c.field}, 5, 6, Pattern(8)));
    ASSERT_TRUE(v.has_value());
    EXPECT_EQ(v->fragment, c.fragment) << c.field;
    EXPECT_EQ(v->later_fragment, c.later) << c.field;
    EXPECT_EQ(v->flow.sport, c.later ? 0 : 5) << c.field;
    EXPECT_EQ(v->flow.dport, c.later ? 0 : 6) << c.field;
  }
}

TEST(ParseIpTest, PortsOfEachProtocol) {
  struct Case {
    uint8_t proto;
    uint16_t sport;
    uint16_t dport;
  };
  for (const Case& c : {Case{6, 0x0102, 0x0304},
                        {17, 0x0102, 0x0304},
                        {33, 0x0102, 0x0304},
                        {132, 0x0102, 0x0304},
                        {136, 0x0102, 0x0304},
                        {1, 1, 2},
                        {58, 1, 2},
                        {135, 3, 0},
                        {50, 0, 0},
                        {51, 0, 0},
                        {4, 0, 0},
                        {255, 0, 0}}) {
    const auto v = ParseIpPacket(test::IpPacket({.proto = c.proto}, {1, 2, 3, 4, 5, 6, 7, 8}));
    ASSERT_TRUE(v.has_value());
    EXPECT_EQ(v->flow.sport, c.sport) << int{c.proto};
    EXPECT_EQ(v->flow.dport, c.dport) << int{c.proto};
  }
}

TEST(ParseIpTest, UnknownVersionsAndNothingAreRefused) {
  EXPECT_FALSE(ParseIpPacket({}).has_value());
  for (uint8_t version = 0; version < 16; ++version) {
    if (version == 4 || version == 6) continue;
    Bytes ip = test::Udp({}, 1, 2, Pattern(40));
    ip[0] = static_cast<uint8_t>(version << 4 | 5);
    EXPECT_FALSE(ParseIpPacket(ip).has_value()) << int{version};
  }
}

// --- IPv6 ---

constexpr uint8_t kHop = 0, kRoute = 43, kFrag = 44, kDest = 60;

// An IPv6 packet with these extension headers of 8 bytes each, then 8 bytes of `upper`.
Bytes Chain(const std::vector<uint8_t>& headers, uint8_t proto = 17, uint16_t fragment = 0) {
  Bytes chain;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    Bytes h(8);
    h[0] = i + 1 < headers.size() ? headers[i + 1] : proto;
    if (headers[i] == kFrag) test::Put16(&h, 2, fragment);
    chain = chain + h;
  }
  return test::IpPacket({.src = "2001:db8::1",
                         .dst = "2001:db8::2",
                         .proto = proto,
                         .options = chain,
                         .first_header = headers.empty() ? proto : headers[0]},
                        {0, 5, 0, 6, 0, 8, 0, 0});
}

TEST(ParseIpv6Test, PlainPacket) {
  const auto v = ParseIpPacket(
      test::Udp({.src = "2001:db8::1", .dst = "2001:db8::2", .tos = 0xb9, .flow_label = 0xfffff}, 7,
                8, Pattern(3)));
  ASSERT_TRUE(v.has_value());
  EXPECT_EQ(v->flow.family, IpFamily::kV6);
  EXPECT_EQ(v->flow.saddr, test::Ip("2001:db8::1"));
  EXPECT_EQ(v->flow.daddr, test::Ip("2001:db8::2"));
  EXPECT_EQ(v->flow.sport, 7);
  EXPECT_EQ(v->tos, 0xb9);
  EXPECT_EQ(v->header_length, 40u);
  EXPECT_EQ(v->total_length, 51u);
  EXPECT_EQ(v->esp_offset_v6, 40u);
  EXPECT_EQ(v->esp_nexthdr_offset_v6, 6u);
  EXPECT_EQ(v->proto_offset, 6u);
  EXPECT_FALSE(v->has_options);
}

TEST(ParseIpv6Test, Chains) {
  struct Case {
    const char* name;
    std::vector<uint8_t> headers;
    uint32_t esp_offset;
    uint32_t next_offset;
    bool fragment;
  };
  const Case cases[] = {
      {"hop-by-hop", {kHop}, 48, 40, false},
      {"destination options without a routing header", {kDest}, 48, 40, false},
      {"destination options before a routing header", {kHop, kDest, kRoute}, 64, 56, false},
      {"destination options behind a routing header", {kHop, kRoute, kDest}, 56, 48, false},
      {"routing header behind the inner headers", {kRoute, kDest, kRoute}, 48, 40, false},
      {"fragment", {kFrag}, 40, 6, true},
      {"hop-by-hop, fragment", {kHop, kFrag}, 48, 40, true},
      {"destination behind fragment", {kFrag, kDest}, 40, 6, true},
      {"eight headers", {kHop, kDest, kRoute, kDest, kDest, kDest, kDest, kDest}, 64, 56, false},
  };
  for (const Case& c : cases) {
    const auto v = ParseIpPacket(Chain(c.headers));
    ASSERT_TRUE(v.has_value()) << c.name;
    EXPECT_EQ(v->flow.proto, 17) << c.name;
    EXPECT_EQ(v->flow.sport, 5) << c.name;
    EXPECT_EQ(v->header_length, 40 + 8 * c.headers.size()) << c.name;
    EXPECT_EQ(v->esp_offset_v6, c.esp_offset) << c.name;
    EXPECT_EQ(v->esp_nexthdr_offset_v6, c.next_offset) << c.name;
    EXPECT_EQ(v->proto_offset, v->header_length - 8) << c.name;
    EXPECT_EQ(v->fragment, c.fragment) << c.name;
    EXPECT_TRUE(v->has_options) << c.name;
    EXPECT_FALSE(v->later_fragment) << c.name;
  }
}

// A home address concerns the route: such options stay in front of ESP even after a routing header.
TEST(ParseIpv6Test, HomeAddressStaysOutside) {
  struct Case {
    const char* name;
    Bytes options;  // 22 bytes
    bool outside;
  };
  const Bytes address(16, 0xfd);
  const Case cases[] = {
      {"first", Bytes{201, 16} + address + Bytes{1, 2, 0, 0}, true},
      {"behind Pad1", Bytes{0, 0, 0, 0, 201, 16} + address, true},
      {"behind PadN", Bytes{1, 2, 0, 0, 201, 16} + address, true},
      {"only padding", Bytes{1, 20} + Bytes(20, 0), false},
      {"its number as content", Bytes{1, 20} + Bytes(20, 201), false},
      {"option longer than the header", Bytes{5, 255} + Bytes(20, 201), false},
      {"type without length at the end", Bytes{1, 19} + Bytes(19, 0) + Bytes{5}, false},
  };
  for (const Case& c : cases) {
    const IpFields f{.src = "2001:db8::1",
                     .dst = "2001:db8::2",
                     .proto = 17,
                     .options = Bytes{kDest, 0, 0, 0, 0, 0, 0, 0} + Bytes{17, 2} + c.options,
                     .first_header = kRoute};
    const auto v = ParseIpPacket(test::IpPacket(f, Bytes(8, 0)));
    ASSERT_TRUE(v.has_value()) << c.name;
    EXPECT_EQ(v->header_length, 72u) << c.name;
    EXPECT_EQ(v->esp_offset_v6, c.outside ? 72u : 48u) << c.name;
    EXPECT_EQ(v->esp_nexthdr_offset_v6, c.outside ? 48u : 40u) << c.name;
  }
}

TEST(ParseIpv6Test, HopByHopOptionsThatAreNotFirstAreRefused) {
  EXPECT_FALSE(ParseIpPacket(Chain({kDest, kHop})).has_value());
  EXPECT_FALSE(ParseIpPacket(Chain({kHop, kHop})).has_value());
  EXPECT_FALSE(ParseIpPacket(Chain({kFrag, kHop})).has_value());
}

TEST(ParseIpv6Test, NineHeadersAreRefused) {
  EXPECT_FALSE(ParseIpPacket(Chain({kHop, kDest, kDest, kDest, kDest, kDest, kDest, kDest, kDest}))
                   .has_value());
}

TEST(ParseIpv6Test, LaterFragmentHasNoPorts) {
  const auto v = ParseIpPacket(Chain({kFrag}, 17, 0x0008));
  ASSERT_TRUE(v.has_value());
  EXPECT_TRUE(v->later_fragment);
  EXPECT_EQ(v->flow.proto, 17);
  EXPECT_EQ(v->flow.sport, 0);
  EXPECT_FALSE(ParseIpPacket(Chain({kFrag}, 17, 0x0001))->later_fragment);
}

TEST(ParseIpv6Test, ExtensionHeaderBeyondThePacketIsRefused) {
  for (const uint8_t words : {uint8_t{2}, uint8_t{3}, uint8_t{255}}) {
    Bytes ip = Chain({kDest});
    ip[41] = words;
    EXPECT_FALSE(ParseIpPacket(ip).has_value()) << int{words};
  }
  Bytes fits = Chain({kDest});
  fits[41] = 1;  // up to the last byte: no room for ports
  ASSERT_TRUE(ParseIpPacket(fits).has_value());
  EXPECT_EQ(ParseIpPacket(fits)->flow.sport, 0);
}

TEST(ParseIpv6Test, ChainThatEndsInTheAirIsRefused) {
  Bytes ip = Chain({kDest});
  ip.resize(40);
  test::Put16(&ip, 4, 0);
  EXPECT_FALSE(ParseIpPacket(ip).has_value());
}

TEST(ParseIpv6Test, EveryTruncationIsRefused) {
  const Bytes ip = Chain({kHop, kRoute, kFrag, kDest});
  for (std::size_t n = 0; n < ip.size(); ++n) {
    const Bytes cut(ip.begin(), ip.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_FALSE(ParseIpPacket(cut).has_value()) << n;
  }
}

TEST(ParseIpv6Test, EveryTruncationWithAFittingLengthStaysInside) {
  const Bytes ip = Chain({kHop, kRoute, kFrag, kDest});
  for (std::size_t n = 40; n < ip.size(); ++n) {
    Bytes cut(ip.begin(), ip.begin() + static_cast<std::ptrdiff_t>(n));
    test::Put16(&cut, 4, static_cast<uint32_t>(n - 40));
    const auto v = ParseIpPacket(cut);
    EXPECT_EQ(v.has_value(), n >= 72) << n;
    EXPECT_LE(v.value_or(IpPacketView{}).header_length, n);
  }
}

// --- FlowKey ---

TEST(FlowKeyTest, ReversedTwiceIsTheSame) {
  const FlowKey flow = ParseIpPacket(test::Udp({}, 1, 2, {}))->flow;
  EXPECT_EQ(flow.Reversed().saddr, flow.daddr);
  EXPECT_EQ(flow.Reversed().dport, flow.sport);
  EXPECT_EQ(flow.Reversed().Reversed(), flow);
}

TEST(FlowKeyTest, HashDependsOnEveryField) {
  const FlowKey flow = ParseIpPacket(test::Udp({}, 1, 2, {}))->flow;
  FlowKey others[7] = {flow, flow, flow, flow, flow, flow, flow};
  others[0].saddr.bytes[3] ^= 1;
  others[1].daddr.bytes[3] ^= 1;
  others[2].sport ^= 1;
  others[3].dport ^= 1;
  others[4].proto ^= 1;
  others[5].family = IpFamily::kV6;
  others[6].saddr.bytes[15] ^= 1;
  for (const FlowKey& other : others) {
    EXPECT_NE(other.Hash(), flow.Hash());
    EXPECT_FALSE(other == flow);
  }
}

// --- Ethernet ---

TEST(ParseEtherTypeTest, StepsOverTags) {
  struct Case {
    const char* name;
    Bytes frame;
    int offset;  // -1: refused
    uint16_t type;
  };
  const Bytes macs(12, 2);
  const Case cases[] = {
      {"empty", {}, -1, 0},
      {"one byte short", macs + Bytes{8}, -1, 0},
      {"untagged", macs + Bytes{8, 0}, 14, 0x0800},
      {"one tag", macs + Bytes{0x81, 0, 0, 1, 0x86, 0xdd}, 18, 0x86dd},
      {"two tags", macs + Bytes{0x88, 0xa8, 0, 1, 0x81, 0, 0, 1, 8, 0}, 22, 0x0800},
      {"tag without type", macs + Bytes{0x81, 0, 0, 1, 8}, -1, 0},
      {"tag and nothing", macs + Bytes{0x81, 0}, -1, 0},
      {"length instead of type", macs + Bytes{0, 40}, 14, 40},
  };
  for (const Case& c : cases) {
    const auto v = ParseEtherType(c.frame);
    EXPECT_EQ(v.has_value(), c.offset >= 0) << c.name;
    if (!v) continue;
    EXPECT_EQ(v->l3_offset, c.offset) << c.name;
    EXPECT_EQ(v->type, c.type) << c.name;
  }
}

TEST(ParseEtherTypeTest, ManyTagsDoNotRunAway) {
  Bytes frame(12, 2);
  for (int i = 0; i < 20'000; ++i) frame = std::move(frame) + Bytes{0x81, 0, 0, 1};
  EXPECT_FALSE(ParseEtherType(frame).has_value());
}

}  // namespace
}  // namespace cygnet
