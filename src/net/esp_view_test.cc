#include "net/esp_view.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::IpFields;
using test::Pattern;

EspView Classify(const Bytes& ip, std::span<const uint16_t> ports = kNatTPorts) {
  const auto view = ParseIpPacket(ip);
  EXPECT_TRUE(view.has_value());
  return ClassifyWirePacket(*view, ip, ports);
}

TEST(EspViewTest, BareEspOfEveryLength) {
  for (const char* src : {"10.1.0.1", "fd01::1"}) {
    const bool v4 = src[0] == '1';
    for (std::size_t n = 0; n <= 60; ++n) {
      const Bytes ip =
          test::IpPacket({.src = src, .dst = v4 ? "10.2.0.1" : "fd02::1", .proto = 50}, Pattern(n));
      const EspView view = Classify(ip);
      EXPECT_EQ(view.kind, n < 8 ? WireKind::kEspTooShort : WireKind::kEsp) << n;
      EXPECT_EQ(view.esp_offset, v4 ? 20u : 40u);
      EXPECT_FALSE(view.udp_encapsulated);
      if (n < 8) continue;
      EXPECT_EQ(view.spi, test::Get32(Pattern(8), 0));
      EXPECT_EQ(view.seq_low, test::Get32(Pattern(8), 4));
    }
  }
}

TEST(EspViewTest, UdpPayloadDecides) {
  struct Case {
    const char* name;
    uint16_t sport;
    uint16_t dport;
    Bytes payload;
    WireKind kind;
  };
  const Case cases[] = {
      {"ESP", 4500, 4500, Pattern(40), WireKind::kEsp},
      {"ESP from behind a NAT", 61000, 4500, Pattern(40), WireKind::kEsp},
      {"from that port to another", 4500, 61000, Pattern(40), WireKind::kOther},
      {"other ports", 4501, 61000, Pattern(40), WireKind::kOther},
      {"IKE", 4500, 4500, Bytes(4, 0) + Pattern(28), WireKind::kOther},
      {"keep-alive", 4500, 4500, {0xff}, WireKind::kKeepalive},
      {"one other byte", 4500, 4500, {0xfe}, WireKind::kOther},
      {"two bytes", 4500, 4500, {0xff, 0xff}, WireKind::kOther},
      {"nothing", 4500, 4500, {}, WireKind::kOther},
      {"eight bytes", 4500, 4500, Pattern(8), WireKind::kOther},
      {"nine bytes", 4500, 4500, Pattern(9), WireKind::kEsp},
      {"TCP port", 500, 500, Pattern(40), WireKind::kOther},
  };
  for (const Case& c : cases) {
    const EspView view = Classify(test::Udp({}, c.sport, c.dport, c.payload));
    EXPECT_EQ(view.kind, c.kind) << c.name;
    EXPECT_EQ(view.udp_encapsulated, c.kind == WireKind::kEsp) << c.name;
    EXPECT_EQ(view.esp_offset, c.kind == WireKind::kEsp ? 28u : 0u) << c.name;
  }
}

TEST(EspViewTest, EveryPortOfTheListAndNoOtherIsTaken) {
  const uint16_t ports[] = {500, 4500, 10'000, 65'535};
  for (const char* src : {"10.1.0.1", "fd01::1"}) {
    const IpFields f{.src = src, .dst = src[0] == '1' ? "10.2.0.1" : "fd02::1"};
    for (const uint16_t port : ports) {
      for (const int step : {-1, 1}) {
        const auto other = static_cast<uint16_t>(port + step);
        const Bytes there = test::Udp(f, other, port, Pattern(40));
        EXPECT_EQ(Classify(there, ports).kind, WireKind::kEsp) << port;
        EXPECT_EQ(Classify(there, {}).kind, WireKind::kOther) << port;
        EXPECT_EQ(Classify(test::Udp(f, port, other, Pattern(40)), ports).kind, WireKind::kOther)
            << port;
      }
    }
  }
}

TEST(EspViewTest, UdpChecksumIsNotLookedAt) {
  for (const char* src : {"10.1.0.1", "fd01::1"}) {
    const bool v4 = src[0] == '1';
    for (const uint32_t checksum : {0u, 1u, 0xffffu}) {
      Bytes ip =
          test::Udp({.src = src, .dst = v4 ? "10.2.0.1" : "fd02::1"}, 4500, 4500, Pattern(40));
      test::Put16(&ip, v4 ? 26 : 46, checksum);
      EXPECT_EQ(Classify(ip).kind, WireKind::kEsp) << src << " " << checksum;
    }
  }
}

TEST(EspViewTest, UdpLengthThatLiesIsNotBelieved) {
  for (const uint32_t length : {0u, 7u, 49u, 65535u}) {
    Bytes ip = test::Udp({}, 4500, 4500, Pattern(40));
    test::Put16(&ip, 24, length);
    EXPECT_EQ(Classify(ip).kind, WireKind::kOther) << length;
  }
  Bytes ip = test::Udp({}, 4500, 4500, Pattern(40));
  test::Put16(&ip, 24, 9);  // one byte, but not a keep-alive
  EXPECT_EQ(Classify(ip).kind, WireKind::kOther);
}

TEST(EspViewTest, EthernetPaddingIsNoPayload) {
  const Bytes ip = test::Udp({}, 4500, 4500, {0xff});
  EXPECT_EQ(Classify(ip + Bytes(17, 0)).kind, WireKind::kKeepalive);
}

}  // namespace
}  // namespace cygnet
