#include "net/address.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::Ip;

TEST(PrefixMatchesTest, ComparesExactlyTheBitsOfThePrefix) {
  for (unsigned flipped = 0; flipped < 128; ++flipped) {
    IpAddress a = Ip("2001:db8:aaaa:5555:1234:5678:9abc:def0");
    IpAddress b = a;
    b.bytes[flipped / 8] ^= static_cast<uint8_t>(0x80 >> flipped % 8);
    for (unsigned bits = 0; bits <= 128; ++bits) {
      EXPECT_EQ(PrefixMatches(a, b, bits), bits <= flipped) << bits << " of " << flipped;
    }
  }
}

TEST(PrefixMatchesTest, Ipv4Edges) {
  EXPECT_TRUE(PrefixMatches(Ip("10.1.2.3"), Ip("99.9.9.9"), 0));
  EXPECT_TRUE(PrefixMatches(Ip("10.1.2.3"), Ip("10.1.2.3"), 32));
  EXPECT_FALSE(PrefixMatches(Ip("10.1.2.3"), Ip("10.1.2.2"), 32));
  EXPECT_TRUE(PrefixMatches(Ip("10.1.2.3"), Ip("10.1.2.2"), 31));
}

TEST(AddressTest, MulticastAndBroadcast) {
  struct Case {
    const char* text;
    bool expected;
  };
  for (const Case& c : {Case{"223.255.255.255", false},
                        {"224.0.0.1", true},
                        {"239.255.255.255", true},
                        {"240.0.0.1", false},
                        {"255.255.255.255", true},
                        {"255.255.255.254", false},
                        {"fe80::1", false},
                        {"ff02::1", true},
                        {"feff::", false}}) {
    const ParsedAddress a = test::Addr(c.text);
    EXPECT_EQ(IsMulticastOrBroadcast(a.address, a.family), c.expected) << c.text;
  }
}

TEST(ParseAddressTest, TakesBothFamilies) {
  const auto v4 = ParseAddress("192.0.2.1");
  ASSERT_TRUE(v4.has_value());
  EXPECT_EQ(v4->family, IpFamily::kV4);
  EXPECT_EQ(v4->address.bytes, (std::array<uint8_t, 16>{192, 0, 2, 1}));
  const auto v6 = ParseAddress("2001:db8::1");
  ASSERT_TRUE(v6.has_value());
  EXPECT_EQ(v6->family, IpFamily::kV6);
  EXPECT_EQ(v6->address.bytes[15], 1);
}

TEST(ParseAddressTest, RefusesWhatIsNoAddress) {
  using std::literals::operator""sv;
  for (const std::string_view text :
       {""sv, "10.1"sv, "10.1.2.256"sv, "10.1.2.3/8"sv, " 10.1.2.3"sv, "::g"sv, "1:2:3:4:5:6:7"sv,
        "localhost"sv, "10.1.2.3\0x"sv, "::1%lo"sv}) {
    EXPECT_FALSE(ParseAddress(text).has_value()) << text;
  }
}

TEST(AddressTest, TextRoundTrip) {
  for (const char* text : {"0.0.0.0", "10.1.2.3", "::", "2001:db8::1", "fe80::1:2:3:4"}) {
    const auto parsed = ParseAddress(text);
    ASSERT_TRUE(parsed.has_value());
    EXPECT_EQ(ToString(parsed->address, parsed->family), text);
  }
}

TEST(AddressTest, AnyIsAllZero) {
  EXPECT_TRUE(Ip("0.0.0.0").IsAny());
  EXPECT_TRUE(Ip("::").IsAny());
  EXPECT_FALSE(Ip("::1").IsAny());
}

TEST(AddressTest, PrefixesReadAndWrite) {
  EXPECT_EQ(ToString(*ParsePrefix("10.1.0.0/16")), "10.1.0.0/16");
  EXPECT_EQ(ToString(*ParsePrefix("10.1.2.3")), "10.1.2.3/32");
  EXPECT_EQ(ToString(*ParsePrefix("2001:db8::/32")), "2001:db8::/32");
  EXPECT_EQ(ToString(*ParsePrefix("0.0.0.0/0")), "0.0.0.0/0");
  for (const char* bad : {"10.1.0.1/16", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "x/8", "",
                          "2001:db8::1/64", "10.0.0.0/-1", "10.0.0.0/8 "}) {
    EXPECT_FALSE(ParsePrefix(bad).has_value()) << bad;
  }
  EXPECT_TRUE(
      ParsePrefix("10.1.0.0/16")->Contains(ParseAddress("10.1.9.9")->address, IpFamily::kV4));
  EXPECT_FALSE(ParsePrefix("0.0.0.0/0")->Contains(ParseAddress("::1")->address, IpFamily::kV6));
}

}  // namespace
}  // namespace cygnet
